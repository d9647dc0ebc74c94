"""The same model and batch: TensorFlow, TensorFlow with XLA, and JAX."""

import os
import subprocess
import sys

import numpy as np
import pytest

from tests.models.tiny import tensorflow_step, tiny_batch, tiny_model

VARIANT = "hybrid"  # it contains every term of the others


@pytest.fixture(scope="module")
def plain():
    loss, gradients = tensorflow_step(tiny_model(VARIANT), tiny_batch(), 6000)
    return [loss, *gradients]


def assert_same(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.abs(b).max())


@pytest.mark.slow
def test_jax_gives_the_same_loss_and_gradients(plain, tmp_path):
    pytest.importorskip("jax")
    command = [sys.executable, "-m", "tests.models.tiny", VARIANT, str(tmp_path / "out.npz")]
    subprocess.run(command, env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}, check=True)
    with np.load(tmp_path / "out.npz") as saved:
        assert_same([saved[key] for key in saved.files], plain)


@pytest.mark.slow
def test_xla_gives_the_same_loss_and_gradients(plain):
    loss, gradients = tensorflow_step(tiny_model(VARIANT), tiny_batch(), 6000, jit_compile=True)
    assert_same([loss, *gradients], plain)
