"""Joint angles, in degrees, and a table of them."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from metrabs_acae.files import replacing
from metrabs_acae.motion.fit import Motion
from metrabs_acae.motion.tree import Tree

DIGITS = 3


def euler_order(tree: Tree, offsets_mm: np.ndarray, joint: int) -> str:
    """The axes that a joint is turned about one after the other, each as the turns before have left it.

    XZY for legs, trunk and head: flexion, abduction, rotation. ZXY for arms, which lie along x at rest: for them XZY is
    singular where they hang.
    """
    bones = [c for c in tree.children(joint) if tree.is_bone[c]]
    is_arm = len(bones) == 1 and np.argmax(np.abs(offsets_mm[bones[0]])) == 0
    return "ZXY" if is_arm else "XZY"


def euler_angles(local_rotations: np.ndarray, order: str) -> np.ndarray:
    """[F, 3] degrees about the axes of `order` for rotations [F, 3, 3], without leaps of 360 degrees."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Gimbal lock", category=UserWarning)
        angles = Rotation.from_matrix(local_rotations).as_euler(order)
    return np.degrees(np.unwrap(angles, axis=0))


def bend_angles(motion: Motion, joint: int) -> np.ndarray | None:
    """[F] degrees between the bone to a joint and the one from it, 0 where straight; None unless it has one of each."""
    bones = [c for c in motion.tree.children(joint) if motion.tree.is_bone[c]]
    parent = motion.tree.parents[joint]
    if len(bones) != 1 or parent < 0:
        return None
    before = motion.fitted_mm[:, joint] - motion.fitted_mm[:, parent]
    after = motion.fitted_mm[:, bones[0]] - motion.fitted_mm[:, joint]
    sine = np.linalg.norm(np.cross(before, after), axis=-1)
    return np.degrees(np.arctan2(sine, (before * after).sum(-1)))


def write_angles_csv(path: str | Path, motions: Sequence[Motion]) -> None:
    """One row for each person and frame: how much joints bend, and their Euler angles to their parent (the root's to
    the world), in all rows in the order that the first person's rest pose decides."""
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        for i, motion in enumerate(motions):
            columns = {
                "person": np.full(len(motion.frames), motion.person),
                "frame": motion.frames,
                "time_s": np.round(motion.times_s, 6),
                "observed": motion.observed.astype(int),
            }
            columns |= {name: np.round(v, DIGITS) for name, v in _angles(motion, motions[0].offsets_mm).items()}
            if i == 0:
                writer.writerow(columns)
            writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))


def _angles(motion: Motion, offsets_mm: np.ndarray) -> dict[str, np.ndarray]:
    local, columns = motion.local_rotations, {}
    for joint, name in enumerate(motion.tree.short_names):
        if not motion.tree.children(joint):
            continue
        bend = bend_angles(motion, joint)
        if bend is not None:
            columns[f"{name}_bend_deg"] = bend
        order = euler_order(motion.tree, offsets_mm, joint)
        angles = euler_angles(local[:, joint], order)
        columns |= {f"{name}_{axis.lower()}_deg": angles[:, order.index(axis)] for axis in order}
    return columns
