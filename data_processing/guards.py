"""Guards of a conversion: labels that contradict each other stop it, and the likely cause is named.

`check_projection` takes files that hold 3D and 2D labels of the same joints, `check_view` the size of the picture,
`check_boxes` boxes that do not come from the 3D labels (the dataset's, those of its masks, a detector's), `check_poses`
the poses alone: their size, and left and right per stretch of frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data_processing import boxes, hypotheses
from data_processing.cameras import is_inside
from data_processing.hypotheses import Sample
from data_processing.sides import swapped_stretches
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.geometry.body_size import likely_unit
from metrabs_acae.skeletons import Skeleton

SAMPLED_FRAMES, WINDOW_FRAMES = 400, 25
BEHIND_PX = 1e4
MIN_JOINTS = 4
MIN_BOXES, MAX_BOXES = 15, 2000
ADVICE = "Mend the files, or add --allow-suspicious-data to convert them as they are."


class LabelFault(UserError):
    """Labels of a raw file contradict each other."""


@dataclass(frozen=True)
class Cause:
    text: str
    error: float


def check_projection(
    source: str,
    skeleton: Skeleton,
    poses_mm: np.ndarray,
    pixels: np.ndarray,
    cameras: CameraParams | Sequence[CameraParams],
    *,
    frames: Sequence[int] | None = None,
    successive: bool = True,
    others: Mapping[str, CameraParams] | None = None,
    tolerance_px: float = 5.0,
    noise_px: float = 0.5,
) -> None:
    """LabelFault where 3D labels do not project onto the 2D labels of the same joints.

    A sample of the frames is judged in windows: a window's error is the median over its frames of the median over
    joints. It is refused above `tolerance_px`, and above twice `noise_px` if one of the hypotheses explains it.

    Args:
        source: the file, for the message.
        poses_mm: [F, J, 3] world, NaN = missing. pixels: [F, J, 2], NaN = missing.
        cameras: one, or one per frame.
        frames: the frames' numbers, for the message.
        successive: the poses follow one another in time.
        others: the recording's other cameras.
        noise_px: accuracy of the 2D labels.
    """
    known = np.isfinite(poses_mm).all(-1) & np.isfinite(pixels).all(-1)
    usable = np.flatnonzero(known.sum(1) >= MIN_JOINTS)
    if not len(usable):
        return
    chosen = usable[np.unique(np.linspace(0, len(usable) - 1, min(len(usable), SAMPLED_FRAMES)).astype(int))]
    cameras = [cameras] * len(poses_mm) if isinstance(cameras, CameraParams) else cameras
    mirror = np.asarray(skeleton.mirror)

    def sample_of(index: np.ndarray) -> Sample:
        before = poses_mm[np.maximum(index - 1, 0)] if successive else None
        after = poses_mm[np.minimum(index + 1, len(poses_mm) - 1)] if successive else None
        return Sample([cameras[i] for i in index], poses_mm[index], mirror, before, after, others or {})

    errors = _distances(sample_of(chosen).pixels(), pixels[chosen])
    windows = np.array_split(np.arange(len(chosen)), max(1, len(chosen) // WINDOW_FRAMES))
    of_window = [float(np.median(_median(errors[w]))) for w in windows]
    worst = windows[int(np.argmax(of_window))]
    error = max(of_window)
    if error <= 2 * noise_px:
        return
    index = chosen[worst]
    sample, truth = sample_of(index), pixels[index]
    cause = _likely_cause(sample, truth, error, noise_px)
    if error <= tolerance_px and (cause is None or cause.text.startswith("the principal point")):
        return
    joint = int(np.argmax(np.nan_to_num(errors[worst]).mean(0)))
    numbers = np.asarray(frames)[index] if frames is not None else index
    raise LabelFault(
        f"{source}: in frames {numbers[0]} to {numbers[-1]} the 3D labels project {_px(error)} beside the 2D labels "
        f"(most so {skeleton.joint_names[joint]}). {_say(cause)} {ADVICE}"
    )


def _likely_cause(sample: Sample, truth: np.ndarray, error: float, noise_px: float) -> Cause | None:
    """The hypothesis that makes the error a third or less, if there is one; plain ones before those with a number."""
    good = max(1.5 * noise_px, error / 3)
    found = [Cause(t, _window_error(p, truth)) for t, p in hypotheses.explanations(sample)]
    least = min(c.error for c in found)
    best = next(c for c in found if c.error <= 1.1 * least + 0.1)  # the likeliest of those that do as well
    fitted = [Cause(t, _window_error(p, truth)) for t, p in hypotheses.fits(sample, sample.pixels(), truth)]
    best_fit = min(fitted, key=lambda c: c.error, default=None)
    if best_fit is not None and best_fit.error < 0.5 * best.error:
        best = best_fit
    return best if best.error <= good and best.error < error / 2 else None


def check_view(
    source: str,
    skeleton: Skeleton,
    poses_mm: np.ndarray,
    camera: CameraParams,
    image_size_wh,
    *,
    others: Mapping[str, CameraParams] | None = None,
) -> None:
    """LabelFault where nearly nobody is in the picture and undoing one likely mistake brings most people into it."""
    known = np.flatnonzero(np.isfinite(poses_mm).all(-1).sum(1) >= MIN_JOINTS)
    if len(known) < 3:
        return
    index = known[np.unique(np.linspace(0, len(known) - 1, min(len(known), 60)).astype(int))]
    sample = Sample([camera] * len(index), poses_mm[index], np.asarray(skeleton.mirror), None, None, others or {})

    def inside(pixels: np.ndarray) -> float:
        return float((is_inside(pixels, image_size_wh).mean(1) > 0.25).mean())

    now = inside(sample.pixels())
    if now > 0.05:
        return
    plain = [(t, p) for t, p in hypotheses.explanations(sample) if "swapped" not in t and "a frame" not in t]
    text, share = _first_of_best([(t, inside(p)) for t, p in plain])
    if share > 0.6:
        raise LabelFault(
            f"{source}: people are in the picture in {now:.0%} of the frames. Likely cause: {text} (then in "
            f"{share:.0%}). {ADVICE}"
        )


def check_poses(
    source: str, skeleton: Skeleton, poses_mm: np.ndarray, *, frames: Sequence[int] | None = None, successive=True
) -> None:
    """LabelFault where people are of the wrong size, or left and right are swapped in a stretch of frames.

    Args:
        poses_mm: [F, J, 3] of one person, NaN = missing.
        successive: the poses follow one another in time; else only their size is judged.
    """
    poses = np.asarray(poses_mm, np.float64)
    seen = np.isfinite(poses).all(-1).sum(1) >= max(MIN_JOINTS, poses.shape[1] // 2)
    poses = poses[seen]
    if not len(poses):
        return
    numbers = np.flatnonzero(seen) if frames is None else np.asarray(frames)[seen]
    extent = float(np.median(np.linalg.norm(np.nanmax(poses, 1) - np.nanmin(poses, 1), axis=-1)))
    unit = likely_unit(poses, skeleton.joint_names)
    if unit != "millimetres":
        likely = f"Likely cause: the labels are {unit}."
        raise LabelFault(f"{source}: people have a median extent of {extent:.3g} mm. {likely} {ADVICE}")
    wrong = swapped_stretches(poses, skeleton.joint_names, skeleton.mirror) if successive else []
    if wrong:
        named = ", ".join(f"{numbers[a]} to {numbers[b]}" for a, b in wrong[:3]) + " ..." * (len(wrong) > 3)
        raise LabelFault(
            f"{source}: in frames {named} people walk backwards by their labels. Likely cause: left and right are "
            f"swapped there. {ADVICE}"
        )


def check_worlds(source: str, worlds: Mapping[str, np.ndarray], *, tolerance_mm: float = 50.0) -> None:
    """LabelFault where the same poses [F, J, 3], brought into the world from several cameras, lie apart."""
    (first, one), *others = worlds.items()
    for name, other in others:
        n = min(len(one), len(other))
        apart = np.linalg.norm(one[:n] - other[:n], axis=-1)
        if np.isfinite(apart).any() and np.nanmedian(apart) > tolerance_mm:
            raise LabelFault(
                f"{source}: the poses of cameras {first} and {name} lie {np.nanmedian(apart):.0f} mm apart in the "
                f"world. Likely cause: the calibration of one of them is that of another camera. {ADVICE}"
            )


class BoxRecord:
    """Collects, for one unit, boxes that do not come from the 3D labels beside the poses that they should hold."""

    def __init__(self):
        self.frames, self.cameras, self.points, self.before, self.after, self.boxes = [], [], [], [], [], []

    def add(self, frame: int, camera: CameraParams, pose, box, before=None, after=None) -> None:
        if len(self.frames) < MAX_BOXES:
            missing = np.full_like(np.asarray(pose, np.float64), np.nan)
            self.frames.append(frame)
            self.cameras.append(camera)
            self.points.append(np.asarray(pose, np.float64))
            self.before.append(missing if before is None else before)
            self.after.append(missing if after is None else after)
            self.boxes.append(np.asarray(box, np.float64))


def check_boxes(source: str, skeleton: Skeleton, record: BoxRecord, *, others=None) -> None:
    """LabelFault where people's boxes are not where their joints project to.

    Two judgements: most boxes hardly overlap with those of the joints; or, over many frames, the boxes lie a frame
    ahead or behind, or farther from the principal point by a constant factor, beyond what chance allows.
    """
    if len(record.frames) < MIN_BOXES:
        return
    points = np.stack(record.points)
    sample = Sample(record.cameras, points, np.asarray(skeleton.mirror), others=others or {})
    truth = np.stack(record.boxes)
    pixels = sample.pixels()
    overlap = _overlap(pixels, truth)
    if overlap < 0.3:
        few = np.unique(np.linspace(0, len(points) - 1, 40).astype(int))
        part = Sample([record.cameras[i] for i in few], points[few], sample.mirror, others=others or {})
        plain = [(t, p) for t, p in hypotheses.explanations(part) if "swapped" not in t]
        text, share = _first_of_best([(t, _overlap(p, truth[few])) for t, p in plain])
        likely = f"Likely cause: {text} (then {share:.2f})." if share > 0.5 else _say(None)
        raise LabelFault(
            f"{source}: the joints' boxes overlap with the people's by {overlap:.2f} (intersection over union, median "
            f"over frames {record.frames[0]} to {record.frames[-1]}). {likely} {ADVICE}"
        )
    drift = _drift(sample, pixels, truth, np.stack(record.before), np.stack(record.after))
    if drift:
        raise LabelFault(f"{source}, frames {record.frames[0]} to {record.frames[-1]}: {drift} {ADVICE}")


def _first_of_best(scored: list[tuple[str, float]]) -> tuple[str, float]:
    """The likeliest, which is the first, of those that do about as well as the best."""
    best = max(score for _, score in scored)
    return next((text, score) for text, score in scored if score >= best - 0.03)


def _drift(sample: Sample, pixels, truth, before, after) -> str | None:
    """What a regression of the boxes' horizontal places on the joints' motion and place in the picture finds."""
    middle = _joint_boxes(pixels)
    width = truth[:, 2]
    offset = truth[:, 0] + truth[:, 2] / 2 - middle[:, 0]
    size = middle[:, 2]
    ok = np.isfinite(offset) & (np.abs(offset) < 0.25 * width)
    if ok.sum() < MIN_BOXES:
        return None
    motion = (_joint_boxes(sample.pixels(points=after)) - _joint_boxes(sample.pixels(points=before)))[:, 0] / 2
    center = np.array([c.K[0, 2] for c in sample.cameras])
    findings = []
    if (moving := ok & np.isfinite(motion) & (np.abs(motion) > 0.5)).sum() >= 2 * MIN_BOXES:
        slope, spread = _slope(motion[moving], offset[moving])
        if abs(abs(slope) - 1) < 0.3 + 2 * spread and abs(slope) > 6 * spread:
            findings.append(f"the boxes lie a frame {'late' if slope > 0 else 'early'} of the 3D labels")
    place = middle[:, 0] - center
    slope, spread = _slope(place[ok], offset[ok])
    spanned = np.ptp(place[ok]) > 3 * np.median(size[ok])
    if not findings and spanned and abs(slope) > 0.006 and abs(slope) > 8 * spread:
        findings.append(f"the focal length seems to be {1 + slope:.3g} times that of the calibration")
    return f"{findings[0]} (by {ok.sum()} boxes)." if findings else None


def _slope(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and its standard error of a robust straight line."""
    kept = np.ones(len(x), bool)
    slope, spread = 0.0, np.inf
    for _ in range(3):
        design = np.stack([x[kept], np.ones(kept.sum())], 1)
        solution, *_ = np.linalg.lstsq(design, y[kept], rcond=None)
        residual = y - np.stack([x, np.ones(len(x))], 1) @ solution
        sigma = 1.4826 * np.median(np.abs(residual[kept])) + 1e-9
        slope = float(solution[0])
        spread = float(sigma / np.sqrt(((x[kept] - x[kept].mean()) ** 2).sum() + 1e-12))
        kept = np.abs(residual) < 4 * sigma
        if kept.sum() < MIN_BOXES:
            return 0.0, np.inf
    return slope, spread


def _joint_boxes(pixels: np.ndarray) -> np.ndarray:
    """[N, 3] horizontal middle, vertical middle and width of the joints' boxes; NaN without joints."""
    found = [boxes.box_of_points(p) for p in pixels]
    return np.array([[np.nan] * 3 if b is None else [b[0] + b[2] / 2, b[1] + b[3] / 2, b[2]] for b in found])


def _overlap(pixels: np.ndarray, truth: np.ndarray) -> float:
    found = [boxes.box_of_points(p, 1.1) for p in pixels]
    return float(np.median([0.0 if b is None else boxes.iou(b, t) for b, t in zip(found, truth, strict=True)]))


def _distances(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """[N, J] px; a joint that is labelled but behind the camera is far off, one without a label NaN."""
    labelled = np.isfinite(truth).all(-1)
    distance = np.linalg.norm(found - truth, axis=-1)
    return np.where(labelled, np.where(np.isfinite(distance), np.minimum(distance, BEHIND_PX), BEHIND_PX), np.nan)


def _median(errors: np.ndarray) -> np.ndarray:
    known = np.isfinite(errors).any(-1)
    return np.nanmedian(errors[known], axis=-1) if known.any() else np.zeros(1)


def _window_error(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.median(_median(_distances(found, truth))))


def _px(error: float) -> str:
    return "far" if error >= BEHIND_PX else f"{error:.3g} px"


def _say(cause: Cause | None) -> str:
    if cause is None:
        return "None of the usual mistakes explains it (units, lens, frames, sides, axes, rotation, camera)."
    return f"Likely cause: {cause.text} (then {cause.error:.2g} px)."
