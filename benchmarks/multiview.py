"""How well people are placed by one to four calibrated cameras, on the video of a real person (docs/evaluation.md).

    python -m benchmarks.multiview --video pose2sim-0.10.49-py3-none-any.whl --refine --write

Every fifth frame is measured, as in `benchmarks.real_people`; the detector finds the person. A single view's pose
stands where the model places it from that view alone, by the true camera. Two and three cameras: mean over all choices.
"""

from __future__ import annotations

import itertools
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks import real_views
from benchmarks.pages import made_by
from benchmarks.real_people import JOINTS, put_between_marks
from data_processing.datasets.pose2sim_demo import camera_of, read_truth
from metrabs_acae.errors import UserError
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.geometry.alignment import procrustes
from metrabs_acae.inference.multiview_inputs import View
from metrabs_acae.settings import setting, settings
from metrabs_acae.tables import render

PROGRAM = "python -m benchmarks.multiview"
ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "multiview.md"
PAGE = ROOT / "docs" / "demo.md"
SKELETON = "coco_19"
REMEMBERED: dict = {}
NOTE = (
    "Lengths in mm. MPJPE: in the world, about the middle of the hips; position: of the mean joint. px: of 1920, "
    "between the projections of pose and truth in all four views, mean and 95 %, whichever cameras were used."
)


@settings
class Settings:
    """Errors with one to four cameras on real people."""

    load_path: str = setting("pretrained")
    """Run folder or exported model."""
    video: str = setting("")
    """The wheel of pose2sim 0.10.49 or a folder with its videos; empty: the installed package."""
    num_aug: tuple[int, ...] = setting((1,))
    """Test-time augmentations, one table each."""
    numbers: tuple[int, ...] = setting((1, 2, 3, 4))
    """Of cameras."""
    refine: bool = setting(False)
    """Also all cameras on all frames (five times as many), with the motion made smooth, as the demo does."""
    looks: int = setting(2, above=0)
    """As of the demo; a single view has one."""
    write: bool = setting(False)
    """Write the tables to benchmarks/results/multiview.md and into the page that shows them."""


@dataclass
class Scene:
    """The video's frames that are measured, and what is true.

    Attributes:
        views: four. images: {frame: one for each view}. world_mm: {frame: [12, 3]}.
    """

    views: list[View]
    images: dict[int, list[np.ndarray]] = field(default_factory=dict)
    world_mm: dict[int, np.ndarray] = field(default_factory=dict)


class Chosen:
    """Stands in for `Moments` with some of a scene's cameras."""

    n_damaged, fps = 0, 60.0

    def __init__(self, scene: Scene, cameras, frames):
        from metrabs_acae.inference.video import Frame

        self.views = [scene.views[i] for i in cameras]
        self.moments = [
            (number, number / self.fps, {k: Frame(number, number / self.fps, images[i]) for k, i in enumerate(cameras)})
            for number, images in scene.images.items()
            if number in frames
        ]
        self.n_moments = len(self.moments)

    def __iter__(self):
        return iter(self.moments)


def read_scene(video: Path | None, all_frames: bool) -> Scene:
    from metrabs_acae.inference.demo_inputs import DemoInput

    truth = read_truth()
    index = [[str(j) for j in truth["joint_names"]].index(joint) for joint in JOINTS]
    views, images = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for i, path in enumerate(real_views.find_videos(video, Path(scratch))):
            for frame, image in enumerate(real_views.read_video(path, len(truth["world_mm"]))):
                if all_frames or is_measured(frame):
                    images.setdefault(frame, []).append(image)
            size_wh = (image.shape[1], image.shape[0])
            views.append(View(DemoInput("video", str(path), path.stem), camera_of(truth, i), path.stem, size_wh))
    return Scene(views, images, {f: np.float64(truth["world_mm"][f][index]) for f in images})


def is_measured(frame: int) -> bool:
    return frame % real_views.FRAME_STEP == real_views.FIRST_FRAME


def errors(scene: Scene, poses: dict[int, np.ndarray]) -> dict:
    """Of poses {frame: [12, 3] mm in the world}; frames without one are missed."""
    measured, frames = [f for f in scene.images if is_measured(f)], sorted(filter(is_measured, poses))
    if not frames:
        return {"found": f"0 of {len(measured)}"}
    pred, true = np.stack([poses[f] for f in frames]), np.stack([scene.world_mm[f] for f in frames])
    hips = [JOINTS.index("lhip"), JOINTS.index("rhip")]
    relative = [p - p[:, hips].mean(1, keepdims=True) for p in (pred, true)]
    px = np.stack([np.linalg.norm(v.project(pred) - v.project(true), axis=-1) for v in scene.views])
    return {
        "found": f"{len(frames)} of {len(measured)}",
        "mpjpe": np.linalg.norm(relative[0] - relative[1], axis=-1).mean(),
        "pa_mpjpe": np.linalg.norm(procrustes(pred, true) - true, axis=-1).mean(),
        "position": np.linalg.norm(pred.mean(1) - true.mean(1), axis=-1).mean(),
        "px": np.nanmean(px),
        "px_95": np.nanpercentile(px, 95),
        "by_view": " ".join(f"{np.nanmean(p):.0f}" for p in px),
    }


def fused_poses(scene: Scene, cameras, model, settings, *, refine: bool = False) -> dict[int, np.ndarray]:
    """{frame: [12, 3]} of the person nearest to the truth, of the frames that are measured or, refined, of all."""
    from metrabs_acae.inference.demo_poses import Estimator
    from metrabs_acae.inference.multiview_log import smooth_poses
    from metrabs_acae.inference.multiview_posing import Posing

    estimator = remembering(Estimator)(model, None, settings)
    names = [n.split("_")[0] for n in estimator.joint_names]
    index = [names.index(j) for j in JOINTS]
    chosen = Chosen(scene, cameras, [f for f in scene.images if refine or is_measured(f)])
    posing = Posing(chosen.views, estimator, [None] * len(cameras), settings)
    moments, found, sigma = chosen.moments, {}, {}
    for start in range(0, len(moments), settings.frames_per_batch):
        batch = moments[start : start + settings.frames_per_batch]
        for (frame, _, _), people in zip(batch, posing(batch), strict=True):
            poses = people.world_mm[:, index]
            if len(poses):
                best = np.linalg.norm(poses - scene.world_mm[frame], axis=-1).mean(-1).argmin()
                found[frame], sigma[frame] = poses[best], people.uncertainty[best][index]
        print(f"{frame}/{len(moments)}", end=" ", file=sys.stderr, flush=True)
    if refine:
        times_s = np.array(list(found)) / Chosen.fps
        paths = smooth_poses(times_s, np.stack(list(found.values())), np.stack(list(sigma.values())))
        return dict(zip(found, paths, strict=True))
    return found


def remembering(cls):
    """The estimator, which looks at a picture for the first time only once, whatever cameras are chosen."""

    class Remembering(cls):
        def __call__(self, images, boxes, source):
            keys = [(id(image), self._settings.num_aug) for image in images]
            new = [i for i, key in enumerate(keys) if key not in REMEMBERED]
            if new:
                found = super().__call__([images[i] for i in new], boxes, source)
                REMEMBERED.update(zip([keys[i] for i in new], found, strict=True))
            return [REMEMBERED[key] for key in keys]

    return Remembering


def measure(scene: Scene, model, num_aug: int, values: Settings) -> list[dict]:
    from metrabs_acae.inference.demo_settings import Demo
    from metrabs_acae.inference.multiview_settings import Multiview

    rows = []
    for n in values.numbers:
        several = Multiview(min_views=1 if n == 1 else 2, looks=values.looks if n > 1 else 1)
        settings = Demo(skeleton=SKELETON, num_aug=num_aug, multiview=several)
        found = []
        for cameras in itertools.combinations(range(len(scene.views)), n):
            found.append(errors(scene, fused_poses(scene, cameras, model, settings)))
            print(num_aug, cameras, found[-1], file=sys.stderr, flush=True)
            if n == 1:
                rows.append({"n": n, "cameras": f"{cameras[0] + 1} alone"} | found[-1])
        if len(found) == 1:
            rows.append({"n": n, "cameras": f"all {n}"} | found[0])
            if values.refine:
                refined = fused_poses(scene, cameras, model, settings, refine=True)
                rows.append({"n": n, "cameras": f"all {n}, refined"} | errors(scene, refined))
        elif n > 1:
            mean = {k: np.mean([f[k] for f in found]) for k in found[0] if k not in ("by_view", "found")}
            rows.append({"n": n, "cameras": f"{n} cameras", "found": found[0]["found"], **mean})
    return sorted(rows, key=lambda row: row["n"])


def table(rows: list[dict]) -> str:
    headers = {
        "cameras": "cameras",
        "found": "frames",
        "mpjpe": "MPJPE",
        "pa_mpjpe": "PA-MPJPE",
        "position": "position",
        "px": "px",
        "px_95": "px, 95 %",
        "by_view": "px by view",
    }
    digits = dict.fromkeys(headers, 0)
    return render(rows, "markdown", columns=list(headers), headers=headers, digits=digits)


def run(arguments: list[str]) -> None:
    import metrabs_acae

    values = parse(Settings, arguments, PROGRAM, description=__doc__)
    if values.video and not Path(values.video).exists():
        raise UserError(f"There is no {values.video}; {real_views.HOW_TO_GET}.")
    scene = read_scene(Path(values.video) if values.video else None, values.refine)
    model = metrabs_acae.load(values.load_path).estimator
    tables = []
    for num_aug in values.num_aug:
        rows = measure(scene, model, num_aug, values)
        crops = "One crop" if num_aug == 1 else f"{num_aug} crops"
        tables.append(f"**{crops} a person**\n\n{table(rows)}")
    text = "\n\n".join(tables)
    print(text)
    if values.write:
        put_between_marks(RESULTS, f"{made_by(PROGRAM, arguments)}\n\n{NOTE}\n\n{text}\n")
        put_between_marks(PAGE, table(rows) + "\n")


def main() -> int:
    return exit_code(lambda: run(sys.argv[1:]))


if __name__ == "__main__":
    sys.exit(main())
