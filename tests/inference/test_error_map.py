"""Expected errors: fitted to made-up ones, covered as promised, kept in a file, used by the estimator."""

import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.inference import error_map
from metrabs_acae.inference.multiperson import PoseEstimator
from metrabs_acae.skeletons import Skeleton

NAMES = ("pelv_h36m", "lwri_h36m", "rwri_h36m")


def made_up(n, seed):
    """Entropies of which the errors of the wrists follow, not those of the pelvis."""
    rng = np.random.default_rng(seed)
    entropy = rng.uniform(0.2, 0.6, (n, 3))
    levels = np.log([30, 80, 90]) + np.array([0, 4, 4]) * (entropy - 0.4)
    return entropy, np.exp(levels + rng.normal(0, 0.4, (n, 3)))


def test_what_is_expected_is_covered_and_told_apart():
    entropy, errors = made_up(600, 0)
    errors[::7, 1] = np.nan
    found = error_map.fit(NAMES, entropy, errors)
    np.testing.assert_allclose(found.slopes, [0, 4, 4], atol=1.0)
    entropy, errors = made_up(3000, 1)
    expected = found(entropy)
    np.testing.assert_allclose((errors < expected).mean(axis=0), error_map.COVERAGE, atol=0.06)
    ranks = lambda x: x.argsort().argsort()  # noqa: E731
    assert np.corrcoef(ranks(expected[:, 1]), ranks(errors[:, 1]))[0, 1] > 0.6


def test_joints_without_labels_get_the_usual():
    entropy, errors = made_up(100, 0)
    errors[:, 2] = np.nan
    found = error_map.fit(NAMES, entropy, errors)
    assert np.isfinite(found(entropy)).all() and found.slopes[2] >= 0


def test_files(tmp_path):
    found = error_map.fit(NAMES, *made_up(100, 0), weights="0123abcd")
    found.save(tmp_path / "error_map.json")
    loaded = error_map.ErrorMap.load(tmp_path / "error_map.json")
    assert loaded.joint_names == NAMES and loaded.weights == "0123abcd"
    np.testing.assert_allclose(loaded(np.full(3, 0.3)), found(np.full(3, 0.3)), rtol=1e-3)
    (tmp_path / "error_map.json").write_text('{"weights": "", "joint_names": ["a"], "levels_mm": [1, 2]}')
    with pytest.raises(UserError, match="is no error map"):
        error_map.ErrorMap.load(tmp_path / "error_map.json")


class Network:
    """Joints side by side, 3 m away; of an entropy."""

    def inference_outputs(self, inputs):
        n = tf.shape(inputs["image"])[0]
        pose = tf.constant([[0, 0, 3000], [-500, 0, 3000], [500, 0, 3000.0]])
        return {"coords3d_mm": tf.tile(pose[tf.newaxis], [n, 1, 1]), "entropy": tf.tile([[0.3, 0.4, 0.5]], [n, 1])}


@pytest.mark.parametrize("num_aug", [1, 3])
def test_the_estimator_gives_them(num_aug):
    found = error_map.fit(NAMES, *made_up(300, 0))
    skeleton = Skeleton("small", NAMES, ())
    settings = {"image_size": 32, "output_skeletons": {"wrists": Skeleton("wrists", NAMES[1:], ())}}
    estimator = PoseEstimator(Network(), skeleton, error_map=found, **settings)
    result = estimator.estimate_poses(
        np.zeros((64, 64, 3), np.uint8), np.float32([[10, 10, 40, 40]]), num_aug=num_aug, skeleton="wrists"
    )
    # Two of three crops are mirrored.
    entropy = np.array([0.3, 0.4, 0.5]) if num_aug == 1 else np.array([0.3, (0.4 + 2 * 0.5) / 3, (0.5 + 2 * 0.4) / 3])
    np.testing.assert_allclose(result["uncertainty"][0], found(entropy)[1:], rtol=1e-4)
    with pytest.raises(UserError, match="other joints"):
        PoseEstimator(Network(), Skeleton("other", NAMES[:2], ()), error_map=found, image_size=32)
