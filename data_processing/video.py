"""Reads frames of video files one after another, in constant memory."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.inference.video import open_video


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
    wanted = None if indices is None else sorted(set(int(i) for i in indices))
    if wanted is not None and not wanted:
        return
    container, stream = _open(path)
    import av

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


def labelled_frames(path, frames: Collection[int], output) -> Iterator[tuple[int, np.ndarray]]:
    """As `read_frames`; those of `frames` that the video does not reach any more are noted as left out of `output`."""
    n_read = 0
    for index, image in read_frames(path, frames):
        n_read += 1
        yield index, image
    for _ in range(len(frames) - n_read):
        output.skip("the video ends before the labels")


def _open(path):
    container, stream = open_video(path, str(path))
    stream.codec_context.thread_count = 1  # the worker processes already use every core
    return container, stream
