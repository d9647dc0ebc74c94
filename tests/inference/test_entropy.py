"""The entropy of heatmaps as a measure of uncertainty, from the logits to the public methods."""

import numpy as np
import pytest
import scipy.stats
from keras import ops

from metrabs_acae.geometry.heatmaps import heatmap_entropy
from tests.inference.fuzzing import ERROR_MAP
from tests.models import tiny

IMAGE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
BOXES = np.array([[20, 10, 60, 70], [-10, 30, 50, 50]], np.float32)


def test_entropy_of_known_distributions():
    logits = np.full((4, 3, 5, 2, 1), -1e4, np.float32)
    logits[0] = 7.0  # the same everywhere
    logits[1, 1, 2, 0] = 3.0  # one cell
    logits[2, :2, 0, 0] = 3.0  # two cells
    logits[3] = np.random.default_rng(0).normal(size=logits.shape[1:]) * 3
    p = scipy.special.softmax(logits[3], axis=(0, 1, 2))
    expected = [1, 0, np.log(2) / np.log(30), scipy.stats.entropy(p.ravel()) / np.log(30)]
    found = heatmap_entropy(logits, (1, 2, 3))
    np.testing.assert_allclose(np.asarray(found)[:, 0], expected, atol=1e-5)
    np.testing.assert_allclose(heatmap_entropy(logits + 1000, (1, 2, 3)), found, atol=1e-3)


@pytest.mark.parametrize("variant", ["separate", "latent", "hybrid"])
def test_outputs_at_inference_are_those_of_call(variant):
    model, batch = tiny.tiny_model(variant), tiny.tiny_batch()
    inputs = {name: ops.convert_to_tensor(batch[name]) for name in ("image", "intrinsics")}
    outputs = {name: np.asarray(value) for name, value in model.inference_outputs(inputs).items()}
    np.testing.assert_allclose(outputs["coords3d_mm"], model(inputs, training=False), atol=0.05)
    n_points = tiny.N_LATENTS if model.decodes_latents else len(tiny.NAMES)
    assert outputs["coords3d_rel_mm"].shape[1] == outputs["coords2d_px"].shape[1] == n_points
    assert outputs["entropy"].shape == (7, len(tiny.NAMES))
    assert (outputs["entropy"] > 0).all() and (outputs["entropy"] < 1).all()


def test_methods_give_the_entropy_of_every_joint(loaded_model):
    one = loaded_model.estimate_poses(IMAGE, BOXES, num_aug=1)
    assert one["entropy"].shape == (2, 25)
    assert 0 < one["entropy"].numpy().min() and one["entropy"].numpy().max() < 1
    several = loaded_model.estimate_poses(IMAGE, BOXES, num_aug=3, skeleton="h36m_17")
    assert several["entropy"].shape == (2, 17)
    joints = loaded_model.per_skeleton_indices["h36m_17"].numpy()
    for result, which in ((one, slice(None)), (several, joints)):  # this model has errors to expect by the entropy
        entropy = np.zeros((2, 25))
        entropy[:, which] = result["entropy"]
        np.testing.assert_allclose(result["uncertainty"], ERROR_MAP(entropy)[:, which], rtol=1e-3)
    assert loaded_model.estimate_poses(IMAGE, [], num_aug=1)["entropy"].shape == (0, 25)
