"""Fine-tuning with a frozen autoencoder: what moves, at which rate, and that it can be resumed exactly."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from metrabs_acae.acae import Acae
from metrabs_acae.models import Metrabs
from metrabs_acae.models.gates import gates_for
from metrabs_acae.models.losses import LossWeights, joint_group_matrix
from metrabs_acae.skeletons import prefix_groups
from metrabs_acae.training import checkpoints, trainer
from metrabs_acae.training.optimizers import build_optimizer
from metrabs_acae.training.schedules import FinetuneBackboneSchedule, FinetuneHeadSchedule
from tests.training.test_trainer import SIDE, SKELETON, TOTAL, state, train

BASE = 1e-3
ENCODER = np.array([[0.5, 0.5], [0.25, 0], [0.25, 0], [0, 0.5]])
DECODER = np.array([[1, 0.6, 0.6, 0.1], [0, 0.4, 0.4, 0.9]])
ACAE = Acae(ENCODER, DECODER, SKELETON.joint_names, ("c0", "c1"))


def pose_model(variant: str) -> Metrabs:
    image = keras.Input((SIDE, SIDE, 3))
    x = keras.layers.Conv2D(8, 3, strides=32, padding="same", activation="relu", name="conv")(image)
    acae = None if variant == "separate" else ACAE
    return Metrabs(keras.Model(image, x, name="backbone"), SKELETON, variant=variant, acae=acae, name="metrabs")


def training_model(variant: str, *, weight_decay: float = 3e-3) -> trainer.TrainingModel:
    keras.utils.clear_session()
    keras.utils.set_random_seed(3)
    groups = joint_group_matrix(prefix_groups(("lhip", "rhip"), SKELETON.joint_names), SKELETON.n_joints)
    model = trainer.TrainingModel(
        pose_model(variant), gates=gates_for(TOTAL), loss_weights=LossWeights(), joint_groups_2d=groups, seed=5
    )
    optimizer = build_optimizer(
        (FinetuneBackboneSchedule(BASE, TOTAL), FinetuneHeadSchedule(BASE, TOTAL)),
        total_steps=400,
        base_learning_rate=BASE,
        weight_decay=weight_decay,
        backbone_variables=model.pose_model.backbone.trainable_variables,
    )
    model.compile(optimizer=optimizer, jit_compile=False, auto_scale_loss=False)
    optimizer.build(model.trainable_variables)
    return model


@pytest.mark.parametrize("variant", ["regularize", "latent", "hybrid"])
def test_the_autoencoder_neither_moves_nor_decays(variant):
    # A decay that shrinks a trainable weight by 5 % at the first step of the head, and more than it learns.
    model = training_model(variant, weight_decay=0.05 * 20)
    before = state(model)
    train(model, stop_at=3)
    after = state(model)
    frozen = [n for n in before if "acae_" in n]
    layers = model.pose_model.encoder, model.pose_model.decoder
    assert len(frozen) == sum(len(layer.weights) for layer in layers) and not any(
        n.startswith("optimizer/") for n in frozen
    )
    for name in frozen:
        np.testing.assert_array_equal(after[name], before[name])
    np.testing.assert_allclose(model.pose_model.decoder.matrix(), DECODER, atol=1e-7)
    assert not any(layer.trainable_variables for layer in layers)
    head = next(n for n in before if n.endswith("head/conv/kernel"))
    assert np.linalg.norm(after[head]) < 0.9 * np.linalg.norm(before[head])


def test_the_backbone_learns_at_a_thirtieth_of_the_heads_rate():
    """Adam's first step is the learning rate times the gradient's sign, so the rates can be read from the weights."""
    model = training_model("hybrid", weight_decay=0)
    before = state(model)
    train(model, stop_at=1)
    moved = {n: np.abs(after - before[n]).max() for n, after in state(model).items() if n.startswith("model/")}
    rates = {True: BASE, False: BASE / 30}
    kernels = [n for n in moved if n.endswith("conv/kernel")]
    assert len(kernels) == 2
    for name in kernels:
        # The step falls short of the rate by Adam's epsilon over the gradient, and by float32 rounding of the weights.
        assert moved[name] == pytest.approx(rates["head" in name], rel=1e-2)


def test_a_resumed_fine_tuning_ends_bit_identical(tmp_path):
    class Save(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if self.model.step == 4:
                checkpoints.save(tmp_path, 4, self.model)

    unbroken = training_model("hybrid")
    assert train(unbroken, callbacks=[Save()], inference_mode_steps=0)
    expected = state(unbroken)
    resumed = training_model("hybrid")
    assert checkpoints.restore_newest(tmp_path, resumed) == 4
    assert train(resumed, inference_mode_steps=0)
    for name, value in state(resumed).items():
        np.testing.assert_array_equal(value, expected[name], err_msg=name)


@pytest.mark.parametrize("variant", ["regularize", "hybrid"])
def test_starting_from_a_model_keeps_its_joints(variant):
    keras.utils.set_random_seed(4)
    initial, model = pose_model("separate"), pose_model(variant)
    model.initialize_from(initial)
    rng = np.random.default_rng(0)
    batch = {
        "image": rng.random((2, SIDE, SIDE, 3), np.float32),
        "intrinsics": np.tile(np.diag([200, 200, 1]).astype(np.float32), (2, 1, 1)),
    }
    joints = model.points(batch["image"], batch["intrinsics"])["joints"]
    np.testing.assert_allclose(np.array(joints), np.array(initial(batch)), rtol=1e-5, atol=0.05)  # mm, float32 sums
