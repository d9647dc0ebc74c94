"""The root joint: where poses are put together before their joints are compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.joint_names import code

MEAN = "mean"
"""The root is the mean of a pose's labelled joints."""

Root = int | Sequence[int] | str
"""Index of the root joint, or several, whose mean it is, or `MEAN`."""


def find_root(joint_names: Sequence[str], wanted: str = "") -> tuple[int, ...] | str:
    """The root that `wanted` names or, if that is empty, the pelvis, or else both hips.

    Args:
        wanted: ``"mean"``, or a joint (several: with commas) by its full name or without side words and convention.

    Raises:
        UserError: no such joint, or one in several conventions.
    """
    if wanted == MEAN:
        return MEAN
    for parts in [wanted.split(",")] if wanted else [("pelv",), ("lhip", "rhip")]:
        found = [_named(joint_names, part.strip()) for part in parts]
        if all(len(f) == 1 for f in found):
            return tuple(f[0] for f in found)
    if wanted:
        raise UserError(
            f"There is no joint '{wanted}' (or more than one) to be the root; joints: {', '.join(joint_names)}."
        )
    raise UserError(
        "The skeleton has neither one pelvis nor one pair of hips; name the root joint, or 'mean' for the mean of all."
    )


def root_of_store(joint_names: Sequence[str], wanted: str = "") -> tuple[int, ...] | str | None:
    """As `find_root`, but the mean where nothing is wanted or found; None where several conventions have the root."""
    try:
        return find_root(joint_names, wanted)
    except UserError:
        parts = [part.strip() for part in wanted.split(",")] if wanted else ("pelv", "lhip", "rhip")
        if any(len(_named(joint_names, part)) > 1 for part in parts):
            return None
        if wanted:
            raise
        return MEAN


def in_words(root, joint_names: Sequence[str]) -> str:
    return "mean of the labelled joints" if root == MEAN else ", ".join(joint_names[i] for i in np.atleast_1d(root))


def relative(poses: Sequence[np.ndarray], valid: np.ndarray, root: Root | None) -> tuple[list[np.ndarray], np.ndarray]:
    """Poses [N, J, 3] relative to their root, and [N, J] which joints of them are valid: none without a valid root.

    Raises:
        UserError: no root, or one that is no joint.
    """
    if isinstance(root, str):
        weight = valid[..., None] / np.maximum(valid.sum(1), 1)[:, None, None]
        return [x - (x * weight).sum(1, keepdims=True) for x in poses], valid & (valid.sum(1, keepdims=True) > 1)
    roots = np.atleast_1d(np.asarray(root if root is not None else [], np.int64))
    n_joints = valid.shape[1]
    if not len(roots) or roots.min() < 0 or roots.max() >= n_joints:
        raise UserError(f"Root-relative metrics need a root joint within 0..{n_joints - 1}, not {root}.")
    rooted = [x - x[:, roots].mean(1, keepdims=True) for x in poses]
    return rooted, valid & valid[:, roots].all(1, keepdims=True)


def _named(joint_names: Sequence[str], part: str) -> list[int]:
    exact = [i for i, name in enumerate(joint_names) if name == part]
    return exact or [i for i, name in enumerate(joint_names) if part in (code(name), name.partition("_")[0])]
