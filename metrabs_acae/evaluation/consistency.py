"""Do the skeletons of one prediction agree? Measured where every skeleton's exact joints are known.

Two conventions put the "same" joint at different places, and rightly so. What they should share is the error: if the
difference between the predicted places of two like-named joints is not the difference between the true places, the
skeletons contradict each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.definitions import Number
from metrabs_acae.evaluation.joint_errors import checked_poses
from metrabs_acae.geometry.body_size import limbs
from metrabs_acae.geometry.joint_moments import JointMoments
from metrabs_acae.skeletons import conventions

NUMBERS = (
    Number("disagreement_mm", "mm", "disagreement"),
    Number("disagreement_depth_mm", "mm", "in depth"),
    Number("disagreement_plane_mm", "mm", "in plane"),
    Number("bone_length_spread_mm", "mm", "bone length spread"),
)
CPS_MM = (50, 100, 200)
AGREEMENT_NUMBERS = (
    Number("agreed_disagreement_mm", "mm", "disagreement"),
    Number("agreed_depth_mm", "mm", "of that in depth"),
    Number("agreed_plane_mm", "mm", "of that in plane"),
    *(Number(f"agreed_cps@{t}", "%", f"CPS@{t}") for t in CPS_MM),
    Number("off_mm", "mm", "off"),
    Number("off_depth_mm", "mm", "in depth"),
    Number("off_plane_mm", "mm", "in plane"),
)
"""What `agreement` measures."""
POINTS = Number("n_points", label="points")
"""Anatomical points compared."""


def consistency_metrics(
    pred_mm: np.ndarray, true_mm: np.ndarray, joint_names: Sequence[str], *, valid: np.ndarray | None = None
) -> dict[str, float]:
    """Disagreement among skeletons, mm; 0 if all like-named joints have the same error vector.

    For two joints of one base name, e.g. `lkne_h36m` and `lkne_coco`, the disagreement is the length of
    (predicted difference - true difference). It is split along the ray from the camera to the true person ("depth")
    and across it ("plane").

    Args:
        pred_mm, true_mm: [N, J, 3] in a camera's frame (camera at the origin).
        joint_names: J names `<base>_<convention>`; names without a like-named one do not count.
        valid: [N, J] bool; None: where the truth is finite.

    Returns:
        ``disagreement_mm``, ``disagreement_depth_mm``, ``disagreement_plane_mm``: means over poses and pairs of joints,
        then over anatomical points; ``bone_length_spread_mm``: standard deviation across skeletons of the error in the
        length of an upper or lower arm or leg, mean over limbs and poses; ``n_points``: anatomical points compared.

    Raises:
        UserError: no anatomical point that two skeletons share, or arrays that do not belong together.
    """
    pred, true, valid = checked_poses(pred_mm, true_mm, valid)
    if len(joint_names) != pred.shape[1]:
        raise UserError(f"{pred.shape[1]} joints were predicted, but {len(joint_names)} joint names given.")
    groups = like_named(joint_names)
    if not groups:
        raise UserError("No two joints share an anatomical point (a name but for the convention after '_').")

    error = pred - true
    count = np.maximum(valid.sum(axis=1), 1)[:, None]
    center = (true * valid[..., None]).sum(axis=1) / count
    ray = center / np.maximum(np.linalg.norm(center, axis=-1, keepdims=True), 1e-9)
    per_point = []
    for indices in groups.values():
        sums, n_pairs = np.zeros(3), 0
        for a, b in itertools.combinations(indices, 2):
            both = valid[:, a] & valid[:, b]
            difference = error[both, a] - error[both, b]
            depth = np.abs((difference * ray[both]).sum(axis=-1))
            total = np.linalg.norm(difference, axis=-1)
            plane = np.sqrt(np.maximum(total**2 - depth**2, 0))
            sums += [total.sum(), depth.sum(), plane.sum()]
            n_pairs += int(both.sum())
        if n_pairs:
            per_point.append(sums / n_pairs)
    if not per_point:
        raise UserError("No pose has valid truth for one anatomical point in two skeletons.")
    total, depth, plane = np.mean(per_point, axis=0)
    return {
        "disagreement_mm": float(total),
        "disagreement_depth_mm": float(depth),
        "disagreement_plane_mm": float(plane),
        "bone_length_spread_mm": _bone_length_spread(pred, true, valid, joint_names),
        "n_points": len(per_point),
    }


def agreement(poses_mm: np.ndarray, joint_names: Sequence[str]) -> tuple[dict[str, float], list[dict]] | None:
    """How far the skeletons of poses agree, without labels: held against `JointMoments.agreed`, the pose nearby in
    which all skeletons lie to each other as on a body.

    Args:
        poses_mm: [N, J, 3] in a camera's frame (camera at the origin).
        joint_names: J names; those that are not of the package's conventions are left out.

    Returns:
        Numbers of all skeletons: ``agreed_disagreement_mm``, ``agreed_depth_mm``, ``agreed_plane_mm`` as in
        `consistency_metrics`, the agreed pose in place of the truth; ``agreed_cps@T``, % of poses whose worst joint is
        less than T mm off. And a row for each skeleton: ``skeleton``, ``joints``, ``off_mm``, ``off_depth_mm``,
        ``off_plane_mm`` (means over its joints) and its own ``agreed_cps@T``. None where no two skeletons share a
        joint.
    """
    moments = JointMoments.load()
    known = [i for i, name in enumerate(joint_names) if name in set(moments.joint_names)]
    names = [joint_names[i] for i in known]
    if not like_named(names):
        return None
    poses = np.asarray(poses_mm)[:, known]
    agreed = moments.agreed(poses, names)
    measured = consistency_metrics(poses, agreed, names)
    off, ray = poses - agreed, agreed.mean(axis=1, keepdims=True)
    ray = ray / np.maximum(np.linalg.norm(ray, axis=-1, keepdims=True), 1e-9)
    distance, depth = np.linalg.norm(off, axis=-1), np.abs((off * ray).sum(axis=-1))
    plane = np.sqrt(np.maximum(distance**2 - depth**2, 0))

    def cps(joints: Sequence[int]) -> dict[str, float]:
        return {f"agreed_cps@{t}": float(100 * (distance[:, joints].max(axis=1) < t).mean()) for t in CPS_MM}

    index = {name: i for i, name in enumerate(names)}
    rows = []
    for convention, members in conventions(names).items():
        joints = [index[name] for name in members]
        means = {
            k: float(v[:, joints].mean())
            for k, v in zip(("off_mm", "off_depth_mm", "off_plane_mm"), (distance, depth, plane), strict=True)
        }
        rows.append({"skeleton": convention, "joints": len(joints), **means, **cps(joints)})
    whole = {
        "agreed_disagreement_mm": measured["disagreement_mm"],
        "agreed_depth_mm": measured["disagreement_depth_mm"],
        "agreed_plane_mm": measured["disagreement_plane_mm"],
        **cps(range(len(names))),
    }
    return whole, rows


def like_named(joint_names: Sequence[str]) -> dict[str, list[int]]:
    """Base name -> indices of the joints of that base name, where at least two conventions have it."""
    groups: dict[str, list[int]] = {}
    for i, name in enumerate(joint_names):
        groups.setdefault(name.partition("_")[0], []).append(i)
    return {base: indices for base, indices in groups.items() if len(indices) > 1}


def _bone_length_spread(pred: np.ndarray, true: np.ndarray, valid: np.ndarray, joint_names: Sequence[str]) -> float:
    """Mean over limbs and poses of the deviation among skeletons of (predicted - true) bone length, mm; NaN if none."""
    by_limb: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for limb, a, b in limbs(joint_names):
        by_limb.setdefault(limb, []).append((a, b))
    spreads = []
    for bones in by_limb.values():
        if len(bones) < 2:
            continue
        a, b = np.array(bones).T
        known = (valid[:, a] & valid[:, b]).astype(float)
        errors = np.linalg.norm(pred[:, a] - pred[:, b], axis=-1) - np.linalg.norm(true[:, a] - true[:, b], axis=-1)
        n = known.sum(axis=1)
        mean = (errors * known).sum(axis=1) / np.maximum(n, 1)
        variance = ((errors - mean[:, None]) ** 2 * known).sum(axis=1) / np.maximum(n, 1)
        spreads.append(np.sqrt(variance[n >= 2]))
    spreads = [s for s in spreads if s.size]
    return float(np.mean([s.mean() for s in spreads])) if spreads else float("nan")
