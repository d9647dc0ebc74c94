"""How well people are followed in videos, and how much better their motion is after refinement.

    python -m benchmarks.motion --video pose2sim-0.10.49-py3-none-any.whl --write

Rendered clips of known motion (benchmarks/motion_clips.py) go through the model's own detector, the tracker and the
refinement of the demo, with the true camera. So does each camera of the real video of one person, with the given boxes
(docs/evaluation.md), and of the same package's video of several people, of whom there is no truth: their numbers are
counted. "Raw" are the poses of single frames, "refined" those of all together.
"""

from __future__ import annotations

import dataclasses
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, islice
from pathlib import Path

import numpy as np
from scipy.optimize import linear_sum_assignment

from benchmarks import motion_clips, real_views
from benchmarks.pages import made_by
from metrabs_acae.data.lens import PINHOLE, Lens
from metrabs_acae.evaluation.metrics import pa_mpjpe
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings
from metrabs_acae.tables import render

PROGRAM = "python -m benchmarks.motion"
RESULTS = Path(__file__).parent / "results" / "motion.md"
SKELETON, REAL_SKELETON = "smpl+head_30", "coco_19"
REAL_FPS = 60.0
STANDING_MM_S = 100.0
MOST_APART, STAYS = 0.5, 0.25
"""Shares of the person's height in the picture: farther off, a found person is not the true one; so much nearer
counts who was taken for it before."""
DIGITS = {"MPJPE": 0, "PA-MPJPE": 0, "position": 0, "acceleration": 1, "jitter": 1, "true jitter": 1, "sliding": 0}
NOTE = (
    "MPJPE about the middle of the hips and PA-MPJPE in mm; position: of the mean joint, mm; acceleration: its error, "
    "m/s^2; jitter: mean third derivative, 100 m/s^3, beside the true one; sliding: mean speed of ankles that truly "
    "stand, mm/s; switches: how often a true person's number changes; people: numbers given out, and true people."
)


@settings
class Settings:
    """Motion of people in rendered and real videos, before and after refinement."""

    model: str = setting("pretrained")
    """A run folder, an exported model with a detector, or 'pretrained'."""
    video: str = setting("")
    """The wheel of pose2sim 0.10.49 or a folder with its videos; empty: rendered clips only."""
    fps: tuple[float, ...] = setting((25.0, 50.0))
    """Frame rates of the rendered clips; beyond the first only two clips are measured."""
    write: bool = setting(False)
    """Write the tables to benchmarks/results/motion.md."""


@dataclass(frozen=True)
class Followed:
    """Somebody true in a video: poses [F, J, 3] mm in the camera's frame, and who was taken for it, by frame.

    Attributes:
        frames: [F] of those in which somebody was. numbers: [F].
    """

    frames: np.ndarray
    true: np.ndarray
    raw: np.ndarray
    refined: np.ndarray
    numbers: np.ndarray


def follow(pictures: Iterable[np.ndarray], fps: float, estimator, source, boxes=None):
    """The demo's logs of a video: (raw, refined). boxes: [F, P, 4] px, or None."""
    from metrabs_acae.inference.pose_files import PoseLog
    from metrabs_acae.inference.refinement import refine_log
    from metrabs_acae.inference.tracking import PoseTracker

    log, tracker, frame = PoseLog(source), PoseTracker(), 0
    pictures = iter(pictures)
    while batch := list(islice(pictures, 8)):
        given = None if boxes is None else list(boxes[frame : frame + len(batch)])
        for people in estimator(batch, given, source):
            numbers = tracker.update(frame / fps, people.poses3d, people.poses2d)
            log.add(frame, frame / fps, dataclasses.replace(people, person=numbers))
            frame += 1
    return log, refine_log(log)


def matched(raw, refined, true_mm: np.ndarray, intrinsics: np.ndarray) -> list[Followed]:
    """Who of the logs' people is which of the true ones [P, F, J, 3], by places in the picture."""
    image = true_mm @ intrinsics.T
    true_px = image[..., :2] / image[..., 2:]
    heights = np.ptp(true_px[..., 1], axis=-1)
    rows, poses = {p: [] for p in range(len(true_mm))}, (raw.column("poses3d"), refined.column("poses3d"))
    found_px, frames, numbers = raw.column("poses2d"), raw.column("frame"), raw.column("person")
    for frame in range(true_mm.shape[1]):
        here = np.flatnonzero(frames == frame)
        apart = np.linalg.norm(true_px[:, frame].mean(axis=1)[:, np.newaxis] - found_px[here].mean(axis=1), axis=-1)
        apart = apart / heights[:, frame, np.newaxis]
        before = np.array([numbers[rows[p][-1][1]] if rows[p] else 0 for p in rows])
        apart = apart - STAYS * (before[:, np.newaxis] == numbers[here])
        for p, i in zip(*linear_sum_assignment(apart), strict=True):
            if apart[p, i] < MOST_APART:
                rows[p].append((frame, here[i]))
    found = []
    for p, pairs in rows.items():
        at, row = np.array(pairs, int).reshape(-1, 2).T
        found.append(Followed(at, true_mm[p, at], *(x[row].astype(np.float64) for x in poses), numbers[row]))
    return found


def runs_of_frames(frames: np.ndarray) -> Iterator[slice]:
    """Parts of which each frame follows the one before."""
    for _, part in groupby(range(len(frames)), key=lambda i: frames[i] - i):
        part = list(part)
        yield slice(part[0], part[-1] + 1)


def derivative(poses: np.ndarray, frames: np.ndarray, order: int, fps: float) -> np.ndarray:
    """[*, J, 3] of poses [F, J, 3], where enough frames follow each other."""
    parts = [np.diff(poses[part], n=order, axis=0) * fps**order for part in runs_of_frames(frames)]
    return np.concatenate(parts) if parts else np.zeros((0, *poses.shape[1:]))


def errors(person: Followed, poses: np.ndarray, joint_names, fps: float) -> dict[str, float]:
    base = [n.split("_")[0] for n in joint_names]
    hips, ankles = ([base.index(side + j) for side in "lr"] for j in ("hip", "ank"))
    true, frames = person.true, person.frames
    relative = lambda p: p - p[:, hips].mean(axis=1, keepdims=True)  # noqa: E731
    length = lambda x: np.linalg.norm(x, axis=-1)  # noqa: E731
    off = derivative(poses, frames, 2, fps) - derivative(true, frames, 2, fps)
    stands = length(derivative(true[:, ankles], frames, 1, fps)) < STANDING_MM_S
    slid = length(derivative(poses[:, ankles], frames, 1, fps))[stands]
    return {
        "MPJPE": float(length(relative(poses) - relative(true)).mean()),
        "PA-MPJPE": pa_mpjpe(poses[::5], true[::5]),
        "position": float(length(poses.mean(axis=1) - true.mean(axis=1)).mean()),
        "acceleration": float(length(off).mean()) / 1e3,
        "jitter": float(length(derivative(poses, frames, 3, fps)).mean()) / 1e5,
        "true jitter": float(length(derivative(true, frames, 3, fps)).mean()) / 1e5,
        "sliding": float(slid.mean()) if slid.size else np.nan,
    }


def rows_of(name: str, people: list[Followed], joint_names, fps: float, n_numbers: int) -> list[dict]:
    """Two rows of a table, raw and refined."""
    rows = []
    for kind in ("raw", "refined"):
        found = [errors(p, getattr(p, kind), joint_names, fps) for p in people if len(p.frames)]
        row = {"video": name, "poses": kind} | {key: float(np.mean([f[key] for f in found])) for key in found[0]}
        switches = sum(int((np.diff(p.numbers) != 0).sum()) for p in people)
        rows.append(row | {"switches": str(switches), "people": f"{n_numbers} of {len(people)}"})
    return rows


def mean_rows(rows: list[dict], name: str) -> list[dict]:
    means = []
    for kind in ("raw", "refined"):
        same = [r for r in rows if r["poses"] == kind]
        mean = {key: float(np.nanmean([r[key] for r in same])) for key in DIGITS}
        switches = str(sum(int(r["switches"]) for r in same))
        means.append({"video": name, "poses": kind} | mean | {"switches": switches, "people": ""})
    return means


def clip_rows(make_estimator, all_fps: tuple[float, ...]) -> list[dict]:
    view = motion_clips.camera()
    estimator = make_estimator((view.K, PINHOLE), SKELETON)
    names = motion_clips.joints.all_joints().skeleton.joint_names
    index = [names.index(n) for n in estimator.joint_names]
    found = []
    for i, fps in enumerate(all_fps):
        rows = []
        for clip in motion_clips.CLIPS if i == 0 else [motion_clips.CLIPS[k] for k in (0, 3)]:
            pictures, true_mm = motion_clips.frames(clip, fps)
            source = source_of(estimator, clip.name, view.size_wh)
            raw, refined = follow(pictures, fps, estimator, source)
            people = matched(raw, refined, true_mm[:, :, index], view.K)
            rows += rows_of(f"{clip.name}, {fps:g} fps", people, estimator.joint_names, fps, raw.column("person").max())
        found += rows + mean_rows(rows, f"mean, {fps:g} fps")
    return found


def real_rows(make_estimator, wheel: Path) -> list[dict]:
    from data_processing import cameras
    from data_processing.datasets.pose2sim_demo import camera_of, read_truth

    truth, rows = read_truth(), []
    with tempfile.TemporaryDirectory() as scratch:
        for number, video in enumerate(real_views.find_videos(wheel, Path(scratch))):
            camera = camera_of(truth, number)
            estimator = make_estimator((np.float64(camera.K), camera.lens), REAL_SKELETON)
            shared = [list(estimator.joint_names).index(str(j)) for j in truth["joint_names"]]
            n = len(truth["world_mm"])
            pictures = list(real_views.read_video(video, n))
            source = source_of(estimator, video.name, pictures[0].shape[1::-1])
            boxes = truth["boxes_ltwh_px"][:, number, np.newaxis]
            logs = follow(pictures, REAL_FPS, estimator, source, boxes)
            raw, refined = (np.float64(log.column("poses3d"))[:, shared] for log in logs)
            numbers = logs[0].column("person")
            person = Followed(np.arange(n), cameras.to_camera(camera, truth["world_mm"]), raw, refined, numbers)
            names = [str(j) for j in truth["joint_names"]]
            rows += rows_of(f"camera {number + 1}", [person], names, REAL_FPS, numbers.max())
    return rows + mean_rows(rows, "mean")


def group_rows(make_estimator, wheel: Path) -> list[dict]:
    """Numbers in the video of several people, and for how many frames each was seen."""
    import cv2

    from metrabs_acae.inference.demo_inputs import intrinsics_from_fov

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for video in real_views.find_videos(wheel, Path(scratch), demo="Demo_MultiPerson"):
            n = int(cv2.VideoCapture(str(video)).get(cv2.CAP_PROP_FRAME_COUNT))
            pictures = list(real_views.read_video(video, n))
            size_wh = pictures[0].shape[1::-1]
            estimator = make_estimator((intrinsics_from_fov(55, size_wh), PINHOLE), SKELETON)
            raw, _ = follow(pictures, REAL_FPS, estimator, source_of(estimator, video.name, size_wh))
            counts = np.bincount(raw.column("person"))[1:]
            rows.append(
                {"video": video.stem, "frames": n, "people a frame": raw.n_rows / n, "numbers": len(counts),
                 "frames of each": " ".join(map(str, counts))}
            )  # fmt: skip
    return rows


def source_of(estimator, name: str, size_wh):
    from metrabs_acae.inference.demo_inputs import DemoInput

    picture = np.zeros((size_wh[1], size_wh[0], 3), np.uint8)
    item = DemoInput("video", name, name)
    return estimator.source(item, picture, detected=True, tracked=True)


def estimator_maker(model: str):
    """(intrinsics, lens), skeleton -> the demo's estimator."""
    import metrabs_acae
    from metrabs_acae.inference.demo_poses import Estimator
    from metrabs_acae.inference.demo_settings import Demo

    loaded = metrabs_acae.load(model).estimator

    def make(camera: tuple[np.ndarray, Lens], skeleton: str):
        K, lens = camera
        return Estimator(loaded, lambda *_: (np.float32(K), lens, "known"), Demo(skeleton=skeleton))

    return make


def run(arguments: list[str]) -> None:
    values = parse(Settings, arguments, PROGRAM, description=__doc__)
    make_estimator = estimator_maker(values.model)
    parts = {"Rendered clips": render(clip_rows(make_estimator, values.fps), "markdown", digits=DIGITS)}
    if values.video:
        wheel = Path(values.video)
        parts["One real person"] = render(real_rows(make_estimator, wheel), "markdown", digits=DIGITS)
        counted = group_rows(make_estimator, wheel)
        parts["Several real people (no truth)"] = render(counted, "markdown", digits={"people a frame": 2})
    text = "\n\n".join(f"**{title}**\n\n{table}" for title, table in parts.items())
    print(text)
    if values.write:
        RESULTS.write_text(f"# Motion\n\n{made_by(PROGRAM, arguments)}\n\n{NOTE}\n\n{text}\n")


def main() -> int:
    return exit_code(lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
