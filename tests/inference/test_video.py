"""Videos: what is written comes back, with times and upright; broken ones end in a sentence."""

import io
import os
import sys
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.inference import video

SIZE_WH = (64, 48)


def picture(i: int, size_wh=SIZE_WH) -> np.ndarray:
    """Grey that grows with i, with a white square in the top-left corner."""
    image = np.full((size_wh[1], size_wh[0], 3), 20 + 10 * (i % 20), np.uint8)
    image[:16, :16] = 255
    return image


def write(path, times_s, size_wh=SIZE_WH):
    writer = video.VideoWriter(path)
    for i, time_s in enumerate(times_s):
        writer.write(picture(i, size_wh), time_s)
    writer.close()
    return path


def test_pictures_and_uneven_times_come_back(tmp_path):
    times = [0, 0.04, 0.08, 0.5, 0.54, 1.5]
    reader = video.VideoFile(write(tmp_path / "v.mp4", times))
    frames = list(reader)
    reader.close()
    assert [f.index for f in frames] == list(range(6)) and reader.n_frames == 6
    np.testing.assert_allclose([f.time_s for f in frames], times, atol=1e-4)
    for i, frame in enumerate(frames):
        assert frame.image.shape == (48, 64, 3) and frame.image.dtype == np.uint8
        assert np.median(frame.image) == pytest.approx(20 + 10 * i, abs=4)  # lossy
        assert frame.image[:12, :12].mean() > 235


def test_odd_sizes_gain_a_row_and_a_column(tmp_path):
    (frame,) = video.VideoFile(write(tmp_path / "v.mp4", [0], size_wh=(63, 47)))
    assert frame.image.shape == (48, 64, 3)


@pytest.mark.parametrize("clockwise, corner", [(90, "top right"), (180, "bottom right"), (270, "bottom left")])
def test_rotated_videos_come_upright(tmp_path, clockwise, corner):
    """The matrix in the track header is that of telephones: a, b, c, d = cos, sin, -sin, cos of a clockwise turn."""
    path = write(tmp_path / "v.mp4", [0, 0.04])
    data = bytearray(path.read_bytes())
    cos, sin = round(np.cos(np.radians(clockwise))), round(np.sin(np.radians(clockwise)))
    matrix = np.array([cos << 16, sin << 16, 0, -sin << 16, cos << 16, 0, 0, 0, 1 << 30], ">i4")
    start = data.index(b"tkhd") + 4 + 40  # version 0: the matrix follows 40 bytes of other fields
    assert np.frombuffer(data[start : start + 36], ">i4").tolist() == [1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30]
    data[start : start + 36] = matrix.tobytes()
    path.write_bytes(data)
    image = next(iter(video.VideoFile(path))).image
    assert image.shape == ((64, 48, 3) if clockwise != 180 else (48, 64, 3))
    down = slice(-12, None) if "bottom" in corner else slice(12)
    across = slice(-12, None) if "right" in corner else slice(12)
    assert image[down, across].mean() > 235


def test_a_video_through_a_pipe(tmp_path, monkeypatch):
    writer_of_pipes = tmp_path / "v.mkv"
    import av

    with av.open(str(writer_of_pipes), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for i in range(4):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(i))))
        container.mux(stream.encode())

    class Pipe(io.RawIOBase):
        def __init__(self, data):
            self.rest = io.BytesIO(data)

        def readable(self):
            return True

        def read(self, n=-1):
            return self.rest.read(n)

    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=Pipe(writer_of_pipes.read_bytes())))
    reader = video.VideoFile("-")
    assert len(list(reader)) == 4 and reader.name == "standard input"


def test_damaged_pieces_are_skipped(tmp_path):
    path = tmp_path / "v.mp4"
    writer = video.VideoWriter(path)
    rng = np.random.default_rng(0)
    for i in range(30):
        writer.write(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8), i / 25)
    writer.close()
    data = bytearray(path.read_bytes())
    start, end = data.index(b"mdat") + 4, data.index(b"moov")
    data[start + (end - start) // 3 : (start + end) // 2] = bytes((start + end) // 2 - start - (end - start) // 3)
    path.write_bytes(data)
    reader = video.VideoFile(path)
    times = [f.time_s for f in reader]
    assert 5 < len(times) < 30 and times == sorted(times) and times[-1] > 0.9
    assert reader.n_damaged > 0


def test_what_is_no_video(tmp_path):
    with pytest.raises(UserError, match="There is no video .*missing.mp4"):
        video.VideoFile(tmp_path / "missing.mp4")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 100)
    with pytest.raises(UserError, match="broken.mp4 is not a readable video"):
        video.VideoFile(broken)
    whole = write(tmp_path / "whole.mp4", [0, 0.04]).read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="broken.mp4 is not a readable video"):
        video.VideoFile(broken)


def test_sound_alone_is_no_video(tmp_path):
    import av

    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
    with pytest.raises(UserError, match="no video stream"):
        video.VideoFile(tmp_path / "sound.wav")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="this system has no /dev/full")
def test_a_full_disk_is_an_os_error():
    writer = video.VideoWriter("/dev/full")
    rng = np.random.default_rng(0)
    with pytest.raises(OSError, match="No space left"):
        for i in range(100):
            writer.write(rng.integers(0, 255, (120, 160, 3), dtype=np.uint8), i / 25)
        writer.close()


class FakeCapture:
    """As `cv2.VideoCapture`: camera 3 gives two pictures and is then unplugged."""

    def __init__(self, number):
        self.number, self.left = number, 2

    def isOpened(self):  # noqa: N802
        return self.number == 3

    def set(self, *_):
        return True

    def read(self):
        self.left -= 1
        return (True, np.full((48, 64, 3), [255, 0, 0], np.uint8)) if self.left >= 0 else (False, None)

    def release(self):
        self.number = None


def test_webcam(monkeypatch):
    import cv2

    monkeypatch.setattr(cv2, "VideoCapture", FakeCapture)
    frames = list(video.Webcam(3))
    assert [f.index for f in frames] == [0, 1] and frames[0].time_s == 0 <= frames[1].time_s
    assert frames[0].image[0, 0].tolist() == [0, 0, 255]  # RGB
    with pytest.raises(UserError, match="There is no webcam 0"):
        video.Webcam(0)


def test_no_webcam_here_is_one_sentence(capfd):
    with pytest.raises(UserError, match="There is no webcam 97"):
        video.Webcam(97)
    assert capfd.readouterr().err == ""


def test_without_pyav(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(UserError, match=r"pip install 'metrabs_acae\[video\]'"):
        video.VideoFile(tmp_path / "v.mp4")


def encode(path, codec, numbers, *, rate=25, options=None, damaged=(), keep=lambda i: True, aspect=None):
    """Frames whose grey tells their number; of the pieces some are spoiled or left out."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate, options=options or {})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        packets = []
        for i in numbers:
            image = np.random.default_rng(i).integers(0, 12, (48, 64, 3)).astype(np.uint8) + np.uint8(20 + 8 * i)
            packets += stream.encode(av.VideoFrame.from_ndarray(image))
        packets += stream.encode()
        for i, packet in enumerate(packets):
            if i in damaged:
                rubbish = np.random.default_rng(i).integers(1, 255, packet.size, dtype=np.uint8)
                spoiled = av.Packet(b"\0\0\0\1\x65" + rubbish.tobytes())  # still a picture of H.264 for containers
                spoiled.pts, spoiled.dts, spoiled.time_base = packet.pts, packet.dts, packet.time_base
                spoiled.stream, packet = stream, spoiled
            if keep(i):
                container.mux(packet)
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "ts", "avi"])
@pytest.mark.parametrize("options", [{"bf": "0", "g": "1"}, {"bf": "2", "g": "6"}])
def test_frames_that_are_lost_do_not_move_the_numbers_of_others(tmp_path, suffix, options):
    path = encode(tmp_path / f"v.{suffix}", "libx264", range(24), options=options, damaged=(6, 7))
    frames = list(video.VideoFile(path))
    assert len(frames) < 24 or suffix == "ts"
    assert [f.index for f in frames] == sorted({f.index for f in frames}) and frames[-1].index == 23
    for frame in frames:
        assert frame.time_s == pytest.approx(frame.index / 25, abs=1e-3)
    if options["g"] == "1":  # each frame stands for itself: what is there shows what it should
        for frame in frames:
            assert np.median(frame.image) == pytest.approx(25 + 8 * frame.index, abs=4)


def test_a_video_that_begins_with_lost_frames(tmp_path):
    path = encode(tmp_path / "v.mkv", "libx264", range(12), options={"g": "1", "bf": "0"}, damaged=(0, 1))
    frames = list(video.VideoFile(path))
    assert [f.index for f in frames] == list(range(2, 12)) and frames[0].time_s == pytest.approx(2 / 25)


def test_pixels_that_are_not_square(tmp_path):
    path = encode(tmp_path / "v.mp4", "libx264", range(2), aspect=Fraction(4, 3))
    assert [f.image.shape for f in video.VideoFile(path)] == [(48, 85, 3)] * 2
    path = encode(tmp_path / "v.mkv", "libx264", range(2), aspect=Fraction(1, 2))
    assert [f.image.shape for f in video.VideoFile(path)] == [(96, 64, 3)] * 2


def test_names_and_labels_that_are_not_utf8(tmp_path):
    import av

    path = tmp_path / os.fsdecode(b"caf\xe9.mkv")
    with av.open(str(tmp_path / "v.mkv"), "w") as container:
        container.metadata["title"] = "LABEL"
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.mux([*stream.encode(av.VideoFrame.from_ndarray(picture(0))), *stream.encode()])
    path.write_bytes((tmp_path / "v.mkv").read_bytes().replace(b"LABEL", b"LAB\xe9L"))
    reader = video.VideoFile(path)
    assert len(list(reader)) == 1 and reader.name == "caf\ufffd.mkv"
