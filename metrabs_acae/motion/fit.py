"""One person's poses over time as the motion of a skeleton with constant bones."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from metrabs_acae.motion.rest_pose import rest_direction
from metrabs_acae.motion.rotations import bone_rotations, rotations_between
from metrabs_acae.motion.tree import Tree

JOINT_NOISE_MM = 20.0
"""What a joint may be wrong by although its uncertainty is 0."""
_ALIGNMENTS = 3
_PASSES = 2


@dataclass(frozen=True)
class Motion:
    """A person's motion, from the first to the last frame that they are seen in. Millimetres, y up.

    Attributes:
        person: number.
        frames, times_s: [F].
        observed: [F] whether the person was found; other frames are interpolated.
        free_mm: [F, J, 3] joints as estimated.
        offsets_mm: [J, 3] from the parent in the rest pose, where no joint is turned; 0 for the root.
        rotations: [F, J, 3, 3] of the joints from the rest pose.
        fitted_mm: [F, J, 3] joints of the skeleton.
    """

    person: int
    tree: Tree
    frames: np.ndarray
    times_s: np.ndarray
    observed: np.ndarray
    free_mm: np.ndarray
    offsets_mm: np.ndarray
    rotations: np.ndarray
    fitted_mm: np.ndarray

    @property
    def root_mm(self) -> np.ndarray:
        """[F, 3]"""
        return self.fitted_mm[:, self.tree.root]

    @property
    def local_rotations(self) -> np.ndarray:
        """[F, J, 3, 3] from the axes of the parent; the root's from the world's."""
        parents = np.array(self.tree.parents)
        local = np.swapaxes(self.rotations[:, parents], -1, -2) @ self.rotations
        local[:, self.tree.root] = self.rotations[:, self.tree.root]
        return local

    @property
    def rest_mm(self) -> np.ndarray:
        """[J, 3] joints of the rest pose, the root at the origin."""
        eye = np.broadcast_to(np.eye(3), (1, len(self.offsets_mm), 3, 3))
        return forward_kinematics(self.tree, np.zeros((1, 3)), self.offsets_mm, eye)[0]


def fit_motion(
    tree: Tree, person: int, frames: np.ndarray, times_s: np.ndarray, poses_mm: np.ndarray, uncertainty_mm: np.ndarray
) -> Motion:
    """Bone lengths are weighted medians over the frames, with weights 1 / variance. Joints are turned from the root
    on so that their children come to lie where they were seen, and the whole is moved so that all joints fit best.

    Args:
        frames, times_s: [F] increasing.
        poses_mm, uncertainty_mm: [F, J, 3], [F, J]; NaN where there is none: joints are interpolated linearly between
            the frames around, and held before their first and after their last.
    """
    observed = np.isfinite(poses_mm).all(axis=-1)
    free = fill_gaps(times_s, np.asarray(poses_mm, np.float64))
    uncertainty = np.where(np.isfinite(uncertainty_mm), uncertainty_mm, 0)
    variance = np.where(observed, uncertainty**2 + JOINT_NOISE_MM**2, 1e9)
    lengths = np.zeros(len(tree.parents))
    for joint in tree.order[1:]:
        parent = tree.parents[joint]
        distances = np.linalg.norm(free[:, joint] - free[:, parent], axis=-1)
        lengths[joint] = weighted_median(distances, 1 / (variance[:, joint] + variance[:, parent]))
    offsets = rest_offsets(tree, lengths, free)
    root = free[:, tree.root]
    for _ in range(_PASSES):
        rotations, fitted = _pose(tree, offsets, root, free, times_s)
        shift = (free - fitted).mean(axis=1)
        root = root + shift
    fitted = fitted + shift[:, np.newaxis]
    values = (free, offsets, rotations, fitted)
    return Motion(person, tree, frames, times_s, observed.any(axis=-1), *(v.astype(np.float32) for v in values))


def rest_offsets(tree: Tree, lengths_mm: np.ndarray, poses_mm: np.ndarray) -> np.ndarray:
    """[J, 3] of each joint from its parent in the T pose.

    A joint's children are a rigid set: the mean over the frames, aligned to each other (generalized Procrustes), with
    bones of the lengths given, turned so that the bones point as `rest_direction` says. Where it says nothing they
    lie to their parent as they do on average.
    """
    n_frames = len(poses_mm)
    offsets, rotations = np.zeros((len(tree.parents), 3)), {-1: np.broadcast_to(np.eye(3), (n_frames, 3, 3))}
    for joint in tree.order:
        children = tree.children(joint)
        prior = rotations[joint] = rotations[tree.parents[joint]]
        if not children:
            continue
        seen = poses_mm[:, children] - poses_mm[:, [joint]]
        names = [tree.joint_names[c] for c in children]
        targets = [rest_direction(n) if tree.is_bone[c] else None for c, n in zip(children, names, strict=True)]
        known = [i for i, target in enumerate(targets) if target is not None]
        wanted = np.array([targets[i] * lengths_mm[children[i]] for i in known]).reshape(-1, 3)
        turned = rotations_between(wanted, seen[:, known], prior) if known else prior
        for _ in range(_ALIGNMENTS):
            shape = np.einsum("fji,fcj->ci", turned, seen) / n_frames
            norms = np.linalg.norm(shape, axis=-1, keepdims=True)
            shape = shape / np.maximum(norms, 1e-9) * lengths_mm[children, np.newaxis]
            turned = rotations_between(shape, seen, prior)
        if known:
            to_rest = rotations_between(shape[known], wanted[np.newaxis], np.eye(3)[np.newaxis])[0]
            shape, turned = shape @ to_rest.T, turned @ to_rest.T
        offsets[children], rotations[joint] = shape, turned
    return offsets


def _pose(tree: Tree, offsets, root_mm, free_mm, times_s) -> tuple[np.ndarray, np.ndarray]:
    """([F, J, 3, 3], [F, J, 3]) rotations and joints, from the root on."""
    rotations = np.tile(np.eye(3), (*free_mm.shape[:2], 1, 1))
    fitted = np.zeros_like(free_mm)
    fitted[:, tree.root] = root_mm
    for joint in tree.order:
        parent, children = tree.parents[joint], tree.children(joint)
        above = rotations[:, parent] if parent >= 0 else np.broadcast_to(np.eye(3), (len(root_mm), 3, 3))
        rotations[:, joint] = above
        if not children:
            continue
        seen = free_mm[:, children] - fitted[:, [joint]]
        length = np.linalg.norm(offsets[children[0]])
        if len(children) > 1:
            rotations[:, joint] = rotations_between(offsets[children], seen, above)
        elif length > 0:
            local = np.einsum("fji,fj->fi", above, seen[:, 0])
            local /= np.maximum(np.linalg.norm(local, axis=-1, keepdims=True), 1e-9)
            rotations[:, joint] = above @ bone_rotations(offsets[children[0]] / length, local, times_s)
        fitted[:, children] = fitted[:, [joint]] + offsets[children] @ np.swapaxes(rotations[:, joint], -1, -2)
    return rotations, fitted


def forward_kinematics(tree: Tree, root_mm: np.ndarray, offsets_mm: np.ndarray, rotations: np.ndarray) -> np.ndarray:
    """[F, J, 3] joints for the root's places [F, 3], offsets at rest [J, 3] and rotations from rest [F, J, 3, 3]."""
    joints = np.zeros((len(root_mm), len(offsets_mm), 3))
    joints[:, tree.root] = root_mm
    for joint in tree.order[1:]:
        parent = tree.parents[joint]
        joints[:, joint] = joints[:, parent] + rotations[:, parent] @ offsets_mm[joint]
    return joints


def even_times(motion: Motion) -> tuple[np.ndarray, Motion]:
    """(times [N], motion at these) with equal steps: its own where these differ by less than a tenth of their mean,
    else steps of their median, with rotations and places interpolated."""
    times = motion.times_s
    if len(times) < 2:
        return times, motion
    steps = np.diff(times)
    mean = (times[-1] - times[0]) / len(steps)
    if np.abs(steps - mean).max() < 0.1 * mean:
        return np.linspace(times[0], times[-1], len(times)), motion
    step = np.median(steps)
    even = times[0] + step * np.arange(int(np.floor((times[-1] - times[0]) / step + 1e-6)) + 1)
    return even, resampled(motion, even)


def resampled(motion: Motion, times_s: np.ndarray) -> Motion:
    """The motion at other times [N] within its own: places linearly, rotations of joints to their parents on great
    arcs (slerp)."""
    before = np.clip(np.searchsorted(motion.times_s, times_s, side="right") - 1, 0, len(motion.times_s) - 2)
    part = (times_s - motion.times_s[before]) / (motion.times_s[before + 1] - motion.times_s[before])
    local = motion.local_rotations
    n_joints = local.shape[1]
    a, b = (Rotation.from_matrix(local[index].reshape(-1, 3, 3)) for index in (before, before + 1))
    turn = Rotation.from_rotvec((a.inv() * b).as_rotvec() * np.repeat(part, n_joints)[:, np.newaxis])
    local = (a * turn).as_matrix().reshape(-1, n_joints, 3, 3)
    rotations = np.zeros_like(local)
    for joint in motion.tree.order:
        parent = motion.tree.parents[joint]
        rotations[:, joint] = local[:, joint] if parent < 0 else rotations[:, parent] @ local[:, joint]

    def mix(values):
        weight = part.reshape(-1, *[1] * (values.ndim - 1))
        return values[before] * (1 - weight) + values[before + 1] * weight

    fitted = forward_kinematics(motion.tree, mix(motion.root_mm), motion.offsets_mm, rotations)
    frames = motion.frames[np.where(part < 0.5, before, before + 1)]
    observed = motion.observed[np.where(part < 0.5, before, before + 1)]
    values = (mix(motion.free_mm), motion.offsets_mm, rotations, fitted)
    return Motion(motion.person, motion.tree, frames, times_s, observed, *values)


def fill_gaps(times_s: np.ndarray, poses_mm: np.ndarray) -> np.ndarray:
    """[F, J, 3] with NaN replaced in each joint: between two frames linearly, before and after them held."""
    filled = np.array(poses_mm)
    for joint in range(filled.shape[1]):
        known = np.isfinite(filled[:, joint]).all(axis=-1)
        if not known.all():
            for axis in range(3):
                filled[:, joint, axis] = np.interp(times_s, times_s[known], filled[known, joint, axis])
    return filled


def weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    """The value [N] up to which half of the weights [N] lie."""
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(share, share[-1] / 2)])
