"""Photographs, videos and webcams in, pictures and files of poses out: the model as a command-line user sees it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import replacing
from metrabs_acae.inference import demo_inputs
from metrabs_acae.inference.demo_cameras import DemoCameras
from metrabs_acae.inference.demo_inputs import DemoInput
from metrabs_acae.inference.demo_poses import DemoResult, Estimator, draw_people, load_saved_model, write_pose_files
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.demo_video import run_video
from metrabs_acae.inference.pose_files import PoseLog
from metrabs_acae.inference.video import VideoFile


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
    items = demo_inputs.find_inputs(inputs)
    boxes = demo_inputs.parse_boxes(settings.boxes)
    boxes = {item: demo_inputs.boxes_for(boxes, item) for item in items}
    cameras = DemoCameras(settings)
    out_dir = Path(out_dir)
    require_writable(out_dir)
    for item in items:
        if item.kind == "video" and item.path != "-":
            VideoFile(item.path).close()  # what cannot be read stops us before the model is loaded
    model = (load or load_saved_model)(saved_model_path)
    if None in boxes.values() and not hasattr(model, "detect_poses_batched"):
        raise UserError(
            f"{saved_model_path} has no detector; give the people's boxes with --boxes LEFT,TOP,WIDTH,HEIGHT[;...]."
        )
    estimator = Estimator(model, cameras, settings)

    results, failures = [], []
    for item in items:
        run = run_photograph if item.kind == "image" else run_video
        try:
            results.append(run(item, out_dir, estimator, boxes[item], settings, log))
        except UserError as error:
            failures.append(str(error))
        except OSError as error:
            raise UserError(f"The results of {item.name} cannot be written to {out_dir}: {error}.") from None
    if results:
        log(f"Wrote pictures and poses to {out_dir}")
    if failures:
        others = f"; {len(failures) - 1} more inputs could not be used" if len(failures) > 1 else ""
        raise UserError(failures[0].rstrip(".") + others + ("; the rest is done." if results else "."))
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
    image = demo_inputs.read_image(item.path)
    source = estimator.source(item, image, detected=boxes_of is None, tracked=False)
    (people,) = estimator([image], None if boxes_of is None else [boxes_of(0)], source)
    seconds = time.perf_counter() - start
    files, picture = [], ""
    if "overlay" in settings.outputs:
        picture = f"{item.stem}.overlay.png"
        boxes = people.boxes if boxes_of is not None else np.column_stack([people.boxes, people.scores])
        views = overlay.figure_pose_views(image, people.poses2d, people.poses3d, source.edges, boxes=boxes)
        files += [out_dir / picture, out_dir / f"{item.stem}.views.png"]
        _write_png(files[0], draw_people(image, people, source))
        _write_png(files[1], views)
    with PoseLog(source) as poses:
        poses.add(0, 0.0, people)
        files += write_pose_files(out_dir / item.stem, poses, settings, picture=picture)
    log(f"{item.name}: {_count(len(people))}, {seconds:.2f} s")
    return DemoResult(source.name, 1, len(people), tuple(files))


def _write_png(path: Path, image: np.ndarray) -> None:
    import cv2

    done, data = cv2.imencode(".png", image[..., ::-1])
    if not done:
        raise OSError(f"a picture of shape {image.shape} cannot be encoded")
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def _count(n: int) -> str:
    return f"{n} {'person' if n == 1 else 'people'}"
