"""One small exported model for all tests that need one: saving, loading and tracing take most of their time."""

import importlib.util

import pytest
import tensorflow as tf

from tests.inference import fuzzing


@pytest.fixture(scope="session")
def exported_model(tmp_path_factory):
    """The folder of the model that `fuzzing.export_model` writes, with its ONNX files where they can be made."""
    has_onnx = all(importlib.util.find_spec(p) for p in ("onnx", "tf2onnx", "onnxruntime"))
    run = tmp_path_factory.mktemp("exported") / "runs/default-1"
    run.mkdir(parents=True)
    (run / "config.json").touch()  # as of a run folder
    formats = ["onnx"] if has_onnx else []
    return fuzzing.export_model(run / "model", crop_formats=formats, portable=formats)


@pytest.fixture(scope="session")
def loaded_model(exported_model):
    return tf.saved_model.load(str(exported_model))
