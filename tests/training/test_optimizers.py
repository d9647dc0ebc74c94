"""The optimizer: the reference's trace of weights, and what its options promise."""

import math

import keras
import numpy as np
import pytest
from keras import ops

from metrabs_acae.errors import UserError
from metrabs_acae.layers.kernel_norm import KernelNormLimit
from metrabs_acae.training.optimizers import average_weights, build_optimizer, learning_rates
from metrabs_acae.training.schedules import FinetuneBackboneSchedule, FinetuneHeadSchedule, MainSchedule
from tests.golden import golden

BASE = 2.121e-4


def run(optimizer, start, gradients):
    """[steps, ...] values of one variable after each gradient."""
    variable = keras.Variable(start, name="v")
    optimizer.build([variable])
    trace = []
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient)], [variable])
        trace.append(ops.convert_to_numpy(variable).copy())
    return np.array(trace)


def adam_by_hand(start, gradients, rates, decay):
    """Independent float64 AdamW: decay, then Adam."""
    value, m, v, trace = start.astype(np.float64), 0.0, 0.0, []
    for t, (gradient, rate) in enumerate(zip(gradients, rates, strict=True), start=1):
        m = 0.9 * m + 0.1 * gradient
        v = 0.999 * v + 0.001 * gradient.astype(np.float64) ** 2
        value = value * (1 - rate * decay)
        value = value - rate * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
        trace.append(value)
    return np.array(trace)


@pytest.mark.parametrize("loss_scale", [None, 128.0])
def test_matches_reference(loss_scale):
    arrays = golden("g5_lr_opt")
    optimizer = build_optimizer(
        MainSchedule(BASE, 400000), total_steps=400000, base_learning_rate=BASE, loss_scale=loss_scale
    )
    assert optimizer.weight_decay == pytest.approx(float(arrays["adamw_weight_decay_400000"]), rel=1e-12)
    trace = run(optimizer, arrays["adam_v0"], arrays["adam_grads"] * (loss_scale or 1))
    np.testing.assert_allclose(trace, arrays["adam_trace"], atol=2.5e-7)  # two roundings of numbers near 1


def test_accumulation_matches_reference():
    arrays = golden("g5_lr_opt")
    optimizer = build_optimizer(1e-3, total_steps=20, base_learning_rate=1e-3, weight_decay=0, accum_steps=4)
    trace = run(optimizer, arrays["adam_v0"], arrays["adam_grads"])
    np.testing.assert_allclose(trace, arrays["gradaccum4_trace"], atol=2.5e-7)


@pytest.mark.parametrize("axis", ["012", "01"])
def test_kernel_norm_constraint_matches_reference(axis):
    arrays = golden("g5_lr_opt")
    constraint = KernelNormLimit(20, axis=tuple(int(a) for a in axis))
    np.testing.assert_allclose(
        constraint(arrays["kernelnorm_in"]), arrays[f"kernelnorm20_axis{axis}"], rtol=1e-6, atol=1e-6
    )


def test_accumulation_equals_one_large_batch_with_schedule_and_decay():
    rng = np.random.default_rng(0)
    start, gradients = rng.normal(size=5).astype(np.float32), rng.normal(size=(12, 5)).astype(np.float32)
    settings = {"total_steps": 4, "base_learning_rate": 0.01, "weight_decay": 0.1}
    accumulated = run(build_optimizer(MainSchedule(0.01, 4), **settings, accum_steps=3), start, gradients)
    whole = run(build_optimizer(MainSchedule(0.01, 4), **settings), start, gradients.reshape(4, 3, 5).mean(axis=1))
    np.testing.assert_allclose(accumulated[2::3], whole, atol=1e-6)
    rates = [float(MainSchedule(0.01, 4)(step)) for step in range(4)]
    by_hand = adam_by_hand(start, gradients.reshape(4, 3, 5).mean(axis=1), rates, 0.1 / math.sqrt(4) / 0.01)
    np.testing.assert_allclose(whole, by_hand, atol=1e-6)


@pytest.mark.parametrize("accum_steps", [1, 3])
def test_weight_average_counts_updates_and_leaves_the_weights_alone(accum_steps):
    rng = np.random.default_rng(1)
    n_steps = 6 * accum_steps + accum_steps - 1  # the newest update enters bit by bit until just before the next
    start, gradients = rng.normal(size=4).astype(np.float32), rng.normal(size=(n_steps, 4)).astype(np.float32)
    settings = {"total_steps": 6, "base_learning_rate": 0.1, "accum_steps": accum_steps}
    optimizer = build_optimizer(0.1, **settings, ema_momentum=0.8)
    trace = run(optimizer, start, gradients)
    np.testing.assert_array_equal(trace, run(build_optimizer(0.1, **settings), start, gradients))
    variables = optimizer._trainable_variables
    updates = trace[accum_steps - 1 :: accum_steps]
    expected = updates[0]
    for value in updates[1:]:
        expected = 0.8 * expected + 0.2 * value
    np.testing.assert_allclose(average_weights(optimizer, variables)[0], expected, atol=1e-6)
    optimizer.finalize_variable_values(variables)  # what `fit` calls when it ends
    np.testing.assert_array_equal(variables[0], trace[-1])


@pytest.mark.parametrize("loss_scale", [None, 128.0, "dynamic"])
@pytest.mark.parametrize("accum_steps", [1, 2])
def test_two_learning_rates_through_fit(loss_scale, accum_steps):
    """Backbone and head follow their own schedules, under every loss scale alike."""
    keras.utils.set_random_seed(0)
    backbone, head = keras.layers.Dense(4, name="backbone"), keras.layers.Dense(1, name="head")
    model = keras.Sequential([keras.Input((3,)), backbone, head])
    start = [ops.convert_to_numpy(w) for w in model.trainable_variables]
    optimizer = build_optimizer(
        (FinetuneBackboneSchedule(1e-2, 4), FinetuneHeadSchedule(1e-2, 4)),
        total_steps=4,
        base_learning_rate=1e-2,
        weight_decay=0,
        backbone_variables=backbone.trainable_variables,
        accum_steps=accum_steps,
        loss_scale=loss_scale,
        ema_momentum=0.5,
    )
    model.compile(optimizer=optimizer, loss="mse", auto_scale_loss=False)
    x = np.random.default_rng(0).normal(size=(accum_steps, 3)).astype(np.float32)
    model.fit(x, x.sum(axis=1, keepdims=True) + 10, batch_size=1, epochs=1, verbose=0)
    # Adam's first step is the learning rate for every weight that has a gradient
    for before, variable in zip(start, model.trainable_variables, strict=True):
        rate = 1e-2 / 30 if "backbone" in variable.path else 1e-2
        moved = np.abs(ops.convert_to_numpy(variable) - before)
        np.testing.assert_allclose(moved[moved > 0], rate, rtol=1e-2)
        assert moved.max() > 0
    rates = learning_rates(optimizer)
    assert rates["learning_rate_backbone"] == pytest.approx(1e-2 / 30 * 0.3**0.25, rel=1e-5)
    assert rates["learning_rate_rest"] == pytest.approx(1e-2 * (1 / 3) ** 0.5, rel=1e-5)
    assert len(average_weights(optimizer, model.trainable_variables)) == 4


def test_dynamic_loss_scale_skips_overflow():
    optimizer = build_optimizer(0.1, total_steps=10, base_learning_rate=0.1, loss_scale="dynamic")
    gradients = np.array([[np.inf, 1.0], [1.0, 1.0]], np.float32)
    trace = run(optimizer, np.ones(2, np.float32), gradients)
    np.testing.assert_array_equal(trace[0], 1)
    assert (trace[1] < 1).all()


def test_learning_rates_of_one_schedule():
    optimizer = build_optimizer(MainSchedule(1e-3, 10), total_steps=10, base_learning_rate=1e-3)
    assert learning_rates(optimizer) == {"learning_rate": pytest.approx(1e-3)}
    variable = keras.Variable(np.ones(2, np.float32))
    assert average_weights(optimizer, [variable])[0] is variable


def test_bad_arguments_are_named():
    settings = {"total_steps": 10, "base_learning_rate": 1e-3}
    with pytest.raises(UserError, match="positive total_steps"):
        build_optimizer(1e-3, total_steps=0, base_learning_rate=1e-3)
    with pytest.raises(UserError, match="backbone's variables"):
        build_optimizer((1e-3, 1e-3), **settings)
    with pytest.raises(UserError, match="from 0 to 1"):
        build_optimizer(1e-3, **settings, ema_momentum=1.5)
    with pytest.raises(UserError, match="\"dynamic\", got 'auto'"):
        build_optimizer(1e-3, **settings, loss_scale="auto")
