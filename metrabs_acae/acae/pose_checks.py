"""Do keypoints look like a body of the skeleton that they are said to have?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.joint_moments import JointMoments, affine_weights
from metrabs_acae.skeletons import Skeleton

ODD, IMPOSSIBLE = 2.5, 4.0
"""Median of `oddness`: joints that err by 50 mm have up to 2.1, a skeleton's joints in another's order 5 and more."""
FLAT = 0.02
"""Thickness over height: 2D keypoints with a third column. A body that stands still has 0.05."""
_NOISE_MM = 40.0
_FACING = (
    *("lhip_smpl", "rhip_smpl", "lsho_smpl", "rsho_smpl", "neck_smpl", "pelv_smpl"),
    *("ltoe_coco", "lhee_coco", "rtoe_coco", "rhee_coco", "nose_coco", "lear_coco", "rear_coco"),
)


def require_body(poses: np.ndarray, joint_names: Sequence[str], moments: JointMoments) -> list[str]:
    """Sentences about what is suspicious in [N, J, 3] poses of any frame and unit.

    Raises:
        UserError: poses that are flat, in one point, or of another skeleton or order of joints.
    """
    if not len(poses):
        return []
    centered = poses - poses.mean(axis=1, keepdims=True)
    sizes = np.linalg.svd(centered, compute_uv=False)
    if not np.median(sizes[:, 0]) > 0:
        raise UserError("All joints of a pose stand at one point; these are no poses.")
    if np.median(sizes[:, 2] / np.maximum(sizes[:, 0], 1e-12)) < FLAT:
        raise UserError(
            "The poses are flat, like 2D keypoints with zeros or a confidence for a third coordinate; 3D poses are "
            "needed."
        )
    found = []
    index = Skeleton("joint moments", moments.joint_names).indices(joint_names)
    odd = oddness(centered, moments.second_moments(index, index))
    amount = np.median(np.sqrt((odd**2).mean(axis=1)))
    worst = [joint_names[i] for i in np.argsort(-np.median(odd, axis=0))[:3]]
    if amount > IMPOSSIBLE:
        raise UserError(
            f"The poses are not those of a body with these joints (most out of place: {', '.join(worst)}); is this "
            "the right skeleton, and are its joints in its order (python -m metrabs_acae.acae skeletons)?"
        )
    if amount > ODD:
        found.append(f"The poses are hardly those of a body; most out of place are {', '.join(worst)}.")
    if _mirrored(centered, index, moments):
        found.append(
            "Left and right are swapped, or the frame is left-handed; the result has the same sides and the same frame."
        )
    if poses[..., :2].min() >= 0 and poses[..., :2].max() <= 1:
        found.append("All x and y lie between 0 and 1, as in landmarks relative to the image: these are no 3D poses.")
    return found


def oddness(poses: np.ndarray, moments_mm2: np.ndarray) -> np.ndarray:
    """[N, J] how far each joint is from where the others say, in standard deviations; of [N, J, 3] poses of any size.

    The leave-one-out residual of kriging, from the inverse of its system.
    """
    n = len(moments_mm2)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = moments_mm2 + _NOISE_MM**2 * np.eye(n)
    system[n, n] = 0
    inverse = np.linalg.inv(system)[:n, :n]
    size = np.trace(moments_mm2) - moments_mm2.sum() / n
    scaled = poses * np.sqrt(size / np.median((poses**2).sum(axis=(1, 2))))
    residual = np.einsum("jk,nkd->njd", inverse, scaled, optimize=True)
    return np.sqrt((residual**2).sum(axis=-1) / np.diag(inverse))


def _mirrored(poses: np.ndarray, index: np.ndarray, moments: JointMoments) -> bool:
    """Whether left, up and forward stand to each other as in a mirror."""
    wanted = Skeleton("joint moments", moments.joint_names).indices(_FACING)
    weights = affine_weights(moments.second_moments(index, index), moments.second_moments(index, wanted))
    lhip, rhip, lsho, rsho, neck, pelv, ltoe, lhee, rtoe, rhee, nose, lear, rear = np.einsum(
        "njd,jk->knd", poses, weights
    )
    left, up = lhip - rhip + lsho - rsho, neck - pelv
    forward = ltoe - lhee + rtoe - rhee + 2 * nose - lear - rear
    volume = np.linalg.det(np.stack([left, up, forward], axis=1))
    return bool(volume.sum() < -0.5 * np.abs(volume).sum())
