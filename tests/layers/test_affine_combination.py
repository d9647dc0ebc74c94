"""AffineCombination: agreement with the reference's ACAE layers, and the properties users rely on."""

import keras
import numpy as np
import pytest
from keras import ops

from metrabs_acae.errors import UserError
from metrabs_acae.layers import AffineCombination, blocks
from tests.golden import golden

MIRROR_X = np.array([-1.0, 1.0, 1.0])


def swap_sides(points, n_sided):
    half = n_sided // 2
    order = [*range(half, n_sided), *range(half), *range(n_sided, points.shape[1])]
    return points[:, order]


def make_pair(chiral, weights):
    encoder = AffineCombination(10, 3, 6, 2, chiral=chiral, weights=weights)
    decoder = AffineCombination(6, 2, 10, 3, chiral=chiral, weights=weights, transposed=True)
    encoder.build()
    decoder.build()
    return encoder, decoder


@pytest.mark.parametrize("chiral", [True, False])
def test_matches_reference(chiral):
    arrays = golden("g2_acae_layer_chiral" if chiral else "g2_acae_layer_nonchiral")
    layers = dict(zip(("encoder", "decoder"), make_pair(chiral, "affine"), strict=True))
    for side, layer in layers.items():
        for name, weight in layer.blocks.items():
            if name != "z_2":
                weight.assign(arrays[f"{side}_affine_weights_{name}"])
    # float32: a few roundings of numbers around 1
    np.testing.assert_allclose(layers["encoder"].matrix(), arrays["encoder_w"], atol=1e-6)
    np.testing.assert_allclose(layers["decoder"].matrix(), arrays["decoder_w"], atol=1e-6)
    latents = layers["encoder"](arrays["x"])
    scale = np.abs(arrays["x"]).max()
    np.testing.assert_allclose(latents, arrays["latents"], atol=1e-6 * scale)
    np.testing.assert_allclose(layers["decoder"](latents), arrays["recon"], atol=2e-6 * scale)


@pytest.mark.parametrize("weights", ["nonnegative", "affine"])
@pytest.mark.parametrize("chiral", [True, False])
def test_columns_sum_to_one_and_commute_with_rigid_motion(weights, chiral):
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0].astype(np.float32)
    for layer in make_pair(chiral, weights):
        points = rng.normal(size=(4, layer.n_in, 3)).astype(np.float32)
        matrix = ops.convert_to_numpy(layer.matrix())
        assert matrix.shape == (layer.n_in, layer.n_out)
        np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-5)
        moved = points @ rotation + 5
        np.testing.assert_allclose(layer(moved), ops.convert_to_numpy(layer(points)) @ rotation + 5, atol=1e-4)


@pytest.mark.parametrize("weights", ["nonnegative", "affine"])
def test_chiral_layers_commute_with_mirroring(weights):
    rng = np.random.default_rng(1)
    for layer in make_pair(True, weights):
        points = rng.normal(size=(4, layer.n_in, 3)).astype(np.float32)
        mirrored = layer(swap_sides(points, layer.n_sided_in) * MIRROR_X)
        expected = swap_sides(ops.convert_to_numpy(layer(points)), layer.n_sided_out) * MIRROR_X
        np.testing.assert_allclose(mirrored, expected, atol=1e-5)


def test_nonchiral_layers_have_free_sides():
    layer = make_pair(False, "affine")[0]
    matrix = ops.convert_to_numpy(layer.matrix())
    assert not np.allclose(matrix[:5, :3], matrix[5:10, 3:6])
    assert len(layer.trainable_weights) == 9


def fit(layer, points, target, steps):
    model = keras.Sequential([keras.Input(points.shape[1:]), layer])
    model.compile(optimizer=keras.optimizers.Adam(0.05), loss="mae")
    model.fit(points, target, batch_size=len(points), epochs=steps, verbose=0)


def test_nonnegative_weights_reach_exact_zeros_and_return_from_them():
    rng = np.random.default_rng(2)
    points = rng.normal(size=(64, 5, 3)).astype(np.float32)
    layer = AffineCombination(4, 1, 0, 1, chiral=False, weights="nonnegative")
    layer.build()
    fit(layer, points, points[:, :1], steps=60)  # the output is the first point
    matrix = ops.convert_to_numpy(layer.matrix())[:, 0]
    assert matrix[0] > 0.98 and np.sum(matrix == 0) >= 3 and matrix.min() >= 0
    fit(layer, points, points[:, 1:2], steps=60)  # now the second one, whose weight stood at zero
    assert ops.convert_to_numpy(layer.matrix())[1, 0] > 0.98


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_nonnegative_column_without_weights_is_the_mean_and_can_learn(value):
    layer = AffineCombination(4, 2, 2, 1, weights="nonnegative")
    layer.build()
    layer.set_weights([np.full(w.shape, value, np.float32) for w in layer.get_weights()])
    np.testing.assert_allclose(layer.matrix(), 1 / 6, atol=1e-6)
    points = np.random.default_rng(3).normal(size=(64, 6, 3)).astype(np.float32)
    fit(layer, points, points[:, [0, 2, 4]], steps=60)
    assert ops.convert_to_numpy(layer.matrix())[0, 0] > 0.9


def test_serialization_keeps_the_matrix(tmp_path):
    layer = AffineCombination(10, 3, 6, 2, chiral=False, weights="affine")
    model = keras.Sequential([keras.Input((13, 3)), layer])
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras").layers[0]
    np.testing.assert_array_equal(reloaded.matrix(), layer.matrix())
    assert reloaded.get_config() == layer.get_config()


def test_bad_arguments_are_named():
    with pytest.raises(UserError, match="n_sided_in must be even"):
        AffineCombination(5, 1, 2, 1)
    with pytest.raises(UserError, match="n_center_in at least 0"):
        AffineCombination(4, -1, 2, 1)
    with pytest.raises(UserError, match="nonnegative, affine"):
        AffineCombination(4, 1, 2, 1, weights="convex")
    with pytest.raises(UserError, match="takes 5 points"):
        AffineCombination(4, 1, 2, 1)(np.zeros((2, 6, 3), np.float32))


def some_names(n_pairs, n_center):
    """Names in mixed order: a left, a central, a right one, ..."""
    pairs = [(f"l{i}", f"r{i}") for i in range(n_pairs)]
    return [
        n for i, (left, right) in enumerate(pairs) for n in ([left, f"c{i}", right] if i < n_center else [left, right])
    ]


@pytest.mark.parametrize("weights", ["nonnegative", "affine"])
@pytest.mark.parametrize("mirrored", [True, False])
def test_a_layer_made_from_a_matrix_is_that_matrix(weights, mirrored):
    """Points in any order; blocks are shared exactly where the matrix commutes with mirroring."""
    rng = np.random.default_rng(4)
    layouts = blocks.layout_of(some_names(5, 3)), blocks.layout_of(some_names(3, 2))
    matrix = rng.uniform(0 if weights == "nonnegative" else -0.4, 1, [layout.n_points for layout in layouts])
    if mirrored:
        matrix = matrix + matrix[np.ix_(*(layout.mirror for layout in layouts))]
    matrix /= matrix.sum(axis=0)
    layer = AffineCombination.from_matrix(matrix, layout_in=layouts[0], layout_out=layouts[1], frozen=True)
    np.testing.assert_allclose(layer.matrix(), matrix, rtol=3e-7, atol=1e-8)  # two roundings of float32
    assert layer.weight_kind == weights and not layer.trainable_variables
    assert set(layer.blocks) == (set("sqcxz") if mirrored else {"z"})
    points = rng.normal(size=(2, layer.n_in, 3)).astype(np.float32)
    np.testing.assert_allclose(layer(points), np.einsum("bjc,jl->blc", points, matrix), atol=1e-6)
    again = AffineCombination.from_config(layer.get_config())
    again.build()
    again.set_weights(layer.get_weights())
    np.testing.assert_array_equal(again.matrix(), layer.matrix())


def test_what_is_no_matrix_of_shares_or_no_order_is_named():
    with pytest.raises(UserError, match="must sum to 1"):
        AffineCombination.from_matrix(np.ones((3, 2)))
    with pytest.raises(UserError, match="in_order must hold each of the numbers 0 to 4 once"):
        AffineCombination(4, 1, 2, 1, in_order=[0, 1, 2, 3, 3])


def test_its_output_has_the_shape_that_it_says():
    layer = AffineCombination(4, 1, 2, 1)
    points = np.zeros((2, 5, 7), np.float32)
    assert layer.compute_output_shape(points.shape) == layer(points).shape == (2, 3, 7)
