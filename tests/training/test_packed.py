"""Packed checkpoints: what comes back, what is not stored twice, how large the parts are."""

import json

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.models.backbones.record import asset
from metrabs_acae.training import checkpoints, packed

RNG = np.random.default_rng(0)


def test_kernels_are_rounded_and_all_else_comes_back_as_it_was(tmp_path):
    arrays = {
        "model/a/kernel": RNG.normal(size=(3, 3, 4, 5)).astype(np.float32),
        "model/a/bias": RNG.normal(size=5).astype(np.float32),
        "model/step": np.array(7, np.int32),
    }
    packed.write(tmp_path / "ckpt-00000007", arrays)
    [(step, path)] = checkpoints.list_checkpoints(tmp_path)
    back = checkpoints.read(path)
    assert step == 7 and back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        off = np.abs(back[name] - array).max(axis=tuple(range(array.ndim - 1))) if array.ndim else 0
        steps = np.abs(array).max(axis=(0, 1, 2)) / 32767 if "kernel" in name else 0
        assert np.all(off <= 0.5001 * steps)


def test_depthwise_kernels_have_a_step_for_each_channel(tmp_path):
    kernel = np.float32(RNG.normal(size=(3, 3, 6, 1)) * 10.0 ** np.arange(-3, 3)[:, None])
    kernel[:, :, 2] = 0
    packed.write(tmp_path / "c", {"model/k": kernel})
    np.testing.assert_allclose(
        packed.read(tmp_path / "c")["model/k"] / (10.0 ** np.arange(-3, 3)[:, None]),
        kernel / (10.0 ** np.arange(-3, 3)[:, None]),
        atol=1e-4,
    )


def test_packs_of_before_are_read(tmp_path):
    kernel = np.float16(RNG.normal(size=(4, 5)))
    np.savez(tmp_path / "weights-1.npz", **{"model/k": kernel})
    (tmp_path / packed.INDEX).write_text(json.dumps({"parts": ["weights-1.npz"], "of_asset": {}}))
    np.testing.assert_array_equal(packed.read(tmp_path)["model/k"], kernel.astype(np.float32))


def test_what_equals_an_asset_is_not_stored_again(tmp_path):
    with np.load(asset("blazepose_full.npz")) as trunk:
        frozen = trunk["block00_project/kernel"].astype(np.float32)
    trained = frozen + 0.25
    packed.write(tmp_path / "c", {"model/frozen": frozen, "model/trained": trained})
    with np.load(tmp_path / "c" / "weights-1.npz") as stored:
        assert stored.files == ["model/trained", "model/trained:step"]
    index = json.loads((tmp_path / "c" / packed.INDEX).read_text())
    assert index["of_asset"] == {"model/frozen": ["blazepose_full.npz", "block00_project/kernel"]}
    np.testing.assert_array_equal(packed.read(tmp_path / "c")["model/frozen"], frozen)


def test_parts_stay_below_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(packed, "PART_BYTES", 10_000)
    arrays = {f"model/{i}": RNG.normal(size=(40, 40)).astype(np.float32) for i in range(7)}
    packed.write(tmp_path / "c", arrays)
    sizes = [file.stat().st_size for file in (tmp_path / "c").glob("weights-*.npz")]
    assert len(sizes) == 4 and max(sizes) <= 10_000
    assert packed.read(tmp_path / "c").keys() == arrays.keys()


def test_damage_and_weights_that_are_no_numbers_are_named(tmp_path):
    with pytest.raises(UserError, match="not finite"):
        packed.write(tmp_path / "a", {"model/k": np.full((2, 2), np.inf, np.float32)})
    packed.write(tmp_path / "b", {"model/k": np.ones((2, 2), np.float32)})
    (tmp_path / "b" / "weights-1.npz").write_bytes(b"half a f")
    with pytest.raises(UserError, match="cannot be read"):
        checkpoints.read(tmp_path / "b")
    (tmp_path / "b" / packed.INDEX).write_text("{}")
    with pytest.raises(UserError, match="cannot be read"):
        checkpoints.read(tmp_path / "b")
