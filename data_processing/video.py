"""Reads frames of video files one after another, in constant memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_processing.images import MAX_PIXELS
from metrabs_acae.errors import UserError


@dataclass(frozen=True)
class VideoInfo:
    """Frames per second, width and height in pixels, and the number of frames (0 where the header does not say it)."""

    fps: float
    size_wh: tuple[int, int]
    n_frames: int = 0


def video_info(path) -> VideoInfo:
    """What a video's header says; UserError names the file that cannot be read."""
    container, stream = _open(path)
    with container:
        rate = stream.average_rate or stream.guessed_rate
        if not rate:
            raise UserError(f"{path} does not say how many frames per second it has.")
        return VideoInfo(float(rate), (stream.codec_context.width, stream.codec_context.height), stream.frames)


def read_frames(path, indices: Iterable[int] | None = None) -> Iterator[tuple[int, np.ndarray]]:
    """(index, RGB uint8 [H, W, 3]) of the frames wanted, in order; all frames where `indices` is None.

    Frames are counted in the order in which they are shown, from 0. Reading stops after the last one wanted; a video
    that ends before simply gives fewer. UserError where the file is missing or is no video.
    """
    import av

    wanted = None if indices is None else sorted(set(int(i) for i in indices))
    if wanted is not None and not wanted:
        return
    container, stream = _open(path)
    position = 0
    with container:
        try:
            for index, frame in enumerate(container.decode(stream)):
                if wanted is None:
                    yield index, frame.to_ndarray(format="rgb24")
                    continue
                if index == wanted[position]:
                    yield index, frame.to_ndarray(format="rgb24")
                    position += 1
                    if position == len(wanted):
                        return
        except av.error.FFmpegError as error:
            raise UserError(f"{path} is damaged after {position} frames ({error}); fetch it again.") from None


def _open(path):
    try:
        import av
    except ImportError:
        raise UserError("Reading videos needs the extra [data]: pip install metrabs_acae[data].") from None
    if not Path(path).is_file():
        raise UserError(f"The video {path} is missing.")
    try:
        container = av.open(str(path))
    except av.error.FFmpegError as error:
        raise UserError(f"{path} is not a readable video ({error}); it may be cut off: fetch it again.") from None
    if not container.streams.video:
        container.close()
        raise UserError(f"{path} has no video stream.")
    stream = container.streams.video[0]
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        container.close()
        raise UserError(f"{path} claims frames of more than {MAX_PIXELS:,} pixels; it is not read.")
    stream.codec_context.thread_count = 1  # the worker processes already use every core
    return container, stream
