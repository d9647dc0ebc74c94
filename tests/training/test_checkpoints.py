"""Checkpoints: complete or absent, the newest good one counts, foreign ones are refused in one sentence."""

from __future__ import annotations

import types

import keras
import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.layers import AffineCombination
from metrabs_acae.training import checkpoints, trainer
from tests.training.test_trainer import TOTAL, batch_of, small_model, train


@pytest.fixture(scope="module")
def model():
    return small_model(ema_momentum=0.5)


def test_only_the_newest_untagged_ones_are_kept(tmp_path, model):
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, step, model, keep=2)
    checkpoints.save(tmp_path, 3, model, tag="before_switch")
    assert [s for s, _ in checkpoints.list_checkpoints(tmp_path)] == [2, 3]
    assert [s for s, _ in checkpoints.list_checkpoints(tmp_path, tag="before_switch")] == [3]


@pytest.mark.parametrize("damage", ["cut", "empty", "missing", "text"])
def test_a_broken_newest_checkpoint_is_named_and_passed_over(tmp_path, model, damage):
    checkpoints.save(tmp_path, 1, model)
    file = checkpoints.save(tmp_path, 2, model) / "variables.npz"
    content = file.read_bytes()
    file.write_bytes({"cut": content[: len(content) // 2], "text": b"hello"}.get(damage, b""))
    if damage == "missing":
        file.unlink()
    said = []
    assert checkpoints.restore_newest(tmp_path, model, report=said.append) == 1
    assert len(said) == 1 and "ckpt-00000002" in said[0] and checkpoints.newest_step(tmp_path) == 1


def test_half_written_temporaries_are_cleared_and_never_read(tmp_path, model):
    left = tmp_path / ".ckpt-00000009.tmp"
    left.mkdir()
    (left / "variables.npz").write_bytes(b"half")
    assert checkpoints.restore_newest(tmp_path, model) == 0
    assert not left.exists()


def test_another_models_checkpoint_is_refused(tmp_path, model):
    arrays = {n: np.asarray(v) for n, v in checkpoints.checkpoint_variables(model).items()}
    name = next(n for n in arrays if n.endswith("kernel"))
    with pytest.raises(UserError, match="another model: .* has shape"):
        checkpoints.assign(checkpoints.checkpoint_variables(model), {**arrays, name: arrays[name][..., :1]}, tmp_path)
    for shape in (arrays[name].shape[:-1] + (1,), arrays[name].shape[:-1] + (999,)):
        folder = tmp_path / str(shape[-1]) / "ckpt-00000001"
        folder.mkdir(parents=True)
        np.savez(folder / "variables.npz", **{**arrays, name: np.zeros(shape, np.float32)})
        with pytest.raises(UserError, match="another model: it has no fitting"):
            checkpoints.restore_weights(folder.parent, model.pose_model)
    del arrays[name]
    with pytest.raises(UserError, match="1 variables are missing"):
        checkpoints.assign(checkpoints.checkpoint_variables(model), arrays, tmp_path)
    with pytest.raises(UserError, match="no readable checkpoint in"):
        checkpoints.restore_weights(tmp_path, model.pose_model)


def test_the_moving_average_is_what_a_user_of_the_model_gets(tmp_path):
    model = small_model(ema_momentum=0.5)
    assert train(model)
    weights = [np.array(v) for v in model.trainable_variables]
    checkpoints.save(tmp_path, TOTAL, model)
    with trainer.averaged_weights(model):
        average = [np.array(v) for v in model.trainable_variables]
        poses = np.asarray(model.pose_model(batch_of(0)))
    assert all(np.array_equal(a, np.asarray(b)) for a, b in zip(weights, model.trainable_variables, strict=True))
    assert any(not np.array_equal(a, b) for a, b in zip(weights, average, strict=True))
    fresh = small_model().pose_model
    assert checkpoints.restore_weights(tmp_path, fresh) == TOTAL
    np.testing.assert_array_equal(np.asarray(fresh(batch_of(0))), poses)


def test_older_checkpoints_hold_matrices_of_an_autoencoder():
    layer = AffineCombination(4, 1, 2, 1, name="encoder")
    layer.build((None, 5, 3))
    model = types.SimpleNamespace(_flatten_layers=lambda: [keras.layers.Dense(3, name="head"), layer])
    arrays = {"model/metrabs/encoder": np.asarray(layer.matrix()), "model/head/kernel": np.ones(3)}
    found = checkpoints.with_blocks(arrays, model)
    assert set(found) == {"model/head/kernel"} | {f"model/{block.path}" for block in layer.blocks.values()}
    again = AffineCombination(4, 1, 2, 1)
    again.build((None, 5, 3))
    for name, block in again.blocks.items():
        block.assign(found[f"model/{layer.blocks[name].path}"])
    np.testing.assert_allclose(again.matrix(), layer.matrix(), atol=1e-6)
