"""Joint errors: the distance of every predicted joint to its true place, after one of three alignments."""

from __future__ import annotations

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.root import relative
from metrabs_acae.geometry.alignment import procrustes

ALIGNMENTS = ("root", "procrustes", "none")
MIN_JOINTS_FOR_PROCRUSTES = 3
"""Fewer points than this leave a rotation undetermined, so such poses have no Procrustes-aligned error."""


def checked_poses(pred_mm, true_mm, valid=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Float64 poses and a validity mask; the values of joints that are not valid are set to zero.

    Args:
        pred_mm, true_mm: [N, J, 3] mm.
        valid: [N, J] bool; None: the joints whose truth is finite.

    Raises:
        UserError: shapes that do not belong together, truth that is not finite where `valid`, or a prediction that is
            not finite where the truth is valid (a metric that skips what the model could not do would flatter it).
    """
    pred, true = np.asarray(pred_mm, np.float64), np.asarray(true_mm, np.float64)
    if pred.shape != true.shape or pred.ndim != 3 or pred.shape[-1] != 3:
        raise UserError(
            f"Predicted poses {list(pred.shape)} and true poses {list(true.shape)} must both be [N, J, 3]; "
            "bring both to the same poses and joints first."
        )
    finite = np.isfinite(true).all(-1)
    if valid is None:
        valid = finite
    else:
        valid = np.asarray(valid, bool)
        if valid.shape != true.shape[:2]:
            raise UserError(f"The joint mask has shape {list(valid.shape)}, expected {list(true.shape[:2])}.")
        if (valid & ~finite).any():
            pose, joint = np.argwhere(valid & ~finite)[0]
            raise UserError(f"True pose {pose} is marked valid at joint {joint} but is not finite there.")
    broken = valid & ~np.isfinite(pred).all(-1)
    if broken.any():
        pose, joint = np.argwhere(broken)[0]
        raise UserError(
            f"{broken.sum()} predicted joints are not finite where the truth is valid (first: pose {pose}, joint "
            f"{joint}); leave these poses out or predict them."
        )
    if not valid.all():
        pred, true = (np.where(valid[..., None], x, 0.0) for x in (pred, true))
    return pred, true, valid


def joint_errors(pred_mm, true_mm, valid, *, alignment: str, root=None) -> tuple[np.ndarray, np.ndarray]:
    """Distances between predicted and true joints.

    Args:
        pred_mm, true_mm, valid: as returned by `checked_poses`.
        alignment: ``"root"`` (the root joint subtracted from both), ``"procrustes"`` (the similarity transform of the
            prediction that fits the truth best: rotation, translation and scale, no reflection), or ``"none"``.
        root: see `root.Root`; needed for ``"root"`` only.

    Returns:
        [N, J] distances in mm (meaningless where not scored), and [N, J] bool: which joints are scored. A pose whose
        true root is not labelled has no root-relative error; a pose of fewer than 3 valid joints none after
        Procrustes.
    """
    scored = valid
    if alignment == "root":
        (pred_mm, true_mm), scored = relative((pred_mm, true_mm), valid, root)
    elif alignment == "procrustes":
        possible = valid.sum(1) >= MIN_JOINTS_FOR_PROCRUSTES
        scored = valid & possible[:, None]
        distances = np.zeros(valid.shape)
        if possible.any():
            truth, mask = true_mm[possible], None if valid.all() else valid[possible]
            aligned = procrustes(pred_mm[possible], truth, valid=mask)
            distances[possible] = _distance(aligned, truth)
        return distances, scored
    elif alignment != "none":
        raise UserError(f"There is no alignment '{alignment}'; choose one of {', '.join(ALIGNMENTS)}.")
    return _distance(pred_mm, true_mm), scored


def _distance(a, b) -> np.ndarray:
    difference = a - b
    return np.sqrt(np.einsum("njc,njc->nj", difference, difference))
