"""The compiled training loop against the public reference's losses and gradients, and against the Keras layer."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from metrabs_acae.acae import kernels
from metrabs_acae.layers import AffineCombination, blocks
from tests.golden import golden


def evaluate(poses, parameters, *, pairs, pairs_out, center_out, image_loss=True, nonnegative=False, sparsity=0.6):
    """(loss, gradients) of one batch without a step."""
    losses, gradients = np.zeros(1, np.float32), np.zeros_like(parameters)
    kernels.train(
        poses[None],
        np.arange(poses.shape[1]),
        pairs,
        pairs_out,
        center_out,
        np.zeros(1),
        np.ones(poses.shape[1], np.float32),
        sparsity,
        image_loss,
        nonnegative,
        parameters,
        gradients,
        np.zeros_like(parameters),
        np.zeros_like(parameters),
        0,
        losses,
    )
    return losses[0], gradients


def packed(arrays, prefix, *, chiral):
    """The reference's blocks (or gradients) of both layers as one flat vector of the kernels."""
    parts = []
    for layer, transposed in (("encoder", False), ("decoder", True)):
        b = {k: arrays[f"{prefix}{layer}_affine_weights_{k}"] for k in "sqcxz"}
        if transposed:
            b = {"s": b["s"].T, "q": b["q"].T, "c": b["x"].T, "x": b["c"].T, "z": b["z"].T}
        if chiral:
            parts += [np.concatenate([b["s"], b["q"], b["c"]]), np.concatenate([b["x"], b["z"]])]
        else:
            n = {k: arrays[f"{prefix}{layer}_affine_weights_{k}_2"] for k in "sqcx"}
            first = {k: arrays[f"{prefix}{layer}_affine_weights_{k}"] for k in "sqcxz"}
            whole = np.block(
                [[first["s"], first["q"], first["x"]], [n["q"], n["s"], n["x"]], [first["c"], n["c"], first["z"]]]
            )
            parts.append(whole.T if transposed else whole)
    return np.concatenate([p.ravel() for p in parts]).astype(np.float32)


@pytest.mark.parametrize("kind", ["chiral", "nonchiral"])
@pytest.mark.parametrize("projected", [1, 0])
def test_losses_and_gradients_equal_the_references(kind, projected):
    arrays = golden(f"g2_acae_layer_{kind}")
    chiral = kind == "chiral"
    pairs_out, center_out = (int(arrays["n_latent_sided"]) // 2, int(arrays["n_latent_center"])) if chiral else (0, 8)
    loss, gradients = evaluate(
        arrays["x"],
        packed(arrays, "", chiral=chiral),
        pairs=int(arrays["n_sided"]) // 2 if chiral else 0,
        pairs_out=pairs_out,
        center_out=center_out,
        image_loss=bool(projected),
    )
    np.testing.assert_allclose(loss, arrays[f"loss_proj{projected}_main_loss"], rtol=2e-6)
    expected = packed(arrays, f"grad_proj{projected}_", chiral=chiral)
    # float32 sums in another order
    np.testing.assert_allclose(gradients, expected, atol=2e-6 * np.abs(expected).max(), rtol=1e-4)


@pytest.mark.parametrize("weights", ["affine", "nonnegative"])
def test_equals_the_keras_layer(weights):
    pairs, center, pairs_out, center_out = 4, 3, 2, 2
    encoder = AffineCombination(2 * pairs, center, 2 * pairs_out, center_out, weights=weights)
    decoder = AffineCombination(2 * pairs_out, center_out, 2 * pairs, center, weights=weights, transposed=True)
    encoder.build(None)
    decoder.build(None)
    rng = np.random.default_rng(0)
    for variable in [*encoder.weights, *decoder.weights]:
        drawn = rng.uniform(-0.1, 1, variable.shape)
        variable.assign(np.maximum(drawn - 0.3, 0) if weights == "nonnegative" else drawn)
    poses = (rng.normal(0, 300, (6, 2 * pairs + center, 3)) + [0, 0, 4000]).astype(np.float32)

    e = {k: np.array(v) for k, v in encoder.blocks.items()}
    d = {k: np.array(v).T for k, v in decoder.blocks.items()}
    parts = [
        np.concatenate([e["s"], e["q"], e["c"]]),
        np.concatenate([e["x"], e["z"]]),
        np.concatenate([d["s"], d["q"], d["x"]]),
        np.concatenate([d["c"], d["z"]]),
    ]
    parameters = np.concatenate([p.ravel() for p in parts])
    np.testing.assert_allclose(
        blocks.normalize_columns(blocks.assemble(parts[0], parts[1], pairs)), encoder.matrix(), atol=1e-6
    )
    np.testing.assert_allclose(
        blocks.normalize_columns(blocks.assemble(parts[2], parts[3], pairs_out)), decoder.matrix(), atol=1e-6
    )
    loss, _ = evaluate(
        poses,
        parameters,
        pairs=pairs,
        pairs_out=pairs_out,
        center_out=center_out,
        image_loss=False,
        nonnegative=weights == "nonnegative",
    )
    expected = ops.mean(ops.abs(decoder(encoder(poses)) - poses)) / 1000
    np.testing.assert_allclose(loss, keras.ops.convert_to_numpy(expected), rtol=1e-5)


@pytest.mark.parametrize("pairs_out, center_out", [(0, 3), (2, 0), (2, 3)])
def test_gradients_without_pairs_or_central_latents_are_the_numeric_ones(pairs_out, center_out):
    pairs, center = 3, 4
    rng = np.random.default_rng(1)
    poses = (rng.normal(0, 300, (5, 2 * pairs + center, 3)) + [0, 0, 4000]).astype(np.float32)
    sizes = [(2 * pairs + center) * pairs_out, (pairs + center) * center_out]
    sizes += [(2 * pairs_out + center_out) * pairs, (pairs_out + center_out) * center]
    parameters = rng.uniform(0.1, 1, sum(sizes)).astype(np.float32)
    settings = dict(pairs=pairs, pairs_out=pairs_out, center_out=center_out, sparsity=0.0)
    _, gradients = evaluate(poses, parameters, **settings)
    direction = rng.normal(size=parameters.size).astype(np.float32)
    step = 1e-3
    change = evaluate(poses, parameters + step * direction, **settings)[0]
    change -= evaluate(poses, parameters - step * direction, **settings)[0]
    np.testing.assert_allclose(change / (2 * step), gradients @ direction, rtol=0.02, atol=2e-4)


def test_nonnegative_steps_leave_exact_zeros_and_zeros_can_come_back():
    values = np.array([0.001, 0.0, 0.5], np.float32)
    first, second = np.zeros(3, np.float32), np.zeros(3, np.float32)
    kernels.adam_step(values, np.array([1, -1, 0], np.float32), first, second, 1, np.float32(0.01), True)
    assert values[0] == 0
    np.testing.assert_allclose(values[1:], [0.01, 0.5], rtol=1e-5)


def test_blas_is_loaded_before_its_threads_are_limited():
    """A limit set before the library is loaded would not reach it; eight times the CPU at 555 joints."""
    code = (
        "from metrabs_acae.acae import fitting, kernels\n"
        "import numpy as np, threadpoolctl\n"
        "p = np.random.default_rng(0).normal(0, 300, (40, 6, 3)) + [0, 0, 4000]\n"
        "inside = []\n"
        "def report(line):\n"
        "    if 'short runs' in line:\n"
        "        inside.extend(d['num_threads'] for d in threadpoolctl.threadpool_info() if d['user_api'] == 'blas')\n"
        "names = ['la', 'lb', 'ra', 'rb', 'a', 'b']\n"
        "fitting.fit_acae(p, names, n_latents=3, n_center_latents=1, steps=6, n_restarts=1, progress=report)\n"
        "assert inside and max(inside) == 1, inside"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
