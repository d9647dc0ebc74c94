"""Joints that a trained model does not have: convex combinations of those it has, fitted to labels."""

import numpy as np

from metrabs_acae.commands import new_joints
from metrabs_acae.data.store import PoseStore
from metrabs_acae.skeletons import Skeleton
from tests.small_stores import write_store

RNG = np.random.default_rng(0)


def poses(n=60, n_joints=15):
    """[n, n_joints, 3]: joints that move apart, 4 m from the camera."""
    return RNG.normal(0, 300, (n, n_joints, 3)) + RNG.normal(0, 300, (n, 1, 3)) + (0, 0, 4000)


def rays(points):
    center = points.mean(1, keepdims=True)
    return center / np.linalg.norm(center, axis=-1, keepdims=True)


def test_combinations_are_found_whatever_the_distance_is_off():
    weights = np.zeros((15, 3))
    weights[3, 0] = 1
    weights[[5, 9], 1] = 0.5
    weights[[7, 2], 2] = 0.8, 0.2
    points = poses()
    targets = np.einsum("njd,jk->nkd", points, weights) + rays(points) * RNG.normal(0, 300, (60, 1, 1))
    found, distances = new_joints.fit(points, targets, RNG.uniform(size=(60, 3)) < 0.8)
    np.testing.assert_allclose(found, weights, atol=0.02)
    np.testing.assert_allclose(found.sum(0), 1)
    assert distances.max() < 10


def test_a_single_joint_and_one_that_is_never_labelled():
    points = poses()
    found, distances = new_joints.fit(points, points[:, [4, 6]], np.tile([True, False], (60, 1)))
    assert found[4, 0] > 0.98 and np.isnan(found[:, 1]).all() and np.isnan(distances[1])


def test_joints_beyond_all_others_get_the_nearest_ones():
    """A point that no convex combination reaches, a third beyond a limb's end: the limb's end."""
    points = poses()
    found, distances = new_joints.fit(points, points[:, [1]] * 4 / 3 - points[:, [0]] / 3, np.ones((60, 1), bool))
    assert found[1, 0] > 0.7 and distances[0] < 250


def test_names_decide_first_and_labels_of_the_stores_then(tmp_path):
    """A model that sees the truth of store `a`, which `b` names otherwise."""
    store_a, store_b = (PoseStore(write_store(tmp_path / c, c, seed=1)) for c in "ab")
    theirs = Skeleton("theirs", (*store_a.skeleton.joint_names, "unused_a"))
    mine = Skeleton("mine", (*store_b.skeleton.joint_names, "neck_a", "nowhere_c"))
    labels = new_joints.examples(lambda image, _: image, store_a, 64)[1]
    seen = iter(labels[start : start + 32] for start in range(0, len(labels), 32))

    def predict(images, intrinsics):
        poses_mm = next(seen)
        return np.concatenate([poses_mm, poses_mm[:, :1] + 2000], axis=1)

    weights, said = new_joints.combinations(predict, theirs, mine, [store_b], image_size=64)
    np.testing.assert_allclose(weights[:8, :8], np.eye(8), atol=0.05)
    np.testing.assert_array_equal(weights[:, 8], np.arange(9) == 5)
    assert np.isnan(weights[:, 9]).all()
    assert said[0].startswith("1 of the 10 joints have the weights") and "(pelv_b: 0.99 pelv_a, lhip_b: " in said[1]
    assert said[2].endswith("so with random weights: nowhere_c.")
