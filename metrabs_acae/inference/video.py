"""Frames of a video file, a pipe or a webcam, one after another, and back into a video file: constant memory."""

from __future__ import annotations

import heapq
import os
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
MAX_PIXEL_ASPECT = 4.0  # more is a damaged header
TICKS_PER_SECOND = 90_000


@dataclass(frozen=True)
class Frame:
    """One picture.

    Attributes:
        index: counted from 0 in the order shown; frames that cannot be decoded have numbers too.
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
        container = av.open(source, metadata_errors="replace")
    except (av.error.FFmpegError, ValueError) as error:
        raise UserError(f"{name} is not a readable video ({_reason(error)}).") from None
    try:
        stream = container.streams.best("video")  # not the picture of a record's sleeve
        if stream is None:
            raise UserError(f"{name} has no video stream.")
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

    Frames are turned upright by the file's rotation, have square pixels and the first one's size. Damaged pieces are
    skipped. Numbers and times are those of the file's time stamps.

    Attributes:
        n_frames: as the file says, or None. fps: mean frames per second as the file says, or None.
        n_damaged: pieces skipped so far.
    """

    def __init__(self, path: str | Path):
        from_pipe = str(path) == "-"
        self.name = "standard input" if from_pipe else os.fsencode(Path(path).name).decode(errors="replace")
        self._container, self._stream = open_video(sys.stdin.buffer if from_pipe else path, self.name)
        self._stream.thread_type = "AUTO"
        rates = (self._stream.average_rate, self._stream.guessed_rate)
        self.fps = next((float(rate) for rate in rates if rate and rate <= MAX_FPS), None)
        self.n_frames = self._stream.frames or None
        if self.n_frames is None and self.fps and self._container.duration:
            self.n_frames = max(1, round(self._container.duration / 1e6 * self.fps))
        self.n_damaged = 0

    def __iter__(self) -> Iterator[Frame]:
        size, last_s = None, 0.0
        # In AVI files time stamps are guesses that may begin late.
        numbers = _FrameNumbers(from_first_frame=self._container.format.name == "avi")
        for frame in self._decoded(numbers):
            size = size or self._shown_size(frame)
            image = frame.to_ndarray(format="rgb24", **size)
            if frame.rotation:
                image = np.ascontiguousarray(np.rot90(image, round(frame.rotation / 90)))
            index = numbers.take(frame.pts)
            if frame.pts is None or frame.time_base is None:
                time_s = index / (self.fps or 25.0)
            else:
                time_s = float((frame.pts - numbers.first_stamp) * frame.time_base)
            last_s = max(last_s, time_s)
            yield Frame(index, last_s, image)

    def _shown_size(self, frame) -> dict[str, int]:
        """Width and height of a frame with square pixels, before it is turned."""
        aspect = float(self._stream.sample_aspect_ratio or 1)
        if not 1 / MAX_PIXEL_ASPECT < aspect < MAX_PIXEL_ASPECT:
            aspect = 1.0
        return {"width": round(frame.width * max(1, aspect)), "height": round(frame.height * max(1, 1 / aspect))}

    def _decoded(self, numbers: _FrameNumbers):
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
            if packet.size and not packet.is_discard:
                numbers.expect(packet.pts)
            try:
                yield from packet.decode()
            except av.error.FFmpegError:
                self.n_damaged += 1

    def close(self) -> None:
        self._container.close()


class _FrameNumbers:
    """A frame's number is its place among the time stamps of all pieces of the video, also of those that are lost.

    Decoders give frames in the order shown, each after all pieces with earlier stamps were read.

    Attributes:
        first_stamp: the earliest, once a frame was taken.
    """

    def __init__(self, *, from_first_frame: bool):
        self.first_stamp = None
        self._expected: list[int] = []
        self._next, self._skip = 0, from_first_frame

    def expect(self, stamp: int | None) -> None:
        if stamp is not None:
            heapq.heappush(self._expected, stamp)

    def take(self, stamp: int | None) -> int:
        """The number of the next frame; without a stamp it follows the one before."""
        if stamp is not None:
            earliest = self._expected[0] if self._expected and not self._skip else stamp
            self.first_stamp = min(earliest, stamp) if self.first_stamp is None else self.first_stamp
            lost = set()
            while self._expected and self._expected[0] <= stamp:
                lost.add(heapq.heappop(self._expected))  # fields of one frame have one stamp
            self._next += 0 if self._skip else len(lost - {stamp})
            self._skip = False
        self._next += 1
        return self._next - 1


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
        import cv2

        odd_rows, odd_columns = image.shape[0] % 2, image.shape[1] % 2
        if odd_rows or odd_columns:
            image = np.pad(image, [(0, odd_rows), (0, odd_columns), (0, 0)], mode="edge")
        if self._container is None:
            self._open(image)
        planes = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2YUV_I420)  # PyAV takes four times as long
        frame = self._av.VideoFrame.from_ndarray(planes, format="yuv420p")
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
        self._stream.options = {"preset": "superfast", "crf": "22"} if codec == "libx264" else {"qscale": "3"}

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
