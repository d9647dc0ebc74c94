"""The demo on videos and webcams: frames are read, posed, drawn and written batch by batch, in constant memory."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
from collections.abc import Callable
from pathlib import Path

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.views import project
from metrabs_acae.files import replacing
from metrabs_acae.inference.animation import AnimatedPicture, is_animated
from metrabs_acae.inference.demo_inputs import DemoInput
from metrabs_acae.inference.demo_poses import DemoResult, Estimator, draw_people, write_pose_files
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.pose_files import People, PoseLog, Source
from metrabs_acae.inference.read_ahead import read_ahead
from metrabs_acae.inference.refinement import refine_log
from metrabs_acae.inference.smoothing import PoseSmoother
from metrabs_acae.inference.tracking import PoseTracker
from metrabs_acae.inference.video import VideoFile, VideoWriter, Webcam
from metrabs_acae.interruption import Interruption
from metrabs_acae.progress import Progress

FRAMES_AHEAD = 4


def run_video(
    item: DemoInput, out_dir: Path, estimator: Estimator, boxes_of: Callable | None, settings: Demo, log
) -> DemoResult:
    """Writes what `settings.outputs` asks for of one video or webcam.

    Ctrl-C ends it after the batch at hand, with complete files; for a webcam that is the normal end, for a video
    KeyboardInterrupt follows.
    """
    reader = Webcam(int(item.path)) if item.kind == "webcam" else open_moving(item.path)
    # A live picture is worth most at once.
    batch_size = 1 if item.kind == "webcam" else settings.frames_per_batch
    frames = itertools.islice(reader, settings.max_frames or None)
    if item.kind != "webcam":
        frames = read_ahead(frames, batch_size)
    batches = iter(lambda: list(itertools.islice(frames, batch_size)), [])
    n_expected = reader.n_frames
    if settings.max_frames:
        n_expected = min(settings.max_frames, n_expected or settings.max_frames)

    with contextlib.ExitStack() as stack:
        stack.callback(reader.close)
        if item.kind != "webcam":
            stack.enter_context(contextlib.closing(frames))
        interruption = stack.enter_context(Interruption())
        first_batch = next(batches, None)
        if not first_batch:
            hint = "; MP4 on a pipe needs its index in front (ffmpeg -movflags faststart), or send Matroska"
            raise UserError(f"{reader.name} has no frame that can be decoded{hint if item.path == '-' else ''}.")
        source = estimator.source(item, first_batch[0].image, detected=boxes_of is None, tracked=settings.track)
        source = dataclasses.replace(source, name=reader.name)
        refine = settings.refine and settings.track and not settings.smooth and item.kind != "webcam"
        poses = stack.enter_context(PoseLog(source))
        follow = _Follower(source, settings) if settings.track else lambda time_s, people: people
        files, draw, picture = [], None, ""
        if "overlay" in settings.outputs:
            picture = f"{item.stem}.overlay.mp4"
            files.append(out_dir / picture)
            draw = VideoWriter(stack.enter_context(replacing(files[0])), fps=reader.fps)
        draw_later = draw is not None and refine and item.path != "-"  # a pipe is read once

        progress = Progress(f"{reader.name}: frames", n_expected)
        for batch in itertools.chain([first_batch], batches):
            given = None if boxes_of is None else [boxes_of(frame.index) for frame in batch]
            estimated = estimator([frame.image for frame in batch], given, source)
            for frame, people in zip(batch, estimated, strict=True):
                people = follow(frame.time_s, people)
                poses.add(frame.index, frame.time_s, people)
                if draw and not draw_later:
                    draw.write(draw_people(frame.image, people, source), frame.time_s)
            progress.step(len(batch))
            if interruption.requested:
                break
        seconds = poses.n_frames / progress.rate
        progress.close()
        if refine:
            poses = stack.enter_context(refine_log(poses))
        if draw_later:
            seconds += _draw_again(item, poses, draw)
        if draw:
            draw.close()
        files += write_pose_files(out_dir / item.stem, poses, settings, picture=picture)
        result = DemoResult(source.name, poses.n_frames, poses.n_rows, tuple(files))
    log(_summary(result, result.n_frames / seconds, reader.n_damaged, interruption.requested))
    if interruption.requested and item.kind != "webcam":
        raise KeyboardInterrupt
    return result


def _draw_again(item: DemoInput, poses: PoseLog, draw: VideoWriter) -> float:
    """Reads the video a second time and writes its frames with the poses drawn in; gives the seconds it took."""
    reader = open_moving(item.path)
    with contextlib.closing(reader), contextlib.closing(read_ahead(reader, FRAMES_AHEAD)) as frames:
        progress = Progress(f"{poses.source.name}: drawn", poses.n_frames)
        for frame, (_, time_s, people) in zip(frames, poses.frames(), strict=False):
            draw.write(draw_people(frame.image, people, poses.source), time_s)
            progress.step()
        progress.close()
    return poses.n_frames / progress.rate


def open_moving(path: str) -> VideoFile | AnimatedPicture:
    """A video's or an animated picture's frames; UserError where it cannot be read."""
    return AnimatedPicture(path) if is_animated(path) else VideoFile(path)


class _Follower:
    """Numbers the people of frame after frame and, if asked to, smooths their poses."""

    def __init__(self, source: Source, settings: Demo):
        self._source = source
        self._tracker = PoseTracker()
        self._smoother = PoseSmoother() if settings.smooth else None

    def __call__(self, time_s: float, people: People) -> People:
        person = self._tracker.update(time_s, people.poses3d, people.poses2d)
        if self._smoother is None:
            return dataclasses.replace(people, person=person)
        poses3d = self._smoother.update(time_s, person, people.poses3d)
        poses2d = project(poses3d, self._source.camera)
        return dataclasses.replace(people, person=person, poses3d=poses3d, poses2d=poses2d)


def _summary(result: DemoResult, fps: float, n_damaged: int, interrupted: bool) -> str:
    frames = "1 frame" if result.n_frames == 1 else f"{result.n_frames} frames"
    text = f"{result.name}: {frames}, {result.n_people / result.n_frames:.1f} people a frame, {fps:.1f} fps"
    text += f", {n_damaged} damaged pieces skipped" if n_damaged else ""
    return text + (", stopped early" if interrupted else "")
