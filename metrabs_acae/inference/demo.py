"""Photographs, videos and webcams in, pictures and files of poses out: the model as a command-line user sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.data.images import write_image
from metrabs_acae.errors import UserError
from metrabs_acae.files import replacing
from metrabs_acae.inference import demo_inputs, motion_files
from metrabs_acae.inference.demo_cameras import DemoCameras
from metrabs_acae.inference.demo_inputs import DemoInput
from metrabs_acae.inference.demo_poses import (
    RESULT_SUFFIXES,
    DemoResult,
    Estimator,
    draw_people,
    load_saved_model,
    require_detector,
    write_pose_files,
)
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.demo_video import open_moving, run_video
from metrabs_acae.inference.own_files import claim
from metrabs_acae.inference.photographs import read_photograph
from metrabs_acae.inference.pose_files import PoseLog


def run_demo(
    saved_model_path, inputs: Sequence[str], *, out_dir="demo", settings: Demo | None = None, log=print, load=None
) -> list[DemoResult]:
    """Estimates and draws the poses of photographs, videos and webcams; docs/demo.md describes the files.

    Files appear under their names when they are complete. An input without people is a normal result. One that cannot
    be read does not keep the others from being done.

    Args:
        saved_model_path: folder written by `export_saved_model`.
        inputs: see `demo_inputs.find_inputs`.
        settings: see `Demo`.
        log: is given a line of text for each input.
        load: `saved_model_path` -> `PoseEstimator`, where it is the path of something else.

    Raises:
        UserError: on a missing or broken input, an unknown skeleton, boxes that cannot be read, no detector, a folder
            that cannot be written.
        KeyboardInterrupt: after Ctrl-C in a video (not a webcam), when its files up to there are complete.
    """
    settings = settings or Demo()
    if settings.smooth and not settings.track:
        raise UserError("--smooth needs tracked people: leave out --no-track.")
    motion_files.check_tracked(settings)
    out_dir = Path(out_dir)
    items = demo_inputs.find_inputs(inputs, out_dir=out_dir, suffixes=RESULT_SUFFIXES)
    skipped = demo_inputs.skipped_files(inputs, items)
    given = demo_inputs.parse_boxes(settings.boxes)
    cameras = DemoCameras(settings)
    require_writable(out_dir)
    if out_dir.resolve() in {Path(item.path).parent.resolve() for item in items}:
        claim(out_dir, [item.stem + suffix for item in items for suffix in RESULT_SUFFIXES])
    boxes, failures = {}, {}
    for item in items:  # what cannot be used is known before the model is loaded
        try:
            boxes[item] = demo_inputs.boxes_for(given, item)
            if item.kind == "video" and item.path != "-":
                open_moving(item.path).close()
        except UserError as error:
            failures[item] = str(error)
    results: list[DemoResult] = []
    if len(failures) < len(items):
        model = (load or load_saved_model)(saved_model_path)
        if None in boxes.values():
            require_detector(model, saved_model_path)
        estimator = Estimator(model, cameras, settings)
        motion_files.check_feet(settings, estimator.joint_names)
    for item in items:
        if item in failures:
            continue
        run = run_photograph if item.kind == "image" else run_video
        try:
            results.append(run(item, out_dir, estimator, boxes[item], settings, log))
        except UserError as error:
            failures[item] = str(error)
        except OSError as error:
            raise UserError(f"The results of {item.name} cannot be written to {out_dir}: {error}.") from None
    if results:
        log(f"Wrote pictures and poses to {out_dir}")
    if skipped:
        log(f"Skipped, being no pictures or videos: {', '.join(skipped)}")
    if len(failures) == 1:
        raise UserError(next(iter(failures.values())).rstrip(".") + ("; the rest is done." if results else "."))
    if failures:
        rest = "; the rest is done" if results else ""
        sentence = f"{len(failures)} of {len(items)} inputs could not be used{rest}:"
        raise UserError(sentence, *(f"  {item.name}: {failures[item]}" for item in items if item in failures))
    return results


def require_writable(folder: Path) -> None:
    """Makes the folder; UserError where files cannot be made in it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(folder / ".writable") as temporary:
            temporary.touch()
        (folder / ".writable").unlink()
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"The folder {folder} cannot be written to ({reason}); give another with --out-dir.") from None


def run_photograph(
    item: DemoInput, out_dir: Path, estimator: Estimator, boxes_of: Callable | None, settings: Demo, log
) -> DemoResult:
    """Writes what `settings.outputs` asks for of one photograph."""
    from metrabs_acae.visualization import overlay

    start = time.perf_counter()
    photograph = read_photograph(item.path)
    image = photograph.image
    source = estimator.source(item, image, detected=boxes_of is None, tracked=False, focal=photograph.focal)
    (people,) = estimator([image], None if boxes_of is None else [boxes_of(0)], source)
    seconds = time.perf_counter() - start
    files, picture = [], ""
    if "overlay" in settings.outputs:
        picture = f"{item.stem}.overlay.png"
        boxes = people.boxes if boxes_of is not None else np.column_stack([people.boxes, people.scores])
        views = overlay.figure_pose_views(image, people.poses2d, people.poses3d, source.edges, boxes=boxes)
        files += [out_dir / picture, out_dir / f"{item.stem}.views.png"]
        write_image(files[0], draw_people(image, people, source))
        write_image(files[1], views)
    with PoseLog(source) as poses:
        poses.add(0, 0.0, people)
        files += write_pose_files(out_dir / item.stem, poses, settings, picture=picture)
    remarks = "".join(f", {r}" for r in (photograph.remark, source.camera_from if photograph.focal else "") if r)
    log(f"{item.name}: {_count(len(people))}, {seconds:.2f} s{remarks}")
    return DemoResult(source.name, 1, len(people), tuple(files))


def _count(n: int) -> str:
    return f"{n} {'person' if n == 1 else 'people'}"
