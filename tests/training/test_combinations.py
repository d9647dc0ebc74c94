"""Precision, loss scale, accumulation and moving average together: each trains, and resumes exactly."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from metrabs_acae.training import checkpoints
from tests.training.devices import HALF, ONE, TOTAL, train, training_model


@pytest.fixture(autouse=True)
def float32_afterwards():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": "float16", "loss_scale": 128.0, "accum": 2, "ema": 0.5},
        {"dtype": "float16", "loss_scale": "dynamic", "accum": 1, "ema": None},
        {"dtype": "bfloat16", "loss_scale": None, "accum": 2, "ema": 0.5},
    ],
    ids=["float16 static", "float16 dynamic", "bfloat16"],
)
def test_a_resumed_training_ends_bit_identical(tmp_path, settings):
    train(ONE, "unbroken", tmp_path, **settings)
    train(ONE, "resumed", tmp_path, start="unbroken", **settings)
    with np.load(tmp_path / "unbroken.npz") as unbroken, np.load(tmp_path / "resumed.npz") as resumed:
        assert np.isfinite(unbroken["losses"]).all()
        np.testing.assert_array_equal(resumed["losses"], unbroken["losses"][HALF:])
        names = [n for n in unbroken.files if n.startswith(f"{TOTAL}/")]
        assert len(names) > 10
        for name in names:
            np.testing.assert_array_equal(resumed[name], unbroken[name], err_msg=name)
            assert unbroken[name].dtype in (np.float32, np.int32, np.int64)  # state is never kept in 16 bits
            if name.endswith("kernel"):
                assert not np.array_equal(unbroken[name], unbroken[name.replace(f"{TOTAL}/", f"{HALF}/")])


def test_another_precision_may_go_on_with_a_run(tmp_path):
    """Checkpoints hold float32 weights and optimizer state; only the dynamic loss scale is some precisions' own."""
    models = []
    for settings in ({"dtype": "float16", "loss_scale": "dynamic"}, {"dtype": "bfloat16"}):
        keras.utils.clear_session()
        models.append(training_model(ONE, **settings))
    for i, (a, b) in enumerate((models, models[::-1])):
        a.batches_seen.assign(70 + i)
        checkpoints.save(tmp_path / str(i), 7, a)
        assert checkpoints.restore_newest(tmp_path / str(i), b) == 7
        assert b.step == 70 + i
    arrays = checkpoints.read(tmp_path / "0" / "ckpt-00000007")
    assert {name.split("/")[0] for name in arrays} == {"model", "optimizer", "loss_scale", "average"}
    assert all(array.dtype in (np.float32, np.int32, np.int64) for array in arrays.values())


def test_names_in_checkpoints_do_not_depend_on_what_else_was_built(tmp_path):
    keras.utils.clear_session()
    first = training_model(ONE)
    keras.layers.Dropout(0.5)
    names = set(checkpoints.checkpoint_variables(first))
    keras.utils.clear_session()
    keras.layers.Dropout(0.5)
    assert set(checkpoints.checkpoint_variables(training_model(ONE))) == names
