"""Any input gives a clear error or finite poses. `python -m benchmarks.fuzz_inference` tries many more cases."""

import hypothesis
import numpy as np
import pytest
import tensorflow as tf

from tests.inference import fuzzing

CASES_PER_METHOD = {"estimate_list": 200, "detect_list": 200, "numpy": 200}  # cheap, and seldom all usual


@pytest.mark.parametrize("method", fuzzing.METHODS)
def test_clear_error_or_finite_poses(loaded_model, method):
    outcomes = set()

    @hypothesis.settings(
        max_examples=CASES_PER_METHOD.get(method, 40),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(fuzzing.case(method))
    def run(case):
        outcomes.add(fuzzing.check(loaded_model, method, *case))

    run()
    assert {"poses", "error"} <= outcomes


def test_8k_images(loaded_model):
    image = np.zeros((*fuzzing.EIGHT_K, 3), np.uint8)
    image[::7, ::5] = 200
    boxes = np.array([[7000, 4000, 900, 600], [10, 10, 7600, 4300]], np.float32)
    assert fuzzing.check(loaded_model, "estimate_poses", (image, boxes), {"num_aug": 1}) == "poses"
    assert fuzzing.check(loaded_model, "numpy", (image, boxes[:1]), {"num_aug": 1}) == "poses"


def test_float_images_are_refused_or_harmless(loaded_model):
    """TensorFlow casts NumPy arrays to uint8 before the model sees them; its own tensors it refuses."""
    image, boxes = np.linspace(0, 1, 30 * 40 * 3).reshape(30, 40, 3), [[5.0, 5, 20, 20]]
    with pytest.raises(tf.errors.InvalidArgumentError, match="float image in 0..1"):
        loaded_model.estimate_poses(image, boxes)
    with pytest.raises(TypeError, match="uint8"):
        loaded_model.estimate_poses(tf.constant(image), boxes)
    in_255 = loaded_model.estimate_poses(np.round(image * 255), boxes)
    rounded = loaded_model.estimate_poses(np.round(image * 255).astype(np.uint8), boxes)
    np.testing.assert_array_equal(in_255["poses3d"], rounded["poses3d"])
