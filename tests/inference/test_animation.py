"""Pictures that move are videos, still ones are photographs, whatever their format."""

import numpy as np
import pytest
from PIL import Image

from metrabs_acae.errors import UserError
from metrabs_acae.inference.animation import AnimatedPicture, is_animated
from metrabs_acae.inference.demo_inputs import find_inputs

GREYS = (20, 120, 220)
FRAMES = [Image.fromarray(np.full((48, 64, 3), grey, np.uint8)) for grey in GREYS]


def save(path, frames=FRAMES, **more):
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=[100, 250, 40][: len(frames)], **more)
    return path


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.avif"])
def test_frames_at_their_times(tmp_path, name):
    path = save(tmp_path / name)
    (item,) = find_inputs([path])
    assert item.kind == "video"
    reader = AnimatedPicture(path)
    frames = list(reader)
    reader.close()
    assert reader.n_frames == 3 and [f.index for f in frames] == [0, 1, 2]
    np.testing.assert_allclose([f.time_s for f in frames], [0, 0.1, 0.35])
    for frame, grey in zip(frames, GREYS, strict=True):
        assert frame.image.shape == (48, 64, 3) and abs(int(frame.image.mean()) - grey) < 4


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp", "a.avif"])
def test_one_frame_is_a_photograph(tmp_path, name):
    (item,) = find_inputs([save(tmp_path / name, FRAMES[:1])])
    assert item.kind == "image"


def test_the_picture_in_front_of_an_animated_png_is_not_part_of_it(tmp_path):
    path = save(tmp_path / "a.png", default_image=True)
    assert [int(f.image.mean()) for f in AnimatedPicture(path)] == list(GREYS[1:])


def test_times_that_nobody_can_see_are_a_tenth_of_a_second(tmp_path):
    FRAMES[0].save(tmp_path / "a.gif", save_all=True, append_images=FRAMES[1:], duration=0)
    assert [f.time_s for f in AnimatedPicture(tmp_path / "a.gif")] == pytest.approx([0, 0.1, 0.2])


def test_damaged_ones(tmp_path):
    data = save(tmp_path / "a.gif").read_bytes()
    for n in range(0, len(data), 7):
        (tmp_path / "b.gif").write_bytes(data[:n])
        if is_animated(tmp_path / "b.gif"):
            try:
                assert len(list(AnimatedPicture(tmp_path / "b.gif"))) <= 3
            except UserError as error:
                assert "is damaged" in str(error)
    (tmp_path / "b.gif").write_bytes(b"GIF89a")
    with pytest.raises(UserError, match="cannot be read as an image"):
        AnimatedPicture(tmp_path / "b.gif")
