"""Trees of all skeletons, whatever their bones."""

import numpy as np
import pytest

from metrabs_acae.motion.tree import kinematic_tree
from metrabs_acae.skeletons import get_skeleton, output_skeletons, shown


@pytest.mark.parametrize("name", sorted(output_skeletons()))
def test_every_skeleton_hangs_together(name):
    skeleton = shown(name, get_skeleton(name))
    names, edges = skeleton.joint_names, skeleton.edges
    poses = np.random.default_rng(0).normal(0, 500, (5, len(names), 3))
    tree = kinematic_tree(names, edges, poses)
    assert sorted(tree.order) == list(range(len(names))) and tree.parents[tree.root] == -1
    place = {joint: i for i, joint in enumerate(tree.order)}
    assert all(place[parent] < place[joint] for joint, parent in enumerate(tree.parents) if joint != tree.root)
    bones = {frozenset((j, p)) for j, p in enumerate(tree.parents) if tree.is_bone[j]}
    in_bones = {j for edge in edges for j in edge}
    assert in_bones <= {j for j in range(len(names)) if tree.is_bone[j] or j == tree.root}
    # Only what links parts that have no bone between them is not one of the skeleton's.
    assert sum(bone not in set(map(frozenset, edges)) for bone in bones) <= 8
    if any(n.startswith("pelv") for n in names):
        assert names[tree.root].startswith("pelv")
    assert len(set(tree.short_names)) == len(names)


def test_markers_hang_on_the_upper_joint_of_the_nearest_bone_of_their_side():
    names = ("pelv", "lhip", "lkne", "rhip", "rkne", "lshin", "lthigh", "ltoe")
    edges = ((0, 1), (1, 2), (0, 3), (3, 4))
    pose = np.array(
        [
            [0, 0, 0],
            [100, 0, 0],
            [100, -400, 0],
            [-100, 0, 0],
            [-100, -400, 0],
            [120, -600, 0],
            [-80, -200, 40],
            [90, -800, 0],
        ]
    )
    tree = kinematic_tree(names, edges, pose[np.newaxis])
    assert [names[tree.parents[j]] for j in (5, 6, 7)] == ["lkne", "lhip", "lkne"]
    assert [tree.is_bone[j] for j in (0, 1, 5)] == [False, True, False]


def test_circles_open_at_the_longest_bone():
    names = ("pelv", "lhip", "rhip")
    pose = np.array([[0, 0, 0], [100, 0, 0], [0, 150, 0]])
    tree = kinematic_tree(names, ((0, 1), (1, 2), (2, 0)), pose[np.newaxis])
    assert tree.parents == (-1, 0, 0)
