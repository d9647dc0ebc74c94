"""The kinematic tree of any skeleton: which joint hangs on which."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import breadth_first_order, connected_components, minimum_spanning_tree

from metrabs_acae.joint_names import base_and_convention, code, side

ROOTS = ("pelv", "spinebase", "mhip")
_MAX_POSES = 200


@dataclass(frozen=True)
class Tree:
    """Joints that hang on each other.

    Attributes:
        joint_names: J names.
        parents: [J] indices; -1 for the root.
        order: all joints, each after its parent.
        is_bone: [J] whether the skeleton has a bone from the joint to its parent; markers and the root have none.
    """

    joint_names: tuple[str, ...]
    parents: tuple[int, ...]
    order: tuple[int, ...]
    is_bone: tuple[bool, ...]

    @property
    def root(self) -> int:
        return self.order[0]

    def children(self, joint: int) -> list[int]:
        return [j for j, parent in enumerate(self.parents) if parent == joint]

    @property
    def short_names(self) -> tuple[str, ...]:
        """Joint names without their convention, where that leaves them unique."""
        bases = [base_and_convention(name)[0] for name in self.joint_names]
        return tuple(b if bases.count(b) == 1 else n for b, n in zip(bases, self.joint_names, strict=True))


def kinematic_tree(joint_names: Sequence[str], edges: Sequence[tuple[int, int]], poses_mm: np.ndarray) -> Tree:
    """Spans the skeleton from the pelvis along its bones, the shorter ones first where they form a circle.

    What is not connected hangs on the nearest bone of the same side or the middle of the body: on its upper joint, or
    on its lower one if it lies beyond that.

    Args:
        poses_mm: [N, J, 3] finite, that tell what is near; medians count.
    """
    n = len(joint_names)
    poses = np.asarray(poses_mm[:: max(1, len(poses_mm) // _MAX_POSES)], np.float64)
    first, second = np.array(edges, int).reshape(-1, 2).T
    # An entry of 0 would be no edge.
    lengths = np.median(np.linalg.norm(poses[:, first] - poses[:, second], axis=-1), axis=0) + 1e-3
    forest = minimum_spanning_tree(
        coo_matrix((lengths, (np.minimum(first, second), np.maximum(first, second))), (n, n))
    )
    parents, order = np.full(n, -1), []

    def hang(joint: int, on: int) -> None:
        joints, predecessors = breadth_first_order(forest, joint, directed=False)
        parents[joints[1:]] = predecessors[joints[1:]]
        parents[joint] = on
        order.extend(joints.tolist())

    hang(_root(joint_names, poses), -1)
    label = connected_components(forest, directed=False)[1]
    islands = [np.flatnonzero(label == i) for i in set(label.tolist()) - {label[order[0]]}]
    waiting = [island for island in islands if len(island) > 1]
    while waiting:
        bones = _bones(parents, order)
        found = [min(_nearest(j, bones, joint_names, poses) + (j, i) for j in w) for i, w in enumerate(waiting)]
        _, on, joint, i = min(found)
        hang(joint, on)
        waiting.pop(i)
    is_bone = parents >= 0
    bones = _bones(parents, order)
    for joint in (island[0] for island in islands if len(island) == 1):
        hang(joint, _nearest(joint, bones, joint_names, poses)[1])
        is_bone[joint] = False
    return Tree(tuple(joint_names), tuple(parents.tolist()), tuple(map(int, order)), tuple(is_bone.tolist()))


def _root(joint_names: Sequence[str], poses: np.ndarray) -> int:
    """The pelvis; without one a joint near the middle of the hips or of all joints."""
    codes = [code(n) for n in joint_names]
    pelvis = next((codes.index(r) for r in ROOTS if r in codes), None)
    if pelvis is not None:
        return pelvis
    hips = [i for i, c in enumerate(codes) if c in ("lhip", "rhip")] or list(range(len(codes)))
    middle = poses[:, hips].mean(axis=1, keepdims=True)
    return int(np.argmin(np.median(np.linalg.norm(poses - middle, axis=-1), axis=0)))


def _bones(parents: np.ndarray, order: Sequence[int]) -> list[tuple[int, int]]:
    """(upper, lower) joints; the root is a bone without length."""
    return [(order[0], order[0])] + [(int(parents[j]), j) for j in order[1:]]


def _nearest(joint: int, bones, joint_names, poses) -> tuple[float, int]:
    """(distance in mm, joint to hang on) of the bone nearest to a joint."""
    own = side(joint_names[joint])
    sides = [side(joint_names[lower]) for _, lower in bones]
    bones = [b for b, s in zip(bones, sides, strict=True) if "c" in (own, s) or own == s] or bones
    upper, lower = np.array(bones).T
    along = poses[:, lower] - poses[:, upper]
    offset = poses[:, joint, np.newaxis] - poses[:, upper]
    t = (along * offset).sum(-1) / np.maximum((along**2).sum(-1), 1e-9)
    distance = np.median(np.linalg.norm(offset - np.clip(t, 0, 1)[..., np.newaxis] * along, axis=-1), axis=0)
    i = int(np.argmin(distance))
    return float(distance[i]), int(lower[i] if np.median(t[:, i]) >= 1 else upper[i])
