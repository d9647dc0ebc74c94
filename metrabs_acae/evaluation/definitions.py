"""What a metric is, and the table of all metrics.

Every metric here is one mean: an alignment of the prediction to the truth, an elementwise score of the joint error,
and whether the score is averaged over all valid joints (of all poses) or taken at each pose's worst valid joint and
averaged over poses.

Definitions: MPJPE and PA-MPJPE after Ionescu et al. (TPAMI 2014); PCK and its stepped AUC after Mehta et al. (3DV
2017); CPS after Wandt et al. (CVPR 2021, "correct poses score"); the selection after the WACV 2023 paper.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

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
class Metric:
    """One metric.

    Attributes:
        name: e.g. ``"pck@100"``.
        alignment: ``"root"``, ``"procrustes"`` or ``"none"``, see `joint_errors`.
        score: elementwise function of distances in mm.
        worst_joint: score each pose at its worst valid joint, instead of every joint.
        joints: indices of the joints scored; None: all. The alignment always uses all joints.
    """

    name: str
    alignment: str
    score: Callable[[np.ndarray], np.ndarray]
    worst_joint: bool = False
    joints: tuple[int, ...] | None = None

    @property
    def unit(self) -> str:
        return "mm" if self.score is error else "%"

    @property
    def label(self) -> str:
        return self.name.upper().replace("_", "-")

    def joint_scores(self, distance: np.ndarray, scored: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """[N, J] (or, with `worst_joint`, [N, 1]) scores, zero where nothing is scored, and the mask of what is."""
        if self.joints is not None:
            distance, scored = distance[:, list(self.joints)], scored[:, list(self.joints)]
        if self.worst_joint:
            distance = np.where(scored, distance, 0.0).max(1, keepdims=True, initial=0.0)
            scored = scored.any(1, keepdims=True)
        return np.where(scored, self.score(distance), 0.0), scored


FAMILIES = {
    # name: (alignment, elementwise score, at the worst joint)
    "mpjpe": ("root", error, False),
    "pa_mpjpe": ("procrustes", error, False),
    "a_mpjpe": ("none", error, False),
    "pck": ("root", below, False),
    "pa_pck": ("procrustes", below, False),
    "apck": ("none", below, False),
    "auc": ("root", margin, False),
    "a_auc": ("none", margin, False),
    "auc31": ("root", stepped_margin, False),
    "a_auc31": ("none", stepped_margin, False),
    "pa_auc31": ("procrustes", stepped_margin, False),
    "auc51": ("root", trapezoid_margin, False),
    "cps": ("root", below, True),
    "auc_cps": ("root", margin, True),
    "ncps": ("procrustes", at_most, True),
    "auc_ncps": ("procrustes", margin, True),
}

STANDARD = (
    "mpjpe", "pa_mpjpe", "a_mpjpe", "pck@50", "pck@100", "pck@150", "auc@50", "auc@100", "auc@150",
    "cps@100", "cps@150", "cps@200", "auc_cps@100", "auc_cps@150", "auc_cps@200",
    "apck@150", "apck@300", "a_auc@150", "a_auc@300",
)  # fmt: skip
"""The 19 numbers of the WACV 2023 evaluation."""


def make_metric(name: str, *, joints: Sequence[int] | None = None, rename: str | None = None) -> Metric:
    """The metric called `name`: a family of `FAMILIES` and, except for errors, ``@`` and a threshold in mm.

    Raises:
        UserError: no such metric.
    """
    family, _, threshold = name.partition("@")
    if family not in FAMILIES:
        raise UserError(f"There is no metric '{name}'; known families: {', '.join(FAMILIES)}.")
    alignment, score, worst_joint = FAMILIES[family]
    if (score is error) == bool(threshold):
        expected = "takes no threshold" if threshold else f"needs a threshold in mm, e.g. '{family}@150'"
        raise UserError(f"Metric '{name}' {expected}.")
    if threshold:
        try:
            threshold_mm = float(threshold)
        except ValueError:
            threshold_mm = np.nan
        if not (np.isfinite(threshold_mm) and threshold_mm > 0):
            raise UserError(f"Metric '{name}' has no positive number after the @.")
        score = functools.partial(score, threshold_mm=threshold_mm)
    joints = None if joints is None else tuple(int(j) for j in joints)
    return Metric(rename or name, alignment, score, worst_joint, joints)


def make_metrics(names: Sequence[str] = STANDARD, *, joints: Sequence[int] | None = None) -> tuple[Metric, ...]:
    """Several metrics of the same joints."""
    return tuple(make_metric(n, joints=joints) for n in names)
