import numpy as np
import pytest

from metrabs_acae.geometry.perspective import back_project
from metrabs_acae.geometry.scale_recovery import depth_from_bone_lengths

EDGES = [(0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6)]


def pose(n=5, depth=4000.0, seed=0):
    return np.random.default_rng(seed).uniform(-500, 500, (n, 7, 3)) + [100, 50, depth]


def lengths(poses):
    return np.linalg.norm(np.stack([poses[:, a] - poses[:, b] for a, b in EDGES], axis=1), axis=-1)


def recover(poses, target_lengths, inside=None):
    normalized = poses[..., :2] / poses[..., 2:]
    relative = poses[..., 2] - poses[:, :1, 2] + 300
    inside = np.ones(poses.shape[:2], bool) if inside is None else inside
    depth = depth_from_bone_lengths(normalized, relative, inside, edges=EDGES, bone_lengths_mm=target_lengths)
    return np.asarray(back_project(normalized, relative + np.asarray(depth)[:, None]))


@pytest.mark.parametrize("depth", [2000.0, 4000.0, 12000.0])
def test_true_bone_lengths_give_the_true_pose(depth):
    for poses in np.split(pose(depth=depth), 5):
        np.testing.assert_allclose(recover(poses, lengths(poses)[0]), poses, rtol=1e-4)


def test_examples_are_solved_independently():
    one = pose(n=1)
    many = np.concatenate([one, pose(n=1, depth=9000.0), one])
    np.testing.assert_allclose(recover(many, lengths(one)[0])[[0, 2]], recover(one, lengths(one)[0])[[0, 0]])


@pytest.mark.parametrize("edge, end", [(-1, 6), (0, 0)])
def test_bones_of_which_an_end_is_out_of_view_hardly_count(edge, end):
    poses = pose(n=1)
    target = lengths(poses)[0]
    target[edge] *= 3
    inside = np.ones((1, 7), bool)
    assert np.abs(recover(poses, target) - poses).max() > 100
    inside[0, end] = False
    np.testing.assert_allclose(recover(poses, target, inside), poses, rtol=1e-4)


def test_coincident_points_stay_finite():
    assert np.isfinite(recover(np.full((2, 7, 3), 1000.0), np.full(6, 300.0))).all()
