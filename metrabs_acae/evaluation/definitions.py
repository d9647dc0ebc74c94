"""What the numbers of an evaluation are, and the table of all metrics.

Every metric is one mean: an alignment of the prediction to the truth, an elementwise score of the joint error,
and whether the score is averaged over all valid joints (of all poses) or taken at each pose's worst valid joint and
averaged over poses.

Definitions: MPJPE and PA-MPJPE after Ionescu et al. (TPAMI 2014); PCK and its stepped AUC after Mehta et al. (3DV
2017); CPS after Wandt et al. (CVPR 2021, "correct poses score"); the selection after the WACV 2023 paper.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from metrabs_acae.errors import UserError


def error(distance):
    """The distance itself, mm."""
    return distance


def below(distance, threshold_mm):
    """100 where the distance is strictly below the threshold."""
    return 100.0 * (distance < threshold_mm)


def at_most(distance, threshold_mm):
    """100 where the distance does not exceed the threshold."""
    return 100.0 * (distance <= threshold_mm)


def margin(distance, threshold_mm):
    """100 max(0, 1 - d / threshold): the area under the PCK curve over all thresholds up to this one."""
    return 100.0 * np.maximum(0.0, 1.0 - distance / threshold_mm)


def stepped_margin(distance, threshold_mm, n_thresholds=31):
    """The mean of `below` over equally spaced thresholds from 0; 31 up to 150 mm are the AUC of 3DHP and MuPoTS."""
    passed = np.floor((n_thresholds - 1) * distance / threshold_mm) + 1
    return 100.0 * np.maximum(0.0, 1.0 - passed / n_thresholds)


def trapezoid_margin(distance, threshold_mm, n_thresholds=51):
    """The trapezoid rule's area under `below` at equally spaced thresholds; 51 over 0..199 mm are 3DPW's AUC."""
    passed = np.searchsorted(np.linspace(0.0, threshold_mm, n_thresholds), distance, side="right")
    return 100.0 * np.maximum(0.0, (n_thresholds - 0.5 - passed) / (n_thresholds - 1))


@dataclass(frozen=True)
class Number:
    """What a number in a result is, and how it is printed.

    Attributes:
        name: its key in results.
        unit: ``"mm"``, ``"%"``, or ``""`` for counts and ratios.
        label: its heading; empty: the name.
        digits: decimals.
    """

    name: str
    unit: str = ""
    label: str = ""
    digits: int = 1

    @property
    def heading(self) -> str:
        return self.label or self.name


@dataclass(frozen=True)
class Metric(Number):
    """A number that is the mean of a score.

    Attributes:
        name: e.g. ``"pck@100"``.
        alignment: ``"root"``, ``"procrustes"`` or ``"none"``, see `joint_errors`.
        score: elementwise function of distances in mm; a family's may have a parameter `threshold_mm`.
        worst_joint: score each pose at its worst valid joint, instead of every joint.
        joints: indices of the joints scored; None: all. The alignment always uses all joints.
    """

    unit: str = "%"
    alignment: str = "root"
    score: Callable[..., np.ndarray] = error
    worst_joint: bool = False
    joints: tuple[int, ...] | None = None

    @property
    def heading(self) -> str:
        return self.label or self.name.upper().replace("_", "-")

    def joint_scores(self, distance: np.ndarray, scored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[N, J] (or, with `worst_joint`, [N, 1]) scores, zero where nothing is scored, and the mask of what is."""
        if self.joints is not None:
            distance, scored = distance[:, list(self.joints)], scored[:, list(self.joints)]
        if self.worst_joint:
            distance = np.where(scored, distance, 0.0).max(1, keepdims=True, initial=0.0)
            scored = scored.any(1, keepdims=True)
        return np.where(scored, self.score(distance), 0.0), scored


FAMILIES: dict[str, Metric] = {
    m.name: m
    for m in (
        Metric("mpjpe", "mm"),
        Metric("pa_mpjpe", "mm", alignment="procrustes"),
        Metric("a_mpjpe", "mm", alignment="none"),
        Metric("pck", score=below),
        Metric("pa_pck", score=below, alignment="procrustes"),
        Metric("apck", score=below, alignment="none"),
        Metric("auc", score=margin),
        Metric("a_auc", score=margin, alignment="none"),
        Metric("auc31", score=stepped_margin),
        Metric("a_auc31", score=stepped_margin, alignment="none"),
        Metric("pa_auc31", score=stepped_margin, alignment="procrustes"),
        Metric("auc51", score=trapezoid_margin),
        Metric("cps", score=below, worst_joint=True),
        Metric("auc_cps", score=margin, worst_joint=True),
        Metric("ncps", score=at_most, alignment="procrustes", worst_joint=True),
        Metric("auc_ncps", score=margin, alignment="procrustes", worst_joint=True),
    )
}
"""By name. To add one: a line here or, from elsewhere, `register`."""

STANDARD = (
    "mpjpe", "pa_mpjpe", "a_mpjpe", "pck@50", "pck@100", "pck@150", "auc@50", "auc@100", "auc@150",
    "cps@100", "cps@150", "cps@200", "auc_cps@100", "auc_cps@150", "auc_cps@200",
    "apck@150", "apck@300", "a_auc@150", "a_auc@300",
)  # fmt: skip
"""The 19 numbers of the WACV 2023 evaluation."""


POSES = Number("n_poses", label="poses")
RECALL = Number("recall", "%", "RECALL")
CONSTANT_POSE = Number("constant_pose_mpjpe", "mm", "constant pose")
RATIO = Number("ratio", label="ratio", digits=3)
"""MPJPE over the error of the best constant pose."""


def register(metric: Metric) -> Metric:
    """Adds a metric of one's own: from then on its name is understood wherever metrics are named.

    Raises:
        UserError: the name is taken or holds an ``@``, which thresholds follow.
    """
    if "@" in metric.name or FAMILIES.get(metric.name, metric) != metric:
        raise UserError(f"A metric cannot be called '{metric.name}': that name is taken or holds an @.")
    FAMILIES[metric.name] = metric
    return metric


def make_metric(name: str, *, joints: Sequence[int] | None = None, rename: str | None = None) -> Metric:
    """The metric called `name`: one of `FAMILIES` and, where its score has a threshold, ``@`` and that in mm.

    Raises:
        UserError: no such metric.
    """
    family, _, threshold = name.partition("@")
    if family not in FAMILIES:
        raise UserError(f"There is no metric '{name}'; known families: {', '.join(FAMILIES)}.")
    metric = FAMILIES[family]
    joints = None if joints is None else tuple(int(j) for j in joints)
    metric = replace(metric, name=rename or name, joints=joints)
    if ("threshold_mm" in inspect.signature(metric.score).parameters) != bool(threshold):
        expected = "takes no threshold" if threshold else f"needs a threshold in mm, e.g. '{family}@150'"
        raise UserError(f"Metric '{name}' {expected}.")
    if not threshold:
        return metric
    try:
        threshold_mm = float(threshold)
    except ValueError:
        threshold_mm = np.nan
    if not (np.isfinite(threshold_mm) and threshold_mm > 0):
        raise UserError(f"Metric '{name}' has no positive number after the @.")
    return replace(metric, score=functools.partial(metric.score, threshold_mm=threshold_mm))


def make_metrics(
    names: Sequence[str | Metric] = STANDARD, *, joints: Sequence[int] | None = None
) -> tuple[Metric, ...]:
    """Several metrics of the same joints, by name; a `Metric` stays as it is."""
    return tuple(n if isinstance(n, Metric) else make_metric(n, joints=joints) for n in names)


def number(name: str, known: Iterable[Number] = ()) -> Number:
    """What the number called `name` is: one of `known`, a metric, or a number without a unit."""
    for candidate in known:
        if candidate.name == name:
            return candidate
    try:
        return make_metric(name)
    except UserError:
        return Number(name)
