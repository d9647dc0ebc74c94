"""Frames of a video file, a pipe or a webcam, one after another, and back into a video file: constant memory."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from metrabs_acae.data.images import MAX_PIXELS
from metrabs_acae.errors import UserError

MAX_FPS = 1000  # more is a container's unit of time, mistaken for a rate
TICKS_PER_SECOND = 90_000


@dataclass(frozen=True)
class Frame:
    """One picture.

    Attributes:
        index: counted from 0 in the order shown.
        time_s: seconds since the first frame; steps differ where the frame rate varies.
        image: [H, W, 3] uint8 RGB, upright.
    """

    index: int
    time_s: float
    image: np.ndarray


def open_video(source, name):
    """(container, video stream) of PyAV.

    Args:
        source: path, or stream to read from.
        name: of the video, for messages.

    Raises:
        UserError: no file, no video in it, a format that cannot be decoded, frames of more than `MAX_PIXELS`.
    """
    av = _import_av()
    if isinstance(source, str | Path):
        if not Path(source).is_file():
            raise UserError(f"There is no video {source}.")
        source = f"file:{source}"  # keeps FFmpeg from reading a protocol into the name
    try:
        container = av.open(source)
    except (av.error.FFmpegError, ValueError) as error:
        raise UserError(f"{name} is not a readable video ({_reason(error)}).") from None
    try:
        if not container.streams.video:
            raise UserError(f"{name} has no video stream.")
        stream = container.streams.video[0]
        codec = stream.codec_context
        if codec is None:
            raise UserError(f"{name} is of a video format that cannot be decoded here.")
        if codec.width * codec.height > MAX_PIXELS:
            raise UserError(f"{name} claims frames of more than {MAX_PIXELS:,} pixels; it is not read.")
    except UserError:
        container.close()
        raise
    return container, stream


class VideoFile:
    """Iterates over the frames of a video file or, for "-", of a video that comes through standard input.

    Frames are turned upright by the file's rotation and have the first one's size. Damaged pieces are skipped.

    Attributes:
        n_frames: as the file says, or None. fps: mean frames per second as the file says, or None.
        n_damaged: pieces skipped so far.
    """

    def __init__(self, path: str | Path):
        from_pipe = str(path) == "-"
        self.name = "standard input" if from_pipe else Path(path).name
        self._container, self._stream = open_video(sys.stdin.buffer if from_pipe else path, self.name)
        self._stream.thread_type = "AUTO"
        rates = (self._stream.average_rate, self._stream.guessed_rate)
        self.fps = next((float(rate) for rate in rates if rate and rate <= MAX_FPS), None)
        self.n_frames = self._stream.frames or None
        if self.n_frames is None and self.fps and self._container.duration:
            self.n_frames = max(1, round(self._container.duration / 1e6 * self.fps))
        self.n_damaged = 0

    def __iter__(self) -> Iterator[Frame]:
        first_time = size = None
        for index, frame in enumerate(self._decoded()):
            size = size or {"width": frame.width, "height": frame.height}
            image = frame.to_ndarray(format="rgb24", **size)
            if frame.rotation:
                image = np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))
            time_s = frame.time if frame.time is not None else index / (self.fps or 25.0)
            first_time = time_s if first_time is None else first_time
            yield Frame(index, max(0.0, time_s - first_time), image)

    def _decoded(self):
        av = _import_av()
        packets = self._container.demux(self._stream)
        while True:
            try:
                packet = next(packets, None)
            except av.error.FFmpegError:
                self.n_damaged += 1
                return
            if packet is None:
                return
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                self.n_damaged += 1

    def close(self) -> None:
        self._container.close()


class Webcam:
    """Iterates over the pictures of the webcam with this number until it is unplugged or the caller stops."""

    n_frames = None
    fps = None
    n_damaged = 0

    def __init__(self, number: int):
        import cv2

        self.name = f"webcam {number}"
        level = cv2.utils.logging.getLogLevel()
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it reports every driver that it tried
        self._capture = cv2.VideoCapture(number)
        cv2.utils.logging.setLogLevel(level)
        if not self._capture.isOpened():
            raise UserError(
                f"There is no webcam {number} that can be opened; it may be unplugged, in use, or not permitted."
            )
        self._capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)  # the newest picture, not a queue of old ones

    def __iter__(self) -> Iterator[Frame]:
        start, index = None, 0
        while True:
            done, image = self._capture.read()
            if not done:
                return
            now = time.perf_counter()
            start = now if start is None else start
            yield Frame(index, now - start, np.ascontiguousarray(image[..., ::-1]))
            index += 1

    def close(self) -> None:
        self._capture.release()


class VideoWriter:
    """Writes H.264 in MP4; every frame keeps its own time. The file is complete after `close`."""

    def __init__(self, path: str | Path, *, fps: float | None = None):
        self._av = _import_av()
        self._path, self._fps = path, fps or 25.0
        self._container = self._stream = None
        self._last_tick = -1

    def write(self, image: np.ndarray, time_s: float) -> None:
        """Adds one frame [H, W, 3] uint8 RGB, of the same size each time. An odd row or column is doubled."""
        odd_rows, odd_columns = image.shape[0] % 2, image.shape[1] % 2
        if odd_rows or odd_columns:
            image = np.pad(image, [(0, odd_rows), (0, odd_columns), (0, 0)], mode="edge")
        if self._container is None:
            self._open(image)
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24")
        self._last_tick = max(self._last_tick + 1, round(time_s * TICKS_PER_SECOND))
        frame.pts, frame.time_base = self._last_tick, Fraction(1, TICKS_PER_SECOND)
        self._container.mux(self._stream.encode(frame))

    def _open(self, image):
        self._container = self._av.open(str(self._path), "w", format="mp4")
        codec = "libx264" if "libx264" in self._av.codec.codecs_available else "mpeg4"
        self._stream = self._container.add_stream(codec, rate=Fraction(self._fps).limit_denominator(1001))
        self._stream.height, self._stream.width = image.shape[:2]
        self._stream.pix_fmt = "yuv420p"
        self._stream.codec_context.time_base = Fraction(1, TICKS_PER_SECOND)
        self._stream.options = {"preset": "veryfast", "crf": "20"} if codec == "libx264" else {"qscale": "3"}

    def close(self) -> None:
        """Writes what is still held back and ends the file."""
        if self._container is not None:
            self._container.mux(self._stream.encode())
            self._container.close()
            self._container = None


def _import_av():
    try:
        import av
    except ImportError:
        raise UserError("Videos need PyAV; install it with: pip install 'metrabs_acae[video]'.") from None
    return av


def _reason(error) -> str:
    return getattr(error, "strerror", None) or str(error)
