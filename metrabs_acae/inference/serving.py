"""An exported model laid out for model servers, with requests that warm them up; docs/serving.md describes both.

my_model.tensorflow/my_model/1/...                          TensorFlow Serving: --model_base_path
my_model.triton/my_model/{config.pbtxt, warmup/, 1/...}     Triton: --model-repository
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from metrabs_acae.inference import triton_model

VERSION = "1"
WARMUP_FILE = Path("assets.extra", "tf_serving_warmup_requests")
"""Where TensorFlow Serving looks for it inside a SavedModel."""
WARMUP_IMAGE_SHAPE = (480, 640, 3)
WARMUP_BOXES = np.array([[200, 40, 240, 400]], np.float32)

_CONFIG = """\
name: "{name}"
backend: "python"
max_batch_size: 0
input [
  {{ name: "image" data_type: TYPE_UINT8 dims: [ -1, -1, 3 ] }},
  {{ name: "boxes" data_type: TYPE_FP32 dims: [ -1, 4 ] optional: true }},
  {{ name: "intrinsic_matrix" data_type: TYPE_FP32 dims: [ 3, 3 ] optional: true }},
  {{ name: "default_fov_degrees" data_type: TYPE_FP32 dims: [ 1 ] optional: true }},
  {{ name: "num_aug" data_type: TYPE_INT32 dims: [ 1 ] optional: true }},
  {{ name: "skeleton" data_type: TYPE_STRING dims: [ 1 ] optional: true }},
  {{ name: "detector_threshold" data_type: TYPE_FP32 dims: [ 1 ] optional: true }},
  {{ name: "suppress_implausible_poses" data_type: TYPE_BOOL dims: [ 1 ] optional: true }}
]
output [
  {{ name: "boxes" data_type: TYPE_FP32 dims: [ -1, 5 ] }},
  {{ name: "poses3d" data_type: TYPE_FP32 dims: [ -1, -1, 3 ] }},
  {{ name: "poses2d" data_type: TYPE_FP32 dims: [ -1, -1, 2 ] }},
  {{ name: "uncertainty" data_type: TYPE_FP32 dims: [ -1, -1 ] }},
  {{ name: "entropy" data_type: TYPE_FP32 dims: [ -1, -1 ] }}
]
model_warmup [
  {{ name: "given boxes" batch_size: 1 inputs {{ {image} }} inputs {{ {boxes} }} }}{detection}
]
"""
_DETECTION = """,
  {{ name: "detection" batch_size: 1 inputs {{ {image} }} }}"""
_WARMUP = {
    "image": 'key: "image" value: { data_type: TYPE_UINT8 dims: [ 480, 640, 3 ] random_data: true }',
    "boxes": 'key: "boxes" value: { data_type: TYPE_FP32 dims: [ 1, 4 ] input_data_file: "boxes" }',
}


def write_tensorflow_serving(model: Path, folder: Path, *, has_detector: bool) -> None:
    """Fills `folder` for TensorFlow Serving with the SavedModel `model`."""
    version = folder / model.name / VERSION
    _copy(model, version)
    (version / WARMUP_FILE).parent.mkdir()
    write_records(version / WARMUP_FILE, warmup_requests(model.name, has_detector=has_detector))


def write_triton(model: Path, folder: Path, *, has_detector: bool) -> None:
    """Fills `folder`, a model repository, for Triton's Python backend with the SavedModel `model`."""
    repository = folder / model.name
    _copy(model, repository / VERSION / triton_model.MODEL)
    shutil.copyfile(triton_model.__file__, repository / VERSION / "model.py")
    (repository / "warmup").mkdir()
    (repository / "warmup" / "boxes").write_bytes(WARMUP_BOXES.tobytes())
    detection = _DETECTION.format(**_WARMUP) if has_detector else ""
    config = _CONFIG.format(name=model.name, detection=detection, **_WARMUP)
    (repository / "config.pbtxt").write_text(config)


def _copy(model: Path, target: Path) -> None:
    """The parts of an exported model that TensorFlow loads."""
    target.mkdir(parents=True)
    shutil.copyfile(model / "saved_model.pb", target / "saved_model.pb")
    for name in ("variables", "assets"):
        if (model / name).exists():
            shutil.copytree(model / name, target / name)


def warmup_requests(name: str, *, has_detector: bool) -> list[bytes]:
    """A `PredictionLog` message of TensorFlow Serving for each signature."""
    image = np.random.default_rng(0).integers(0, 256, WARMUP_IMAGE_SHAPE, np.uint8)
    common = {"image": image, "intrinsic_matrix": np.full((3, 3), -1, np.float32)}
    signatures = {"serving_default": common | {"boxes": WARMUP_BOXES}} | ({"detect": common} if has_detector else {})
    return [_prediction_log(name, signature, inputs) for signature, inputs in signatures.items()]


def _prediction_log(name: str, signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """PredictionLog{predict_log{request{model_spec{name, signature_name}, inputs}}}; TensorFlow itself lacks them."""
    import tensorflow as tf

    tensors = {key: tf.make_tensor_proto(value).SerializeToString() for key, value in inputs.items()}
    model_spec = _message([(1, name.encode()), (3, signature.encode())])
    entries = [(2, _message([(1, key.encode()), (2, tensor)])) for key, tensor in tensors.items()]
    return _message([(6, _message([(1, _message([(1, model_spec), *entries]))]))])


def _message(fields: Iterable[tuple[int, bytes]]) -> bytes:
    """A protocol buffer message of (field number, text or message)."""
    return b"".join(_varint(number << 3 | 2) + _varint(len(value)) + value for number, value in fields)


def _varint(value: int) -> bytes:
    low = [value >> shift & 0x7F for shift in range(0, max(value.bit_length(), 1), 7)]
    return bytes([*(v | 0x80 for v in low[:-1]), low[-1]])


def write_records(path: Path, records: Iterable[bytes]) -> None:
    import tensorflow as tf

    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
