"""ONNX and LiteRT files of the crop model agree with TensorFlow and keep their names and shapes."""

import importlib.util
import json

import keras
import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.inference import crop_export

SIZE = 32


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(0)
    image, intrinsics = keras.Input((SIZE, SIZE, 3), name="image"), keras.Input((3, 3), name="intrinsics")
    features = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3, strides=2, activation="relu")(image))
    joints = keras.layers.Reshape((5, 3))(keras.layers.Dense(15)(features))
    scaled = keras.layers.Dot(axes=2)([joints, intrinsics])
    return keras.Model({"image": image, "intrinsics": intrinsics}, scaled)


def check(report, folder, name):
    assert report[name]["max_difference_mm"] < 1e-3
    assert json.loads((folder / "parity.json").read_text()) == report


@pytest.mark.skipif(importlib.util.find_spec("tf2onnx") is None, reason="needs the extra [export]")
def test_onnx(network, tmp_path):
    pytest.importorskip("onnxruntime")
    check(crop_export.export_crop_model(network, tmp_path, image_size=SIZE, formats=["onnx"]), tmp_path, "onnx")
    run = crop_export.load_onnx(tmp_path / "crop_model.onnx")
    assert run(crop_export.example_inputs(SIZE, 1)).shape == (1, 5, 3)


def test_litert(network, tmp_path):
    report = crop_export.export_crop_model(network, tmp_path, image_size=SIZE, batch_size=2, formats=["litert"])
    check(report, tmp_path, "litert")
    run = crop_export.load_litert(tmp_path / "crop_model.tflite")
    inputs = crop_export.example_inputs(SIZE, 2)
    np.testing.assert_allclose(run(inputs), network(inputs), atol=1e-3)


def test_unknown_format(network, tmp_path):
    with pytest.raises(UserError, match="Unknown format coreml"):
        crop_export.export_crop_model(network, tmp_path, image_size=SIZE, formats=["coreml"])
