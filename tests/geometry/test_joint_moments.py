"""What joints say of others: the best weights, errors that are as stated, and the file of the package."""

import numpy as np
import pytest

from data_processing.synthetic.conventions import all_conventions
from metrabs_acae.geometry import joint_moments
from metrabs_acae.geometry.joint_moments import JointMoments, affine_weights
from metrabs_acae.skeletons import Skeleton, union

NAMES = ("lhip_x", "rhip_x", "neck_x", "lkne_y", "rkne_y", "head_y")


@pytest.fixture
def poses():
    rng = np.random.default_rng(0)
    return np.einsum("nkd,kj->njd", rng.normal(0, 200, (300, 4, 3)), rng.normal(size=(4, 6))) + [0, 0, 3000]


def test_moments_are_those_of_the_poses_and_their_mirror_images(poses):
    moments = JointMoments.of_poses(poses, poses[:9], NAMES)
    both = np.concatenate([poses, poses[:, Skeleton("", NAMES).mirror] * [-1, 1, 1]])
    centered = both - both.mean(axis=1, keepdims=True)
    expected = np.einsum("njd,nkd->jk", centered, centered) / len(both)
    every = np.arange(6)
    np.testing.assert_allclose(moments.second_moments(every, every), expected, rtol=1e-9, atol=1e-6)


def test_weights_are_the_best_that_sum_to_one(poses):
    moments = JointMoments.of_poses(poses, poses, NAMES)
    given, wanted = np.arange(3), np.arange(3, 6)
    weights = affine_weights(moments.second_moments(given, given), moments.second_moments(given, wanted), 50.0)
    np.testing.assert_allclose(weights.sum(axis=0), 1)

    def cost(w):
        return moments.error_mm(given, wanted, w) ** 2 + 50**2 * (w**2).sum(axis=0)

    for change in ([1, -1, 0], [0, 1, -1], [1, 1, -2]):
        for sign in (1e-3, -1e-3):
            assert (cost(weights + sign * np.array(change)[:, None]) > cost(weights)).all()


def test_stated_errors_are_those_of_the_held_out_poses(poses):
    held_out = np.concatenate([poses[:50], poses[:50, Skeleton("", NAMES).mirror] * [-1, 1, 1]]) * 1.3
    moments = JointMoments.of_poses(poses, held_out[:50], NAMES)
    given, wanted = np.arange(3), np.arange(3, 6)
    weights = affine_weights(moments.second_moments(given, given), moments.second_moments(given, wanted))
    off = np.einsum("njd,jk->nkd", held_out[:, given], weights) - held_out[:, wanted]
    np.testing.assert_allclose(moments.error_mm(given, wanted, weights), np.sqrt((off**2).sum(-1).mean(0)), rtol=1e-6)


def test_the_package_has_the_moments_of_all_conventions():
    moments = JointMoments.load()
    assert joint_moments.FILE.stat().st_size < 300_000
    assert moments.joint_names == union(all_conventions().values()).joint_names
    mirror, every = Skeleton("", moments.joint_names).mirror, np.arange(len(moments.joint_names))
    whole = moments.second_moments(every, every)
    np.testing.assert_allclose(whole[mirror][:, mirror], whole, rtol=0.01, atol=300)
    # The knees of a standing grown-up are some 40 cm below the hips, joints of one name a few centimetres apart.
    index = {name: i for i, name in enumerate(moments.joint_names)}

    def distance(a, b):
        return np.linalg.norm(moments.fitted[index[a]] - moments.fitted[index[b]])

    assert 350 < distance("lhip_smpl", "lkne_smpl") < 480 and 5 < distance("lkne_smpl", "lkne_h36m") < 80


def test_a_file_is_read_as_it_was_saved(tmp_path, monkeypatch, poses):
    moments = JointMoments.of_poses(poses, poses[:9], NAMES)
    moments.save(tmp_path / "moments.npz")
    monkeypatch.setattr(joint_moments, "FILE", tmp_path / "moments.npz")
    loaded = JointMoments.load.__func__.__wrapped__(JointMoments)
    assert loaded.joint_names == NAMES
    np.testing.assert_allclose(loaded.held_out, moments.held_out, rtol=1e-3, atol=1e-3)
