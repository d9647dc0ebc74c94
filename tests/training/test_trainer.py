"""The training loop: phases, exact resume, what the inference-mode phase freezes."""

from __future__ import annotations

import itertools
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.layers.ghost_batch_norm import GhostBatchNormalization
from metrabs_acae.models import Metrabs
from metrabs_acae.models.gates import gates_for
from metrabs_acae.models.losses import LossWeights, joint_group_matrix
from metrabs_acae.models.variants import VARIANTS
from metrabs_acae.skeletons import Skeleton, prefix_groups
from metrabs_acae.training import callbacks, checkpoints, trainer
from metrabs_acae.training.optimizers import build_optimizer
from metrabs_acae.training.schedules import MainSchedule

SKELETON = Skeleton("s", ("pelv_a", "lhip_a", "rhip_a", "neck_a"))
SIDE, N3, N2, TOTAL = 64, 4, 2, 12


def small_model(total_steps=TOTAL, **optimizer_settings) -> trainer.TrainingModel:
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(8, 3, strides=32, padding="same", name="conv")(image)
    x = GhostBatchNormalization(group_size=3, momentum=0.9, name="bn")(x)
    x = keras.layers.Dropout(0.3, name="dropout")(keras.layers.Activation("relu", name="relu")(x))
    pose_model = Metrabs(keras.Model(image, x, name="backbone"), SKELETON, name="metrabs")
    groups = joint_group_matrix(prefix_groups(("lhip", "rhip"), SKELETON.joint_names), SKELETON.n_joints)
    model = trainer.TrainingModel(
        pose_model, gates=gates_for(total_steps), loss_weights=LossWeights(), joint_groups_2d=groups, seed=5
    )
    optimizer = build_optimizer(
        MainSchedule(1e-3, total_steps), total_steps=total_steps, base_learning_rate=1e-3, **optimizer_settings
    )
    model.compile(optimizer=optimizer, jit_compile=False, auto_scale_loss=False)
    optimizer.build(model.trainable_variables)
    return model


def batch_of(step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(step)
    intrinsics = np.tile(np.array([[200.0, 0, 31.5], [0, 200, 31.5], [0, 0, 1]], np.float32), (N3 + N2, 1, 1))
    return {
        "image": rng.random((N3 + N2, SIDE, SIDE, 3), np.float32),
        "intrinsics": intrinsics,
        "coords3d_mm": (rng.normal(0, 200, (N3, 4, 3)) + (0, 0, 4000)).astype(np.float32),
        "valid3d": rng.random((N3, 4)) > 0.2,
        "coords2d_px": rng.uniform(10, 50, (N2, 2, 2)).astype(np.float32),
        "valid2d": np.ones((N2, 2), bool),
    }


def dataset_from(step: int) -> tf.data.Dataset:
    signature = {k: tf.TensorSpec(v.shape, v.dtype) for k, v in batch_of(0).items()}
    return tf.data.Dataset.from_generator(lambda: map(batch_of, itertools.count(step)), output_signature=signature)


def train(model, *, stop_at=None, callbacks=(), inference_mode_steps=3):
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.step == stop_at:
                self.model.stop_training = True

    return trainer.run_training(
        model,
        dataset_from,
        total_steps=TOTAL,
        inference_mode_steps=inference_mode_steps,
        log_period=4,
        callbacks=[Stop(), *callbacks],
    )


def state(model) -> dict[str, np.ndarray]:
    return {n: np.asarray(v) for n, v in checkpoints.checkpoint_variables(model).items()}


def test_switch_step_is_the_references():
    assert trainer.switch_step(400_000, 1000) == 399_001
    assert trainer.switch_step(400_000, 0) == 400_000


@pytest.mark.parametrize(
    "start, total, switch, period", [(0, 20, 17, 4), (3, 20, 17, 4), (18, 20, 17, 4), (0, 5, 5, 7)]
)
def test_phases_cover_every_step_once_and_end_epochs_at_multiples_of_the_period(start, total, switch, period):
    ends, at = [], start
    for begin, epochs, steps in trainer.phases(start, total, switch, period):
        assert begin == at
        ends += [begin + steps * (i + 1) for i in range(epochs)]
        at = ends[-1]
    wanted = {*range((start // period + 1) * period, total + 1, period), total, *([switch] if switch > start else [])}
    assert ends == sorted(wanted)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def unbroken(saved):
    """The state after every epoch of one run from the first step to the last, by step; it checkpoints into `saved`."""
    seen = {}
    saver = callbacks.Checkpoints(saved, period=4, total_steps=TOTAL, switch=trainer.switch_step(TOTAL, 3), keep=2)

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen[self.model.step] = state(self.model)

    assert train(small_model(), callbacks=[Look(), saver])
    return seen


def test_checkpoints_stand_at_the_period_and_one_before_the_inference_mode_phase(saved, unbroken):
    assert [step for step, _ in checkpoints.list_checkpoints(saved)] == [8, 12]
    [(step, path)] = checkpoints.list_checkpoints(saved, tag="before_switch")
    assert step == trainer.switch_step(TOTAL, 3) == 10
    for name, value in checkpoints.read(path).items():
        np.testing.assert_array_equal(value, unbroken[step][name], err_msg=name)


def test_periods_that_are_no_multiples_of_each_other_do_not_cut_the_epochs_shorter():
    periodic = callbacks.Periodic(212, 850)
    model = types.SimpleNamespace(step=0)
    periodic.set_model(model)
    periodic.on_train_begin()
    due = []
    for step in range(50, 851, 50):
        if step == 450:
            periodic.on_train_begin()  # of the next call of fit, at step 400
        model.step = step
        if periodic.due():
            due.append(step)
    assert due == [250, 450, 650, 850]


@pytest.mark.parametrize("stop_at", [7, 11])
def test_a_stopped_and_resumed_run_ends_bit_identical_to_an_unbroken_one(tmp_path, unbroken, stop_at):
    expected = unbroken[TOTAL]
    first = small_model()
    assert not train(first, stop_at=stop_at) or stop_at == TOTAL
    assert first.step == stop_at
    checkpoints.save(tmp_path, first.step, first)
    second = small_model()
    assert checkpoints.restore_newest(tmp_path, second) == stop_at
    assert train(second)
    found = state(second)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_the_last_phase_keeps_statistics_and_trains_weights(unbroken):
    switch = trainer.switch_step(TOTAL, 3)
    before, after = unbroken[switch], unbroken[TOTAL]
    moved = {n for n in before if n.startswith("model/") and not np.array_equal(before[n], after[n])}
    assert not any("moving" in n for n in moved)
    assert any(n.endswith("bn/gamma") for n in moved) and any(n.endswith("conv/kernel") for n in moved)
    assert any("moving_mean" in n and not np.array_equal(unbroken[4][n], before[n]) for n in before)


def test_training_lowers_the_loss_on_a_repeated_batch():
    model = small_model(total_steps=4000)  # before step 500 no term switches on
    data = tf.data.Dataset.from_tensors(batch_of(0)).repeat()
    history = model.fit(data, epochs=3, steps_per_epoch=30, verbose=0, shuffle=False).history["loss"]
    assert history[-1] < 0.8 * history[0]
    assert model.step == 90


def test_the_loss_is_logged_without_2d_labelled_examples():
    batch = batch_of(0)
    n = len(batch["coords3d_mm"])
    only_3d = {k: (v[:0] if k.endswith("2d") or "2d_" in k else v[:n]) for k, v in batch.items()}
    model = small_model(total_steps=4000)
    data = tf.data.Dataset.from_tensors(only_3d).repeat()
    history = model.fit(data, epochs=1, steps_per_epoch=2, verbose=0, shuffle=False).history
    assert "total" not in history
    np.testing.assert_allclose(history["loss"], history["pose_3d"], rtol=1e-5)


def test_accumulated_micro_batches_count_as_one_step():
    model = small_model(accum_steps=2)
    model.accum_steps = 2
    assert trainer.run_training(model, dataset_from, total_steps=4, inference_mode_steps=0, log_period=2, callbacks=[])
    assert model.step == 4 and int(model.batches_seen) == 8


@pytest.mark.parametrize("variant", VARIANTS)
def test_names_of_the_loss_terms_are_those_of_the_loss(variant):
    weights = np.full((4, 2), 0.25, np.float32), np.full((2, 4), 0.5, np.float32)
    acae = type("Acae", (), {"encoder": weights[0], "decoder": weights[1]})
    backbone = small_model().pose_model.backbone
    pose_model = Metrabs(backbone, SKELETON, variant=variant, acae=acae)
    groups = joint_group_matrix(prefix_groups(("lhip", "rhip"), SKELETON.joint_names), SKELETON.n_joints)
    model = trainer.TrainingModel(pose_model, gates=gates_for(100), loss_weights=LossWeights(), joint_groups_2d=groups)
    assert set(model(batch_of(0), training=True)) == {"loss", *model.term_trackers}


@pytest.mark.parametrize("name", ["Metro", "Model25D"])
def test_the_baselines_train_by_the_same_loop(name):
    from metrabs_acae import models

    skeleton = Skeleton("s", SKELETON.joint_names, ((0, 1), (0, 2), (0, 3)))
    backbone = small_model().pose_model.backbone
    more = {"bone_lengths_mm": [150.0, 150.0, 500.0]} if name == "Model25D" else {}
    groups = joint_group_matrix(prefix_groups(("lhip", "rhip"), skeleton.joint_names), skeleton.n_joints)
    model = trainer.TrainingModel(
        getattr(models, name)(backbone, skeleton, **more),
        gates=gates_for(100),
        loss_weights=LossWeights(),
        joint_groups_2d=groups,
    )
    optimizer = build_optimizer(1e-3, total_steps=100, base_learning_rate=1e-3)
    model.compile(optimizer=optimizer, jit_compile=False, auto_scale_loss=False)
    assert trainer.run_training(model, dataset_from, total_steps=2, inference_mode_steps=0, log_period=2, callbacks=[])
    assert model.step == 2
    assert np.isfinite(np.asarray(model.pose_model(batch_of(0)))).all()
