"""GhostBatchNormalization: agreement with the reference, with separate batch norms, and robustness of its modes."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import keras
import numpy as np
import pytest
from keras import ops

from metrabs_acae.errors import UserError
from metrabs_acae.layers import GhostBatchNormalization
from tests.golden import golden

# float32 sums over up to 1024 numbers
TOLERANCE = 2e-6


def train_step(layer, x, *, compiled=False, static=True):
    """Outputs and gradients (x, gamma, beta) of sum(y * sin(arange)), with the moving statistics updated."""
    weights = np.sin(np.arange(x.size, dtype=np.float32)).reshape(x.shape).astype(x.dtype)
    if keras.backend.backend() == "jax":
        import jax

        def loss(trainable, x):
            y, others = layer.stateless_call(trainable, others0, x, training=True)
            return (y * weights).sum(), (y, others)

        others0 = [v.value for v in layer.non_trainable_variables]
        trainable = [v.value for v in layer.trainable_variables]
        gradient = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        (_, (y, others)), (of_weights, of_x) = gradient(trainable, x)
        for variable, value in zip(layer.non_trainable_variables, others, strict=True):
            variable.assign(value)
        return y, [of_x, *of_weights]

    import tensorflow as tf

    @tf.function(
        jit_compile=compiled, input_signature=[tf.TensorSpec([len(x) if static else None, *x.shape[1:]], x.dtype)]
    )
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(tf.cast(y, weights.dtype) * weights)
        return y, tape.gradient(loss, [x, *(v.value for v in layer.trainable_variables)])

    return step(tf.constant(x))


def reference_groups(x, sizes, *, momentum, epsilon, gamma, beta, moving_mean, moving_var):
    """Independent NumPy version: one batch norm after the other, in float64."""
    outputs, start = [], 0
    for size in sizes:
        group = x[start : start + size].astype(np.float64)
        start += size
        axes = tuple(range(group.ndim - 1))
        n = group[..., 0].size
        mean, var = group.mean(axes), group.var(axes)
        outputs.append((group - mean) / np.sqrt(var + epsilon) * gamma + beta)
        moving_mean = momentum * moving_mean + (1 - momentum) * mean
        moving_var = momentum * moving_var + (1 - momentum) * var * n / (n - 1)
    return np.concatenate(outputs), moving_mean, moving_var


@pytest.mark.parametrize("mode", ["plain", "xla", "dynamic batch"])
@pytest.mark.parametrize("origin", ["keras", "effnet"])
@pytest.mark.parametrize(("key", "group_size"), [("g8x16", 16), ("uneven", [64, 32, 32])])
def test_matches_reference(origin, key, group_size, mode):
    arrays = golden("g5_ghostbn")
    prefix = f"{origin}_{key}_"
    layer = GhostBatchNormalization(
        group_size, momentum=float(arrays[prefix + "momentum"]), epsilon=float(arrays[prefix + "epsilon"])
    )
    layer.build((None, 4, 4, 6))
    layer.set_weights([arrays[k] for k in ("gamma", "beta", "moving_mean0", "moving_var0")])
    y, gradients = train_step(layer, arrays["x"], compiled=mode == "xla", static=mode != "dynamic batch")
    found = {
        "y_train": y,
        **{f"grad_{name}": g for name, g in zip(("x", "gamma", "beta"), gradients, strict=True)},
        "moving_mean": layer.moving_mean,
        "moving_var": layer.moving_variance,
        "y_infer_after": layer(arrays["x"], training=False),
    }
    for name, value in found.items():
        expected = arrays[prefix + name]
        np.testing.assert_allclose(
            ops.convert_to_numpy(value), expected, rtol=0, atol=TOLERANCE * np.abs(expected).max(), err_msg=name
        )


@pytest.mark.parametrize(
    ("shape", "axis", "group_size", "sizes"),
    [
        ((10, 3, 3, 4), -1, 4, [4, 4, 2]),  # the last group is smaller
        ((6, 3, 3, 4), -1, 16, [6]),  # a group larger than the batch
        ((6, 3, 3, 4), -1, None, [6]),
        ((9, 5, 4), -1, [2, 3, 4], [2, 3, 4]),
        ((12, 4), -1, 5, [5, 5, 2]),  # no spatial axes
    ],
)
@pytest.mark.parametrize("static", [True, False])
def test_groups_equal_separate_batch_norms(shape, axis, group_size, sizes, static):
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, size=shape).astype(np.float32)
    gamma, beta, mean, var = rng.uniform(0.5, 2, size=(4, shape[-1])).astype(np.float32)
    layer = GhostBatchNormalization(group_size, momentum=0.9)
    layer.build((None, *shape[1:]))
    layer.set_weights([gamma, beta, mean, var])
    y, _ = train_step(layer, x, static=static)
    expected = reference_groups(
        x, sizes, momentum=0.9, epsilon=1e-3, gamma=gamma, beta=beta, moving_mean=mean, moving_var=var
    )
    for found, wanted in zip((y, layer.moving_mean, layer.moving_variance), expected, strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(found), wanted, atol=1e-5)


def test_other_axis_equals_last_axis():
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8, 4, 3, 5)).astype(np.float32)
    last, first = GhostBatchNormalization(4), GhostBatchNormalization(4, axis=1)
    y = last(x, training=True)
    y_first = first(np.moveaxis(x, -1, 1).copy(), training=True)
    np.testing.assert_allclose(np.moveaxis(ops.convert_to_numpy(y_first), 1, -1), y, atol=1e-5)


def test_gradient_is_that_of_automatic_differentiation():
    """One group, so that Keras's own layer, differentiated automatically, is an independent source."""
    rng = np.random.default_rng(2)
    x = rng.normal(1, 3, size=(6, 5, 5, 4)).astype(np.float32)
    own, keras_layer = GhostBatchNormalization(None), keras.layers.BatchNormalization()
    for layer in (own, keras_layer):
        layer.build(x.shape)
    for mine, theirs in zip(train_step(own, x)[1], train_step(keras_layer, x)[1], strict=True):
        np.testing.assert_allclose(ops.convert_to_numpy(mine), ops.convert_to_numpy(theirs), atol=2e-5)


def test_inference_takes_any_batch_size_and_frozen_layers_use_moving_statistics():
    x = np.random.default_rng(3).normal(size=(7, 2, 2, 3)).astype(np.float32)
    layer = GhostBatchNormalization([2, 3])
    np.testing.assert_allclose(layer(x), x / np.sqrt(1 + 1e-3), rtol=1e-5)
    layer.trainable = False
    np.testing.assert_allclose(layer(x, training=True), x / np.sqrt(1 + 1e-3), rtol=1e-5)
    np.testing.assert_array_equal(layer.moving_mean, 0)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_keeps_statistics_in_float32(policy):
    # float16 squares of these overflow (beyond 65504), and its sums lose the mean
    x = np.random.default_rng(4).normal(1000, 100, size=(32, 8, 8, 2)).astype(np.float32)
    layer = GhostBatchNormalization(8, momentum=0.9, dtype=policy)
    layer.build(x.shape)
    y, (gradient, *_) = train_step(layer, x)
    assert keras.backend.standardize_dtype(y.dtype) == policy.removeprefix("mixed_")
    assert np.isfinite(ops.convert_to_numpy(ops.cast(gradient, "float32"))).all()
    assert layer.moving_variance.dtype == "float32"
    rounded = ops.convert_to_numpy(ops.cast(ops.cast(x, y.dtype), "float32"))
    start = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_var": 1.0}
    _, mean, var = reference_groups(rounded, [8] * 4, momentum=0.9, epsilon=1e-3, **start)
    # XLA may skip the rounding of the inputs; bfloat16 has 3 digits, errors of single numbers average out.
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-4)
    np.testing.assert_allclose(layer.moving_variance, var, rtol=5e-3)


def test_weights_are_exchangeable_with_keras_and_config_round_trips():
    layer = GhostBatchNormalization([3, 5], momentum=0.8, epsilon=1e-4, center=False, name="bn")
    copy = GhostBatchNormalization.from_config(layer.get_config())
    assert copy.get_config() == layer.get_config()
    assert copy.group_size == [3, 5] and copy.momentum == 0.8 and not copy.center
    plain, ghost = keras.layers.BatchNormalization(), GhostBatchNormalization(4)
    for bn in (plain, ghost):
        bn.build((None, 4, 4, 3))
    ghost.set_weights([np.full(3, i, np.float32) for i in range(1, 5)])
    plain.set_weights(ghost.get_weights())
    x = np.ones((2, 4, 4, 3), np.float32)
    np.testing.assert_allclose(plain(x), ghost(x), rtol=1e-6)


def test_saved_model_file_is_reloaded(tmp_path):
    model = keras.Sequential([keras.Input((4, 4, 3)), GhostBatchNormalization(2)])
    model.save(tmp_path / "model.keras")
    assert keras.models.load_model(tmp_path / "model.keras").layers[0].group_size == 2


def outputs_and_moving_mean_on_two_replicas(x):
    """Runs in a process of its own, because virtual devices must be set before TensorFlow starts."""
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        layer = GhostBatchNormalization(4, momentum=0.9)
        layer.build(x.shape)
    shares = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(np.split(x, 2)[context.replica_id_in_sync_group])
    )

    @tf.function
    def step(values):
        return strategy.run(lambda v: layer(v, training=True), args=(values,))

    outputs = [y.numpy() for y in strategy.experimental_local_results(step(shares))]
    means = [m.numpy() for m in strategy.experimental_local_results(layer.moving_mean.value)]
    return np.concatenate(outputs), means


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.distribute is TensorFlow's")
def test_replicas_group_their_own_share_and_average_moving_statistics():
    x = np.random.default_rng(5).normal(2, 3, size=(16, 4, 4, 3)).astype(np.float32)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        outputs, moving_means = pool.submit(outputs_and_moving_mean_on_two_replicas, x).result()
    start = {"gamma": 1.0, "beta": 0.0, "moving_mean": 0.0, "moving_var": 1.0}
    expected, _, _ = reference_groups(x, [4] * 4, momentum=0.9, epsilon=1e-3, **start)
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
    shares = [reference_groups(share, [4, 4], momentum=0.9, epsilon=1e-3, **start)[1] for share in np.split(x, 2)]
    for moving_mean in moving_means:
        np.testing.assert_allclose(moving_mean, np.mean(shares, axis=0), atol=1e-5)


def test_bad_arguments_are_named():
    with pytest.raises(UserError, match="at least 1"):
        GhostBatchNormalization(0)
    with pytest.raises(UserError, match="at least 1"):
        GhostBatchNormalization([])
    with pytest.raises(UserError, match="sum to 5, but the training batch has 4"):
        GhostBatchNormalization([2, 3])(np.zeros((4, 2, 2, 3), np.float32), training=True)


@pytest.mark.parametrize("places", [[3, 0, 2, 1, 5, 4], [0, 2, 4, 1, 3, 5], [0, 1, 2, 3, 4, 5]])
@pytest.mark.parametrize("group_size", [2, None])
def test_examples_that_stand_elsewhere_keep_their_groups(places, group_size):
    x = np.random.default_rng(0).normal(size=(6, 4, 3)).astype(np.float32)
    whole, dealt = (GhostBatchNormalization(group_size, momentum=0.7) for _ in range(2))
    dealt.set_places(np.array([places]))
    expected = np.asarray(whole(x, training=True))[places]
    np.testing.assert_allclose(dealt(x[places], training=True), expected, atol=1e-5)
    for a, b in zip(whole.weights, dealt.weights, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_its_configuration_holds_what_it_takes():
    usual = GhostBatchNormalization()
    assert (usual.group_size, usual.momentum, usual.epsilon, usual.axis) == (16, 0.99, 1e-3, -1)  # the rest is Keras's
    config = GhostBatchNormalization([2, 3], momentum=0.7).get_config()
    assert not {"renorm", "synchronized"} & set(config) and config["group_size"] == [2, 3]
    assert GhostBatchNormalization.from_config(config).get_config() == config
