"""The Python blocks of docs/use-the-model.md run, one after the other, with a tiny model in the trained one's place."""

import re
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from metrabs_acae.inference import portable
from metrabs_acae.visualization import frames

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "use-the-model.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.S)


def test_blocks_run(exported_model, monkeypatch, capsys):
    pytest.importorskip("onnxruntime")
    folder = exported_model.parents[2]  # holds runs/default-1/model
    photograph = np.random.default_rng(0).integers(0, 256, (480, 640, 3), np.uint8)
    for name in ("photo.jpg", "other.png", "holidays/beach.jpg"):
        (folder / name).parent.mkdir(exist_ok=True)
        cv2.imwrite(str(folder / name), photograph)
    exif = Image.Exif()
    exif[0x0112] = 6  # as telephones write it: lying on its side
    Image.fromarray(np.rot90(photograph).copy()).save(folder / "photo.jpg", exif=exif)
    (folder / "my_model").symlink_to(exported_model)
    portable.write_detector(exported_model / "portable" / "detector.onnx")  # that of the tests has none
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    namespace: dict = {}
    for block in BLOCKS:
        block = block.replace('load("pretrained")', 'load("runs/default-1")')
        exec(compile(block, "docs/use-the-model.md", "exec"), namespace)
    assert len(BLOCKS) >= 9 and namespace["image"].shape == photograph.shape
    assert (
        "m away" in (out := capsys.readouterr().out)
        and "other.png 1" in out
        and "h36m_17" in namespace["model"].per_skeleton_joint_names
    )
    assert namespace["result"]["poses3d"].shape == (2, 17, 3)  # of the last block, without TensorFlow
    assert namespace["result"]["poses3d"].__class__ is np.ndarray
    # In the world block, the person stands in front of a camera that looks along the world's y axis.
    assert (namespace["world"]["poses3d"].numpy()[..., 1] > 0).all() and (namespace["camera"][..., 2] > 0).all()


@pytest.mark.parametrize("page", ["docs/use-the-model.md", "model_card.md"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP"])
def test_the_block_for_a_picture_reads_any(exported_model, page, format, monkeypatch):
    """Of the page and of the card that goes with every model."""
    folder = exported_model.parents[2]
    monkeypatch.chdir(folder)
    across = np.tile((np.arange(480) // 2).astype(np.uint8)[:, np.newaxis], [1, 640])
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = format != "GIF"  # which has no EXIF data
    stored = np.rot90(across).copy() if turned else across
    Image.fromarray(stored).save(folder / "photo.jpg", format, **({"exif": exif} if turned else {}))
    path = exported_model / page if page == "model_card.md" else ROOT / page
    block = next(b for b in re.findall(r"```python\n(.*?)```", path.read_text(), re.S) if "exif_transpose" in b)
    lines = [line for line in block.splitlines() if line.startswith(("import", "from", "image ="))]
    namespace: dict = {}
    exec(compile("\n".join(lines), page, "exec"), namespace)
    np.testing.assert_allclose(namespace["image"], np.stack([across] * 3, axis=-1), atol=3)


def test_card_and_checksums_cover_the_crop_model(exported_model):
    model = exported_model
    card, sums = (model / "model_card.md").read_text(), (model / "SHA256SUMS").read_text()
    if not (model / "crop_model").exists():
        pytest.skip("needs the extra [export]")
    assert "`pose.onnx`" in card and "--export --web" in card and "the error to expect" in card
    assert "whole image" in card and "numpy_runtime" in card and "entropy" in card
    assert "crop_model/crop_model.onnx" in sums and "crop_model/numpy_runtime/estimator.py" in sums


def test_arguments_listed_are_those_of_the_methods():
    listed = set(re.findall(r"`(\w+)`", PAGE[PAGE.index("## Arguments") : PAGE.index("What is wrong with")]))
    import inspect

    from metrabs_acae.inference.multiperson import PoseEstimator

    taken = set(inspect.signature(PoseEstimator._detect_poses_batched).parameters) - {"self", "images"}
    assert listed == taken


def test_picture_shows_points_where_the_conventions_say(tmp_path):
    """The extrinsics of the picture put the camera where it stands, and points right of it at larger u."""
    rotation, translation = frames.look_at([0, -3000, 1500], [0, 0, 1000])
    np.testing.assert_allclose(rotation @ [0, -3000, 1500] + translation, 0, atol=1e-9)
    pixels = frames.project(
        np.array([[0, 0, 1000], [100, 0, 1000], [0, 0, 1100]]), rotation, translation, frames.INTRINSICS
    )
    np.testing.assert_allclose(pixels[0], [319.5, 239.5])
    assert pixels[1, 0] > pixels[0, 0] and pixels[2, 1] < pixels[0, 1]
    frames.draw(tmp_path / "frames.png")
    assert cv2.imread(str(tmp_path / "frames.png")).std() > 10
