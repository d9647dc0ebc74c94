"""How well models place the joints of real people, beside MediaPipe's BlazePose.

    python -m benchmarks.real_people --video pose2sim-0.10.49-py3-none-any.whl
        --models default=runs/default-1 box=pretrained

The video shows one person on a treadmill from four calibrated cameras (docs/evaluation.md). Every fifth frame is
measured (80 views). All are given the same boxes and make one crop of each person; BlazePose also follows the person by
itself, through all frames. 12 joints count: shoulders, elbows, wrists, hips, knees, ankles, by their COCO names or else
the first convention that has them.
"""

from __future__ import annotations

import copy
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import blazepose, real_views
from benchmarks.blazepose import LANDMARKS, Region
from benchmarks.pages import made_by
from benchmarks.real_views import View
from metrabs_acae.errors import UserError
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.geometry.alignment import procrustes
from metrabs_acae.settings import setting, settings
from metrabs_acae.tables import render

PROGRAM = "python -m benchmarks.real_people"
JOINTS = tuple(LANDMARKS)
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "real_people.md"
PAGES = (ROOT / "README.md", ROOT / "docs" / "evaluation.md")
BEGIN, END = "<!-- real people -->\n", "<!-- end of real people -->\n"
COLUMNS = {
    "model": "model",
    "views": "people",
    "mpjpe": "MPJPE",
    "pa_mpjpe": "PA-MPJPE",
    "px": "2D px",
    "position": "position",
    "ms": "CPU-ms",
}
NOTE = (
    "Lengths in mm. MPJPE: about the middle of the hips. 2D px: mean distance in the picture. Position: of the mean "
    "joint in space; BlazePose's is where its pose fits its 2D landmarks through the true camera. CPU-ms: time of the "
    "processor for a person on one thread, crop included (median)."
)


@settings
class Settings:
    """Errors of models and of MediaPipe's BlazePose on real people."""

    models: tuple[str, ...] = setting(("box=pretrained",))
    """NAME=PATH each: a run folder, an exported model, 'pretrained', or a file of its `portable/`."""
    video: str = setting("")
    """The wheel of pose2sim 0.10.49 or a folder with its videos; empty: the installed package."""
    mediapipe: str = setting("")
    """A folder, wheel or npm package with pose_landmark_lite, full or heavy.tflite; empty: without BlazePose."""
    photos: str = setting("")
    """A folder of labelled photographs (labels.json), measured as well."""
    by_camera: bool = setting(False)
    """Also a table of errors by camera or photograph."""
    by_joint: bool = setting(False)
    """Also a table of errors by joint."""
    conventions: tuple[str, ...] = setting(())
    """A row for each of these (h36m smpl), as far as a model has its joints, instead of the joints described above."""
    write: bool = setting(False)
    """Write the tables to benchmarks/results/real_people.md and into the pages that show them."""


@dataclass(frozen=True)
class Estimate:
    """What an estimator makes of a view: [12, 3] mm in the camera frame, [12, 2] px, and CPU seconds."""

    coords3d_mm: np.ndarray
    coords2d_px: np.ndarray
    seconds: float


class ModelEstimator:
    """A model of this project."""

    tracks = False

    def __init__(self, path: str):
        import metrabs_acae
        from metrabs_acae.inference.demo_poses import joints_of
        from metrabs_acae.numpy_runtime import PortableEstimator, networks

        one_file = Path(path).suffix in networks.RUNTIMES
        self._model = PortableEstimator(path, threads=1) if one_file else metrabs_acae.load(path).estimator
        self.names = self._names = joints_of(self._model, "")[0]

    def of_convention(self, convention: str) -> ModelEstimator:
        """The same model, measured by its joints of this convention."""
        other = copy.copy(self)
        other.names = tuple(f"{joint}_{convention}" for joint in JOINTS)
        return other

    def __call__(self, view: View) -> Estimate:
        index = [self._names.index(name) for name in joint_names(view, self.names)]
        start = time.process_time()
        result = self._model.estimate_poses(
            view.image,
            np.float32(view.box)[np.newaxis],
            intrinsic_matrix=np.float32(view.intrinsics)[np.newaxis],
            distortion_coeffs=np.float32(view.distortion)[np.newaxis],
            world_up_vector=np.float32(view.up),
            num_aug=1,
        )
        poses3d, poses2d = (np.asarray(result[key])[0] for key in ("poses3d", "poses2d"))
        return Estimate(poses3d[index], poses2d[index], time.process_time() - start)


class BlazePoseEstimator:
    """BlazePose on the given boxes or, tracking, on the regions that it asks for itself.

    Tracking, a person who is seen for the first time is looked at twice, first by the given box.
    """

    def __init__(self, network, tracks: bool):
        self._network, self.tracks, self._region = network, tracks, None

    def __call__(self, view: View) -> Estimate:
        given = Region.of_box(view.box)
        if self.tracks and (view.first or self._region is None):
            points, _, _ = blazepose.look(self._network, view.image, given)
            self._region = Region.of_landmarks(points)
        start = time.process_time()
        points, world, score = blazepose.look(self._network, view.image, self._region if self.tracks else given)
        if self.tracks:
            self._region = Region.of_landmarks(points) if score >= blazepose.LOWEST_SCORE else None
        index = list(LANDMARKS.values())
        hips = points[[LANDMARKS["lhip"], LANDMARKS["rhip"]]].mean(axis=0)
        pose = blazepose.in_camera(world[index], points[index], hips, view.intrinsics, view.distortion)
        return Estimate(pose, points[index], time.process_time() - start)


def joint_names(view: View, known: tuple[str, ...]) -> list[str]:
    """The model's names of the 12 joints: of the labels' own convention, COCO's, or the first that has them."""
    found = []
    for joint in JOINTS:
        same = [n for n in known if n.split("_")[0] == joint]
        if not same:
            raise UserError(f"The model has no joint {joint}, in whatever convention; it has {', '.join(known[:12])}.")
        best = [n for n in view.joint_names if n in same] + [n for n in (f"{joint}_coco",) if n in same] + same
        found.append(best[0])
    return found


def measure(estimators: dict, views: Iterable[View]) -> dict[str, list[dict]]:
    """For each estimator, a dict for each person measured: errors by joint, NaN where there is no label."""
    records = {name: [] for name in estimators}
    for view in views:
        for name, estimator in estimators.items():
            if view.measured or estimator.tracks:
                estimate = estimator(view)
                if view.measured:
                    records[name].append(errors(view, estimate))
    return records


def errors(view: View, estimate: Estimate) -> dict:
    """{source, mpjpe [12], pa_mpjpe [12], px [12], position, ms}"""
    index = [next(i for i, n in enumerate(view.joint_names) if n.split("_")[0] == joint) for joint in JOINTS]
    record = {"source": view.source, "ms": 1000 * estimate.seconds}
    record["px"] = np.linalg.norm(estimate.coords2d_px - view.coords2d_px[index], axis=-1)
    if view.coords3d_mm is None:
        nothing = np.full(len(JOINTS), np.nan)
        return record | {"mpjpe": nothing, "pa_mpjpe": nothing, "position": np.nan}
    pred, true = np.float64(estimate.coords3d_mm), view.coords3d_mm[index]
    hips = [JOINTS.index("lhip"), JOINTS.index("rhip")]
    relative = pred - pred[hips].mean(axis=0) - (true - true[hips].mean(axis=0))
    return record | {
        "mpjpe": np.linalg.norm(relative, axis=-1),
        "pa_mpjpe": np.linalg.norm(procrustes(pred, true) - true, axis=-1),
        "position": np.linalg.norm(pred.mean(axis=0) - true.mean(axis=0)),
    }


def mean(records: list[dict], key: str, joints=slice(None)) -> float:
    values = np.array([np.asarray(r[key])[..., joints] if np.ndim(r[key]) else r[key] for r in records])
    return float(np.nanmean(values)) if np.isfinite(values).any() else np.nan


def summary(records: dict[str, list[dict]]) -> str:
    rows = []
    for name, found in records.items():
        n_3d = sum(bool(np.isfinite(r["mpjpe"]).any()) for r in found)
        row = {"model": name, "views": len(found) if n_3d == len(found) else f"{n_3d} in 3D, {len(found)} in 2D"}
        row |= {key: mean(found, key) for key in ("mpjpe", "pa_mpjpe", "px", "position")}
        rows.append(row | {"ms": float(np.median([r["ms"] for r in found]))})
    return render(
        rows, "markdown", columns=list(COLUMNS), headers=COLUMNS, digits=dict.fromkeys(COLUMNS, 0) | {"px": 1}
    )


def by_source(records: dict[str, list[dict]]) -> str:
    rows = []
    for name, found in records.items():
        row = {"MPJPE, PA-MPJPE": name}
        for source in dict.fromkeys(r["source"] for r in found):
            part = [r for r in found if r["source"] == source]
            if np.isfinite(mean(part, "mpjpe")):
                row[source] = f"{mean(part, 'mpjpe'):.0f}, {mean(part, 'pa_mpjpe'):.0f}"
        rows.append(row)
    return render(rows, "markdown")


def by_joint(records: dict[str, list[dict]]) -> str:
    """The two sides of the body together."""
    rows = []
    for name, found in records.items():
        row = {"MPJPE, PA-MPJPE": name}
        for joint in dict.fromkeys(j[1:] for j in JOINTS):
            sides = [i for i, j in enumerate(JOINTS) if j[1:] == joint]
            row[joint] = f"{mean(found, 'mpjpe', sides):.0f}, {mean(found, 'pa_mpjpe', sides):.0f}"
        rows.append(row)
    return render(rows, "markdown")


def make_estimators(values: Settings) -> dict:
    """By the name of their row."""
    networks = blazepose.read_networks(Path(values.mediapipe)) if values.mediapipe else {}
    estimators = {}
    for given in values.models:
        name, equals, path = given.partition("=")
        if not (name and equals and path):
            raise UserError(f"--models takes NAME=PATH, not '{given}'; for example default=runs/default-1.")
        model = ModelEstimator(path)
        wanted = {c: model.of_convention(c) for c in values.conventions}
        having = {f"{name} ({c})": m for c, m in wanted.items() if {*m.names} <= {*model.names}}
        if wanted and not having:
            raise UserError(f"{name} has the 12 joints of none of these conventions: {', '.join(wanted)}.")
        estimators |= having or {name: model}
    for name, content in networks.items():
        network = blazepose.BlazePose(content, threads=1)
        estimators[f"BlazePose {name}, given boxes"] = BlazePoseEstimator(network, tracks=False)
        estimators[f"BlazePose {name}, tracking"] = BlazePoseEstimator(network, tracks=True)
    return estimators


def tables(values: Settings, estimators: dict) -> list[tuple[str, str]]:
    """[(title, table)], those of the video first."""
    sets = {"Video": real_views.video_views(Path(values.video) if values.video else None)}
    if values.photos:
        sets["Photographs"] = real_views.photograph_views(Path(values.photos))
    found = []
    for title, views in sets.items():
        records = measure(estimators, views)
        found.append((title, summary(records)))
        if values.by_camera:
            found.append((f"{title}, by {'camera' if title == 'Video' else 'photograph'}", by_source(records)))
        if values.by_joint:
            found.append((f"{title}, by joint", by_joint(records)))
    return found


def set_threads() -> None:
    from metrabs_acae.backend import import_tensorflow_quietly

    import_tensorflow_quietly()
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)


def put_between_marks(page: Path, text: str) -> None:
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    page.write_text(before + begin + text + end + after)


def run(arguments: list[str]) -> None:
    values = parse(Settings, arguments, PROGRAM, description=__doc__)
    if values.video and not Path(values.video).exists():
        raise UserError(f"There is no {values.video}; {real_views.HOW_TO_GET}.")
    set_threads()
    found = tables(values, make_estimators(values))
    text = "\n\n".join(f"**{title}**\n\n{table}" for title, table in found)
    print(text)
    if values.write:
        put_between_marks(RESULTS, f"{made_by(PROGRAM, arguments)}\n\n{NOTE}\n\n{text}\n")
        for page in PAGES:
            put_between_marks(page, found[0][1] + "\n")


def main() -> int:
    return exit_code(lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
