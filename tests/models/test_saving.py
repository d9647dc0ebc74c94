"""Models as Keras files, and checkpoints from before the autoencoder was a layer."""

from pathlib import Path

import keras
import numpy as np
import pytest

from metrabs_acae.acae import Acae
from metrabs_acae.errors import UserError
from metrabs_acae.models.backbones import build_backbone
from metrabs_acae.models.gates import gates_for
from metrabs_acae.models.losses import LossWeights
from metrabs_acae.models.metrabs import Metrabs
from metrabs_acae.skeletons import Skeleton
from metrabs_acae.training import checkpoints, trainer
from metrabs_acae.training.optimizers import build_optimizer
from tests.models import tiny

OLD = Path(__file__).parents[1] / "old_runs" / "hybrid"
"""A checkpoint whose autoencoder is two matrices, after two steps of `tiny`'s hybrid, and what the model predicted."""


@pytest.fixture
def old_model(monkeypatch):
    monkeypatch.setattr(tiny, "tiny_acae", lambda: Acae.load(OLD / "acae.npz"))
    keras.utils.clear_session()  # the old program named its layers from the start, too
    return tiny.tiny_model("hybrid")


def inputs():
    return {name: value for name, value in tiny.tiny_batch().items() if name in ("image", "intrinsics")}


def assert_same_poses(mine, theirs):
    np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=0.05)  # mm; float32 through the tiny heads' reconstruction


def test_an_old_checkpoint_gives_the_same_poses(old_model):
    expected = np.load(OLD / "expected.npz")
    assert checkpoints.restore_weights(OLD, old_model) == 2
    np.testing.assert_allclose(old_model.decoder.matrix(), expected["decoder"], atol=1e-7)
    np.testing.assert_allclose(old_model.encoder.matrix(), expected["encoder"], atol=1e-7)
    assert_same_poses(old_model(inputs()), expected["predicted"])


def test_training_goes_on_from_an_old_checkpoint(old_model):
    model = trainer.TrainingModel(
        old_model, gates=gates_for(100), loss_weights=LossWeights(), joint_groups_2d=tiny.GROUPS, seed=5
    )
    optimizer = build_optimizer(1e-3, total_steps=100, base_learning_rate=1e-3)
    model.compile(optimizer=optimizer, jit_compile=False, auto_scale_loss=False)
    optimizer.build(model.trainable_variables)
    assert checkpoints.restore_newest(OLD, model) == 2
    assert model.step == 2
    model.train_on_batch(tiny.tiny_batch())
    assert_same_poses(old_model(inputs()), np.load(OLD / "expected.npz")["predicted_after_a_step"])


def test_blocks_of_a_mirrored_autoencoder_are_shared(old_model):
    assert set(old_model.decoder.blocks) == {"s", "q", "c", "x", "z"}
    assert old_model.encoder.weight_kind == "nonnegative"
    assert not old_model.encoder.trainable_variables


@pytest.mark.parametrize("variant", ["separate", "hybrid"])
def test_a_model_is_saved_and_loaded_by_keras_alone(variant, tmp_path):
    skeleton = Skeleton("tiny", tiny.NAMES, ((0, 2), (1, 3)))
    backbone = build_backbone("mobilenetv3-small", 64, ghost_group_size=4)
    model = Metrabs(
        backbone, skeleton, variant=variant, acae=Acae.load(OLD / "acae.npz"), depth=4, mix_3d_inside_fov=0.25
    )
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(again, Metrabs) and again.skeleton == skeleton and again.variant is model.variant
    configs = [{name: v for name, v in m.get_config().items() if name != "backbone"} for m in (again, model)]
    assert configs[0] == configs[1]
    for mine, theirs in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=theirs.path)
    image = np.random.default_rng(0).random((2, 64, 64, 3), np.float32)
    crops = {"image": image, "intrinsics": np.tile(np.diag([90.0, 90, 1]).astype(np.float32), (2, 1, 1))}
    np.testing.assert_array_equal(again(crops), model(crops))


def test_two_variables_of_one_name_are_refused():
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(2, 3, name="same")(image)
    inner = keras.Model(image, x, name="inner")
    y = keras.layers.Conv2D(2, 3, name="same")(inner(image))
    model = keras.Model(image, y)
    model.compile(optimizer="sgd", loss="mse")
    with pytest.raises(UserError, match="have one name.*same/kernel"):
        checkpoints.checkpoint_variables(model)
