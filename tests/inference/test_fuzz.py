"""Any input gives a clear error or finite poses. METRABS_FUZZ_CASES=2000 tries more than the default."""

import os

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from tests.inference import reference

N_CASES = int(os.environ.get("METRABS_FUZZ_CASES", "60"))
numbers = st.one_of(
    st.floats(-500, 1500, width=32),
    st.sampled_from([0.0, -1.0, 1e-6, 1e4, 1e5, 1e7, 1e30, float("nan"), float("inf"), -float("inf")]),
)
usual_box = st.tuples(*[st.floats(-100, 400, width=32)] * 2, *[st.floats(1, 500, width=32)] * 2)
any_box = st.lists(numbers, min_size=0, max_size=6)
side = st.sampled_from([0, 1, 2, 3, 7, 64, 300])
channels = st.sampled_from([3] * 8 + [0, 1, 2, 4])


@st.composite
def image(draw):
    shape = draw(st.one_of(st.tuples(side, side, channels), st.tuples(side, side), st.just(())))
    value = draw(st.sampled_from([0, 128, 255, None]))
    if value is None:
        return np.random.default_rng(draw(st.integers(0, 9))).integers(0, 256, shape, np.uint8)
    return np.full(shape, value, np.uint8)


@st.composite
def boxes(draw):
    rows = draw(st.one_of(st.lists(usual_box, max_size=3), st.lists(any_box, max_size=2)))
    width = max(map(len, rows), default=4)
    return np.array([[*row, *[1.0] * (width - len(row))] for row in rows], np.float32)


@st.composite
def intrinsics(draw):
    fx, fy, cx, cy, skew = (draw(numbers) for _ in range(5))
    matrix = np.array([[fx, skew, cx], [0, fy, cy], [0, 0, 1]], np.float32)
    usual = np.array([[300, 0, 150], [0, 310, 150], [0, 0, 1]], np.float32)
    matrix = draw(st.sampled_from([matrix, usual, usual, usual * 0, -np.ones((3, 3), np.float32), usual[:2]]))
    return draw(st.sampled_from([matrix, matrix[np.newaxis], np.stack([matrix] * 2)]))


settings_of_call = st.fixed_dictionaries(
    {"num_aug": st.sampled_from([1, 1, 1, 2, 5, 0, -3])},
    optional={
        "intrinsic_matrix": intrinsics(),
        "distortion_coeffs": st.lists(st.one_of(st.floats(-0.25, 0.25, width=32), numbers), max_size=14),
        "world_up_vector": st.lists(numbers, min_size=2, max_size=4),
        "default_fov_degrees": numbers,
        "internal_batch_size": st.sampled_from([0, 1, 3, 64, -2]),
        "antialias_factor": st.sampled_from([1, 2, 3, 0, -1]),
        "average_aug": st.booleans(),
        "skeleton": st.sampled_from(["", "small", "unknown", "\0"]),
    },
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Saved and loaded, as users have it."""
    path = str(tmp_path_factory.mktemp("fuzz"))
    tf.saved_model.save(reference.estimator(center_offset_px=-0.5), path)
    return tf.saved_model.load(path)


@hypothesis.settings(
    max_examples=N_CASES,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(hypothesis.HealthCheck),
)
@hypothesis.given(image=image(), boxes=boxes(), arguments=settings_of_call)
def test_clear_error_or_finite_poses(model, image, boxes, arguments):
    arguments = {k: tf.constant(v, tf.float32) if isinstance(v, list) else v for k, v in arguments.items()}
    try:
        result = model.estimate_poses(image, boxes, **arguments)
    except tf.errors.InvalidArgumentError as error:
        assert "must" in str(error), error
        return
    assert np.isfinite(result["poses3d"]).all() and np.isfinite(result["poses2d"]).all()
    assert len(result["poses3d"]) == len(boxes)
