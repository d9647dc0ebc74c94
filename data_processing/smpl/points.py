"""The joints that the converters take from the body models, in the orders of the project's skeletons."""

from __future__ import annotations

import numpy as np

from data_processing.smpl.model import BodyModel
from metrabs_acae.skeletons import get_skeleton

SMPL_24 = (*range(1, 24), 0)
"""SMPL's joints in the order of the skeleton `smpl`: the pelvis last."""
SMPLX_42 = (*range(25), 28, 43, *range(55, 67), 68, 71, 73)
"""Those of the skeleton `smplx` among the 127 joints of the authors' package (55 joints, 21 vertices, 51 landmarks)."""
SMPLX_VERTICES = (
    (9120, 9929, 9448, 616, 6)  # nose, right and left eye, right and left ear
    + (5770, 5780, 8846, 8463, 8474, 8635)  # left great toe, little toe, heel; right
    + (5361, 4933, 5058, 5169, 5286, 8079, 7669, 7794, 7905, 8022)  # left thumb to little finger's tip; right
)
"""The 21 vertices of SMPL-X that follow the 55 joints."""
SMPLX_PARTS = (("global_orient", 3), ("body_pose", 63), ("jaw_pose", 3), ("leye_pose", 3), ("reye_pose", 3))


def smpl_24(model: BodyModel, pose, shape, translation_m=None) -> np.ndarray:
    """[N, 24, 3] mm. Of a pose of SMPL-H or SMPL-X (22 body joints and fingers) only the body's part is used.

    The hands' own rotations move no joint of SMPL.
    """
    pose = np.atleast_2d(np.asarray(pose, np.float64))
    return model.joints(pose[:, : 22 * 3], shape, translation_m)[:, SMPL_24]


def smplx_42(model: BodyModel, fits: list[dict], *, flat_hands: bool = False) -> np.ndarray:
    """[N, 42, 3] mm from the parameters of N people as the authors' package names them, each [1, ...].

    Hands are given by principal components or 45 numbers each, relative to the relaxed hand (or to the flat one).
    """
    n_fits = len(fits)

    def part(name: str, size: int) -> np.ndarray:
        return np.stack([np.ravel(f[name]) if name in f else np.zeros(size) for f in fits]).astype(np.float64)

    pose = np.concatenate([part(*p) for p in SMPLX_PARTS], axis=1)
    hands = model.hand_pose(part("left_hand_pose", 12), part("right_hand_pose", 12), flat=flat_hands)
    arguments = (np.concatenate([pose, hands], axis=1), part("betas", 10), part("transl", 3))
    expression = part("expression", 10)
    points = np.full((n_fits, 55 + len(SMPLX_VERTICES), 3), np.nan)
    points[:, :55] = model.joints(*arguments, expression=expression)
    points[:, 55:] = model.vertices(*arguments, expression=expression, indices=SMPLX_VERTICES)
    return points[:, SMPLX_42]


def order_of(names, convention: str) -> list[int]:
    """Where the joints of a convention's skeleton are in a list of base names."""
    names = list(names)
    return [names.index(n.removesuffix(f"_{convention}")) for n in get_skeleton(convention).joint_names]
