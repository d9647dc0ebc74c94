"""A person of known bones and turns, for what is fitted to them."""

import numpy as np
from scipy.spatial.transform import Rotation

from metrabs_acae.motion.fit import forward_kinematics
from metrabs_acae.motion.rest_pose import rest_direction
from metrabs_acae.motion.tree import kinematic_tree
from metrabs_acae.skeletons import get_skeleton, shown


def skeleton(name="h36m_17"):
    return shown(name, get_skeleton(name))


def upright(names, edges):
    """[J, 3] mm, a T pose with bones of different lengths, y up."""
    joints = {next(i for i, n in enumerate(names) if n.startswith("pelv")): np.zeros(3)}
    for _ in names:
        for a, b in [*edges, *((b, a) for a, b in edges)]:
            if a in joints and b not in joints:
                direction = rest_direction(names[b])
                joints[b] = joints[a] + (100 + 7 * (b % 11)) * direction
    return np.array([joints[i] for i in range(len(names))])


def walker(n_frames=40, name="h36m_17", *, seed=0, amplitude=0.6):
    """(tree, times [F], joints [F, J, 3] mm) of somebody whose every joint turns smoothly and who moves on."""
    rng = np.random.default_rng(seed)
    joint_names, edges = skeleton(name).joint_names, skeleton(name).edges
    rest = upright(joint_names, edges)
    tree = kinematic_tree(joint_names, edges, rest[np.newaxis])
    offsets = np.array([rest[j] - rest[p] if p >= 0 else np.zeros(3) for j, p in enumerate(tree.parents)])
    times = np.arange(n_frames) / 25
    phases, axes = rng.uniform(0, 6, (len(rest), 3)), rng.normal(0, amplitude / 2, (len(rest), 3))
    turns = axes * np.sin(3 * times[:, np.newaxis, np.newaxis] + phases)
    local = Rotation.from_rotvec(turns.reshape(-1, 3)).as_matrix().reshape(n_frames, len(rest), 3, 3)
    rotations = local.copy()
    for joint in tree.order[1:]:
        rotations[:, joint] = rotations[:, tree.parents[joint]] @ local[:, joint]
    root = np.stack([300 * times, 900 + 20 * np.sin(5 * times), -3000 + 500 * times], axis=1)
    return tree, times, forward_kinematics(tree, root, offsets, rotations)
