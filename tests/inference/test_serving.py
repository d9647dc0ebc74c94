"""Folders for model servers: complete, warmed up by requests that the signatures take, and used as the page says."""

import io
import json
import re
import sys
import tarfile
import types
from pathlib import Path

import cv2
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from metrabs_acae.errors import UserError
from metrabs_acae.inference import export, serving
from tests.inference.fuzzing import SKELETON

PAGE = (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
IMAGE = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)


@pytest.fixture(scope="module")
def served(exported_model, tmp_path_factory):
    """The folder in which `my_model` is laid out for all servers."""
    folder = tmp_path_factory.mktemp("served")
    (folder / "my_model").symlink_to(exported_model)
    for kind in ("tensorflow", "triton", "tfhub"):
        export.write_serving(folder / "my_model", kind, has_detector=True)
    return folder


@pytest.fixture(scope="module")
def prediction_log():
    """The class of TensorFlow Serving's message, from the field numbers of its .proto files."""
    pool = descriptor_pool.Default()
    file = descriptor_pb2.FileDescriptorProto(name="serving_test.proto", package="serving_test", syntax="proto3")
    file.dependency.append("tensorflow/core/framework/tensor.proto")
    kinds = descriptor_pb2.FieldDescriptorProto
    for name, fields in {
        "ModelSpec": [("name", 1, ""), ("signature_name", 3, "")],
        "Entry": [("key", 1, ""), ("value", 2, ".tensorflow.TensorProto")],
        "PredictRequest": [("model_spec", 1, "ModelSpec"), ("inputs", 2, "Entry")],
        "PredictLog": [("request", 1, "PredictRequest")],
        "PredictionLog": [("predict_log", 6, "PredictLog")],
    }.items():
        message = file.message_type.add(name=name)
        for field, number, of in fields:
            added = message.field.add(name=field, number=number, label=kinds.LABEL_OPTIONAL, type=kinds.TYPE_STRING)
            if of:
                added.type, added.type_name = kinds.TYPE_MESSAGE, of if of[0] == "." else f".serving_test.{of}"
            if field == "inputs":
                added.label = kinds.LABEL_REPEATED
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("serving_test.PredictionLog"))


def test_warmup_requests_are_taken_by_the_signatures(served, prediction_log):
    version = served / "my_model.tensorflow" / "my_model" / "1"
    model = tf.saved_model.load(str(version))
    records = [
        prediction_log.FromString(r)
        for r in tf.data.TFRecordDataset(str(version / serving.WARMUP_FILE)).as_numpy_iterator()
    ]
    requests = [r.predict_log.request for r in records]
    assert [r.model_spec.signature_name for r in requests] == ["serving_default", "detect"]
    for request in requests:
        assert request.model_spec.name == "my_model"
        inputs = {e.key: tf.constant(tf.make_ndarray(e.value)) for e in request.inputs}
        result = model.signatures[request.model_spec.signature_name](**inputs)
        assert result["poses3d"].shape[1:] == (SKELETON.n_joints, 3) and len(result["poses3d"]) >= 1


class Tensor:
    """Of Triton's `triton_python_backend_utils`, as far as the model uses it."""

    def __init__(self, name, value):
        self._name, self._value = name, value

    def name(self):
        return self._name

    def as_numpy(self):
        return self._value


class Response:
    def __init__(self, output_tensors=(), error=None):
        self.outputs, self.error = {t.name(): t.as_numpy() for t in output_tensors}, error


@pytest.fixture(scope="module")
def triton(served):
    """The copied model.py, as Triton loads it: a function of named arrays."""
    utils = types.SimpleNamespace(Tensor=Tensor, InferenceResponse=Response, TritonError=str)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "triton_python_backend_utils", utils)
        file = served / "my_model.triton" / "my_model" / "1" / "model.py"
        namespace = {"__file__": str(file), "__name__": "model"}
        exec(compile(file.read_text(), file, "exec"), namespace)
        model = namespace["TritonPythonModel"]()
        model.initialize({})

        def infer(**inputs):
            request = types.SimpleNamespace(inputs=lambda: [Tensor(name, value) for name, value in inputs.items()])
            return model.execute([request])[0]

        yield infer


def test_triton_gives_what_the_model_gives(triton, loaded_model):
    boxes = np.array([[20, 10, 60, 70]], np.float32)
    settings = {"skeleton": np.array([b"h36m_17"], object), "num_aug": np.array([1], np.int32)}
    found = triton(image=IMAGE, boxes=boxes, default_fov_degrees=np.array([60], np.float32), **settings).outputs
    expected = loaded_model.estimate_poses(IMAGE, boxes, default_fov_degrees=60.0, skeleton="h36m_17", num_aug=1)
    np.testing.assert_allclose(found["poses3d"], expected["poses3d"], atol=0.01)
    np.testing.assert_array_equal(found["boxes"], [[20, 10, 60, 70, 1]])
    detected = triton(image=IMAGE, **settings).outputs
    everybody = triton(image=IMAGE, suppress_implausible_poses=np.array([False]), **settings).outputs
    assert len(everybody["boxes"]) >= len(detected["boxes"])
    surest = triton(image=IMAGE, detector_threshold=np.array([0.85], np.float32), **settings).outputs
    np.testing.assert_allclose(surest["boxes"][:, 4], 0.9)
    assert detected["boxes"].shape == (len(detected["poses3d"]), 5) and len(detected["boxes"]) >= 1
    assert triton(image=IMAGE, skeleton=np.array([b"dog"], object)).error.startswith("skeleton must be '' (all joints)")
    assert triton(image=IMAGE.astype(np.float32)[0]).error


def test_tritons_settings_name_what_the_model_takes_and_gives(served, triton):
    repository = served / "my_model.triton" / "my_model"
    config = (repository / "config.pbtxt").read_text()
    inputs, outputs, warmup = re.split(r"^output|^model_warmup", config, flags=re.M)
    given = {"image": IMAGE, "boxes": serving.WARMUP_BOXES / 4, "intrinsic_matrix": np.full((3, 3), -1, np.float32)}
    given |= {"default_fov_degrees": np.array([55], np.float32), "num_aug": np.array([1], np.int32)}
    given |= {"skeleton": np.array([b"h36m_17"], object), "detector_threshold": np.array([0.3], np.float32)}
    given["suppress_implausible_poses"] = np.array([True])
    assert set(re.findall(r'name: "(\w+)" data', inputs)) == set(given)
    found = triton(**given).outputs
    described = dict(re.findall(r'name: "(\w+)" data_type: TYPE_FP32 dims: \[ ([-\d, ]+) \]', outputs))
    assert set(described) == set(found)
    for name, dims in described.items():
        shape = [int(d) for d in dims.split(",")]
        assert len(shape) == found[name].ndim and found[name].dtype == np.float32
        assert all(d in (-1, size) for d, size in zip(shape, found[name].shape, strict=True))
    assert (repository / "warmup" / "boxes").stat().st_size == 16 and 'input_data_file: "boxes"' in warmup
    assert warmup.count('key: "image"') == 2 and config.count("{") == config.count("}")


def test_the_archive_for_tensorflow_hub_has_the_model_at_its_top(served, tmp_path):
    with tarfile.open(served / "my_model.tfhub.tar.gz") as archive:
        archive.extractall(tmp_path, filter="data")
    assert (tmp_path / "saved_model.pb").exists() and (tmp_path / "variables").is_dir()


def test_other_folders_are_left_alone(served, exported_model, tmp_path):
    (tmp_path / "my_model").symlink_to(exported_model)
    (tmp_path / "my_model.triton").mkdir()
    (tmp_path / "my_model.triton" / "mine").touch()
    with pytest.raises(UserError, match="not an exported model"):
        export.write_serving(tmp_path / "my_model", "triton", has_detector=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["my_model", "my_model.triton"]
    export.write_serving(served / "my_model", "triton", has_detector=True)  # its own is replaced


def test_the_pages_clients(served, loaded_model, triton, monkeypatch):
    """Both clients, with the signature and Triton's model in the servers' place."""
    cv2.imwrite(str(served / "photo.jpg"), IMAGE)
    monkeypatch.chdir(served)

    def tensorflow_serving(data):
        request = json.loads(data)
        signature = loaded_model.signatures[request["signature_name"]]
        types_of = {name: spec.dtype for name, spec in signature.structured_input_signature[1].items()}
        assert set(request["inputs"]) == set(types_of)
        result = signature(**{name: tf.constant(v, types_of[name]) for name, v in request["inputs"].items()})
        return {"outputs": {name: value.numpy().tolist() for name, value in result.items()}}

    def triton_server(request):
        length = int(request.get_header("Inference-header-content-length"))
        head, data = json.loads(request.data[:length]), request.data[length:]
        kinds, arrays = {"UINT8": np.uint8, "INT32": np.int32, "BYTES": object}, {}
        for given in head["inputs"]:
            n_bytes = given.get("parameters", {}).get("binary_data_size", 0)
            kind = kinds[given["datatype"]]
            value = np.frombuffer(data[:n_bytes], kind) if n_bytes else np.array(given["data"], kind)
            arrays[given["name"]], data = value.reshape(given["shape"]), data[n_bytes:]
        assert not data
        arrays["skeleton"] = np.array([text.encode() for text in arrays["skeleton"]], object)
        outputs = triton(**arrays).outputs.items()
        return {"outputs": [{"name": n, "shape": v.shape, "data": v.ravel().tolist()} for n, v in outputs]}

    def serve(request):
        is_triton = request.full_url == "http://localhost:8000/v2/models/my_model/infer"
        assert is_triton or request.full_url == "http://localhost:8501/v1/models/my_model:predict"
        answer = triton_server(request) if is_triton else tensorflow_serving(request.data)
        return io.BytesIO(json.dumps(answer).encode())

    monkeypatch.setattr("urllib.request.urlopen", serve)
    namespace: dict = {}
    tensorflow, triton_block = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    exec(tensorflow, namespace)
    assert np.shape(namespace["people"]["poses3d"])[1:] == (SKELETON.n_joints, 3)
    exec(triton_block, namespace)
    assert namespace["people"]["poses3d"]["shape"][1:] == [17, 3]


def test_the_page_lists_the_signatures(loaded_model):
    section = PAGE[PAGE.index("## TensorFlow Serving") : PAGE.index("## Triton")]
    for name, signature in loaded_model.signatures.items():
        for word in (name, *signature.structured_input_signature[1], *signature.structured_outputs):
            assert f"`{word}`" in section
