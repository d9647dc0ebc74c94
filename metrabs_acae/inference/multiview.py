"""The demo with several calibrated cameras: people posed in each view, fused in the world, and drawn in all views."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import replacing
from metrabs_acae.inference import demo_inputs, motion_files
from metrabs_acae.inference.demo import require_writable
from metrabs_acae.inference.demo_poses import (
    RESULT_SUFFIXES,
    DemoResult,
    Estimator,
    draw_poses,
    load_saved_model,
    require_detector,
    write_pose_files,
)
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.multiview_inputs import Moments, View
from metrabs_acae.inference.multiview_log import NAME, FusedLog
from metrabs_acae.inference.multiview_posing import Posing
from metrabs_acae.inference.own_files import claim
from metrabs_acae.inference.pose_files import PoseLog, Source
from metrabs_acae.inference.video import VideoWriter
from metrabs_acae.interruption import Interruption
from metrabs_acae.progress import Progress


def run_multiview(
    saved_model_path, inputs: Sequence[str], *, out_dir="demo", settings: Demo, log=print, load=None
) -> DemoResult:
    """Estimates and draws the poses of people whom all videos show at the same time; docs/demo.md describes the files.

    Arguments as of `run_demo`; `settings.multiview.calibration` names the cameras' file.

    Raises:
        UserError: as `run_demo`, and where videos and cameras do not go together.
        KeyboardInterrupt: after Ctrl-C, when the files up to there are complete.
    """
    _check_settings(settings)
    out_dir = Path(out_dir)
    items = demo_inputs.find_inputs(inputs, out_dir=out_dir, suffixes=RESULT_SUFFIXES)
    others = [item.name for item in items if item.kind != "video" or item.path == "-"]
    if others or len(items) < 2:
        what = f"{others[0]} is none" if others else "there is one"
        raise UserError(f"--calibration needs the video files of several cameras: {what}.")
    if settings.multiview.min_views > len(items):
        raise UserError(
            f"--min-views {settings.multiview.min_views} cameras are more than the {len(items)} of the videos."
        )
    given = demo_inputs.parse_boxes(settings.boxes)
    boxes = [demo_inputs.boxes_for(given, item) for item in items]
    require_writable(out_dir)
    name = NAME
    if out_dir.resolve() in {Path(item.path).parent.resolve() for item in items}:
        (name,) = demo_inputs.unique_stems([NAME], is_free=demo_inputs.free_stems(out_dir, RESULT_SUFFIXES))
        claim(out_dir, [stem + s for stem in (name, *(item.stem for item in items)) for s in RESULT_SUFFIXES])
    with contextlib.closing(Moments(items, settings.multiview)) as moments:
        model = (load or load_saved_model)(saved_model_path)
        if None in boxes:
            require_detector(model, saved_model_path)
        estimator = Estimator(model, None, settings)
        motion_files.check_feet(settings, estimator.joint_names)
        return _run(items, moments, Posing(moments.views, estimator, boxes, settings), out_dir / name, settings, log)


def _check_settings(settings: Demo) -> None:
    for flag, given in {
        "--camera": settings.camera,
        "--intrinsics": settings.intrinsics,
        "--fov": settings.fov,
    }.items():
        if given:
            raise UserError(f"{flag} and --calibration both say what the cameras are; give one of them.")
    if not settings.track:
        raise UserError("--calibration follows people over time: leave out --no-track.")


def _run(items, moments: Moments, posing: Posing, stem: Path, settings: Demo, log) -> DemoResult:
    views, out_dir = moments.views, stem.parent
    with contextlib.ExitStack() as stack:
        interruption = stack.enter_context(Interruption())
        found = stack.enter_context(FusedLog(views, posing.sources[0]))
        n_expected = moments.n_moments
        if settings.max_frames:
            n_expected = min(settings.max_frames, n_expected or settings.max_frames)
        progress = Progress(f"{len(views)} views: frames", n_expected)
        some = itertools.islice(moments, settings.max_frames or None)
        for batch in iter(lambda: list(itertools.islice(some, settings.frames_per_batch)), []):
            for (number, time_s, _), people in zip(batch, posing(batch), strict=True):
                found.add(number, time_s, people)
            progress.step(len(batch))
            if interruption.requested:
                break
        fps = progress.rate
        progress.close()
        poses = stack.enter_context(found.finished(settings))
        files, picture = [], ""
        if "overlay" in settings.outputs:
            files = _draw(items, posing.sources, poses, out_dir, settings)
            picture = files[0].name
        files += write_pose_files(stem, poses, settings, picture=picture)
        result = DemoResult(NAME, poses.n_frames, poses.n_rows, tuple(files))
        for line in _report(views, poses):
            log(line)
    frames = f"{result.n_frames} frames, {result.n_people / max(result.n_frames, 1):.1f} people a frame, {fps:.1f} fps"
    damaged = f", {moments.n_damaged} damaged pieces skipped" if moments.n_damaged else ""
    log(frames + damaged + (", stopped early" if interruption.requested else ""))
    log(f"Wrote {', '.join(file.name for file in files)} to {out_dir}")
    if interruption.requested:
        raise KeyboardInterrupt
    return result


def _draw(items, sources: Sequence[Source], poses: PoseLog, out_dir: Path, settings: Demo) -> list[Path]:
    """Reads the videos a second time and writes them with the poses drawn in."""
    files = [out_dir / f"{item.stem}.overlay.mp4" for item in items]
    columns = {name: poses.column(name) for name in ("person", "view_poses2d_px", "view_boxes_ltwh_px", "view_scores")}
    starts = np.concatenate([[0], np.cumsum(poses.column("n_people"))])
    with contextlib.ExitStack() as stack:
        moments = stack.enter_context(contextlib.closing(Moments(items, settings.multiview)))
        writers = [VideoWriter(stack.enter_context(replacing(f)), fps=moments.fps) for f in files]
        progress = Progress(f"{len(items)} views: drawn", poses.n_frames)
        for i, (_, time_s, frames) in enumerate(itertools.islice(moments, poses.n_frames)):
            person, poses2d, boxes, scores = (c[starts[i] : starts[i + 1]] for c in columns.values())
            for view, frame in frames.items():
                image = draw_poses(
                    frame.image, person, poses2d[:, view], boxes[:, view], scores[:, view], sources[view]
                )
                writers[view].write(image, time_s)
            progress.step()
        progress.close()
        for writer in writers:
            writer.close()
    return files


def _report(views: Sequence[View], poses: PoseLog) -> Iterator[str]:
    """How far the projected poses are from those of each view."""
    if not poses.n_rows:
        yield (
            "Nobody was seen by several cameras at one place: do the cameras of --calibration (its unit, "
            "--camera-names) and the moments (--sync) belong to the videos?"
        )
    errors = poses.column("view_errors_px")
    for i, view in enumerate(views):
        known = errors[:, i][np.isfinite(errors[:, i])]
        size = f"reprojection error {np.median(known):.1f} px (median)" if len(known) else "nobody"
        yield f"{view.name}: camera '{view.camera_name}', {size}"
