"""3D pose metrics: MPJPE, PCK, AUC, CPS and their relatives, each a function of [N, J, 3] poses.

Units: mm in, mm or percent (0..100) out. Joints without a label (NaN truth, or `valid` False) are left out everywhere.
What each metric is: `definitions.py`. For batches, breakdowns and confidence intervals: `accumulators.PoseMetrics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.accumulators import PoseMetrics
from metrabs_acae.evaluation.definitions import STANDARD, Metric, make_metric, make_metrics
from metrabs_acae.evaluation.joint_errors import checked_poses, joint_errors
from metrabs_acae.evaluation.root import relative


def evaluate_metric(metric: Metric, pred_mm, true_mm, *, valid=None, root=None) -> float:
    """One metric of [N, J, 3] poses in mm; NaN where nothing can be scored (no valid joint at all)."""
    pred, true, valid = checked_poses(pred_mm, true_mm, valid)
    scores, scored = metric.joint_scores(*joint_errors(pred, true, valid, alignment=metric.alignment, root=root))
    return float(scores.sum() / scored.sum()) if scored.any() else float("nan")


def _evaluate(name, pred_mm, true_mm, valid, root, joints, aligned="root") -> float:
    metric = replace(
        make_metric(name, joints=joints), alignment="none" if aligned == "root" and root is None else aligned
    )
    return evaluate_metric(metric, pred_mm, true_mm, valid=valid, root=root)


def mpjpe(pred_mm, true_mm, *, valid=None, root=None, joints=None) -> float:
    """Mean per-joint position error in mm.

    Args:
        pred_mm, true_mm: [N, J, 3].
        valid: [N, J] bool, the joints to score; None: those whose truth is finite.
        root: index of the joint that is subtracted from both first; None: absolute error.
        joints: indices of the joints to score; None: all.

    Raises:
        UserError: see `checked_poses`.
    """
    return _evaluate("mpjpe", pred_mm, true_mm, valid, root, joints)


def pa_mpjpe(pred_mm, true_mm, *, valid=None, root=None, joints=None) -> float:
    """MPJPE in mm after Procrustes alignment with scale over all valid joints; `root` makes no difference to it."""
    return _evaluate("pa_mpjpe", pred_mm, true_mm, valid, root, joints, "procrustes")


def pck(pred_mm, true_mm, *, valid=None, root=None, joints=None, threshold_mm=150.0) -> float:
    """Percentage of correct keypoints: joints whose error is strictly below the threshold."""
    return _evaluate(f"pck@{threshold_mm}", pred_mm, true_mm, valid, root, joints)


def auc(pred_mm, true_mm, *, valid=None, root=None, joints=None, threshold_mm=150.0, definition="continuous") -> float:
    """Area under the PCK curve from 0 to the threshold, percent of the whole area.

    Args:
        definition: ``"continuous"`` (exact integral, the WACV paper's), ``"31"`` (mean PCK at 31 thresholds: the
            official one of MPI-INF-3DHP and MuPoTS-3D) or ``"51"`` (trapezoid over 51: 3DPW's, up to 199 mm).
        (others: as in `mpjpe`)
    """
    families = {"continuous": "auc", "31": "auc31", "51": "auc51"}
    if str(definition) not in families:
        raise UserError(f"There is no AUC definition '{definition}'; choose one of {', '.join(families)}.")
    return _evaluate(f"{families[str(definition)]}@{threshold_mm}", pred_mm, true_mm, valid, root, joints)


def cps(pred_mm, true_mm, *, valid=None, root=None, joints=None, threshold_mm=200.0) -> float:
    """Correct poses score: percentage of poses whose worst valid joint is strictly below the threshold."""
    return _evaluate(f"cps@{threshold_mm}", pred_mm, true_mm, valid, root, joints)


def auc_cps(pred_mm, true_mm, *, valid=None, root=None, joints=None, threshold_mm=200.0) -> float:
    """Area under the CPS curve from 0 to the threshold (exact integral), percent."""
    return _evaluate(f"auc_cps@{threshold_mm}", pred_mm, true_mm, valid, root, joints)


def ncps(pred_mm, true_mm, *, valid=None, joints=None, threshold_mm=125.0) -> float:
    """Normalised CPS: percentage of poses whose worst joint is within the threshold after Procrustes alignment."""
    return _evaluate(f"ncps@{threshold_mm}", pred_mm, true_mm, valid, None, joints, "procrustes")


def standard_metrics(pred_mm, true_mm, *, valid=None, root, metrics: Sequence[str] = STANDARD) -> dict[str, float]:
    """Many metrics at once, by name (``"mpjpe"``, ``"pa_mpjpe"``, ``"pck@100"``, ``"auc@150"``, ``"cps@200"``, ...).

    Args:
        pred_mm, true_mm: [N, J, 3].
        valid: [N, J] bool; None: joints whose truth is finite.
        root: see `root.Root`.
        metrics: names, see `make_metric`.
    """
    accumulator = PoseMetrics(make_metrics(metrics), root=root)
    accumulator.update(pred_mm, true_mm, valid=valid)
    return accumulator.values()


def best_constant_pose_mpjpe(true_mm, valid=None, root=0, *, max_iterations=200, tolerance_mm=1e-4) -> float:
    """The MPJPE of the best single pose, the same for every image: what a model must beat to have seen anything.

    MPJPE is a sum over joints, so that pose is made of each joint's geometric median about the root, found by
    Weiszfeld's iteration with the correction of Vardi and Zhang (PNAS 2000) for iterates that meet a data point.

    Args:
        true_mm: [N, J, 3] poses in the frame in which predictions are scored (camera frame).
        valid: [N, J] bool; None: joints whose truth is finite.
        root: see `root.Root`.

    Returns:
        mm, over the same joints that `mpjpe` scores; NaN if there are none.
    """
    _, true, valid = checked_poses(np.zeros_like(true_mm, np.float64), true_mm, valid)
    (about_root,), scored = relative([true], valid, root)
    total, count = 0.0, int(scored.sum())
    for joint in range(true.shape[1]):
        points = about_root[scored[:, joint], joint]
        if len(points):
            center = geometric_median(points, max_iterations=max_iterations, tolerance=tolerance_mm)
            total += np.linalg.norm(points - center, axis=1).sum()
    return total / count if count else float("nan")


def geometric_median(points: np.ndarray, *, max_iterations=200, tolerance=1e-4) -> np.ndarray:
    """The point of least summed distance to `points` [N, D]."""
    center = np.median(points, axis=0)
    for _ in range(max_iterations):
        difference = points - center
        distance = np.linalg.norm(difference, axis=1)
        apart = distance > 1e-9
        if not apart.any():
            return center
        weight = 1.0 / distance[apart]
        pull = (difference[apart] * weight[:, None]).sum(0)
        # Points that coincide with the centre hold it with a force of 1 each.
        free = max(0.0, 1.0 - (~apart).sum() / max(np.linalg.norm(pull), 1e-12))
        step = free * pull / weight.sum()
        center = center + step
        if np.linalg.norm(step) < tolerance:
            break
    return center
