"""The portable files of an exported model give what the SavedModel gives, from picture to poses."""

import json

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")

from metrabs_acae.inference import portable, portable_detector, portable_pose  # noqa: E402
from tests.inference import fuzzing  # noqa: E402

IMAGE = np.kron(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8), np.ones((8, 8, 1), np.uint8))
BOXES = np.float32([[40, 10, 90, 200], [-20, 30, 100, 120], [120, 60, 30, 40], [5, 5, 300, 230]])
K = np.array([[250, 0, 160], [0, 255, 118], [0, 0, 1]], np.float32)
LENS = np.float32([0.05, -0.02, 0.003, -0.002, 0.01] + 7 * [0])


def session_of(path_or_bytes):
    return onnxruntime.InferenceSession(path_or_bytes, providers=["CPUExecutionProvider"])


def run(session, image, boxes, K=None, lens=None, num_aug=1):
    given = {"image": image, "boxes": np.float32(boxes).reshape(-1, 4), "num_aug": np.array(num_aug, np.int32)}
    given["intrinsic_matrix"] = np.full((3, 3), -1, np.float32) if K is None else K
    given["distortion_coeffs"] = np.zeros(12, np.float32) if lens is None else lens
    given["world_up_vector"] = np.array([0, -1, 0], np.float32)
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))


@pytest.fixture(scope="module")
def session(exported_model):
    return session_of(exported_model / "portable" / "pose.onnx")


@pytest.mark.parametrize("boxes", [BOXES, BOXES[:1], []], ids=["several", "one", "nobody"])
@pytest.mark.parametrize("num_aug", [1, 3])
def test_poses_are_those_of_the_saved_model(session, loaded_model, boxes, num_aug):
    expected = loaded_model.estimate_poses(
        IMAGE, boxes, intrinsic_matrix=K, distortion_coeffs=LENS, num_aug=num_aug, skeleton=""
    )
    found = run(session, IMAGE, boxes, K, LENS, num_aug)
    assert set(found) == set(expected)
    for name, tolerance in {"poses3d": 0.1, "uncertainty": 0.1, "poses2d": 0.05, "entropy": 1e-4}.items():
        np.testing.assert_allclose(found[name], expected[name], atol=tolerance, rtol=1e-4, err_msg=name)


def test_an_unknown_camera_is_that_of_the_saved_model(session, loaded_model):
    expected = loaded_model.estimate_poses(IMAGE[:1, :1], [[0, 0, 1, 1]], num_aug=1)
    found = run(session, IMAGE[:1, :1], [[0, 0, 1, 1]])
    np.testing.assert_allclose(found["poses3d"], expected["poses3d"], atol=0.1)


def test_description_says_where_a_skeletons_joints_are(exported_model, session, loaded_model):
    description = json.loads((exported_model / "portable" / "portable.json").read_text())
    skeleton = description["skeletons"]["h36m_17"]
    assert skeleton["joint_names"] == [n.decode() for n in loaded_model.per_skeleton_joint_names["h36m_17"].numpy()]
    expected = loaded_model.estimate_poses(IMAGE, BOXES, num_aug=1, skeleton="h36m_17")["poses3d"]
    np.testing.assert_allclose(run(session, IMAGE, BOXES)["poses3d"][:, skeleton["indices"]], expected, atol=0.1)
    assert description["image_size"] == loaded_model.crop_model.input_resolution
    names = json.loads(session.get_modelmeta().custom_metadata_map["joint_names"])
    assert names == description["skeletons"][""]["joint_names"]


def test_smaller_weights_compute_almost_the_same():
    kernel = np.random.default_rng(1).normal(size=(8, 3, 5, 5)).astype(np.float32)
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Conv", ["x", "kernel"], ["y"])],
        "convolution",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1, 3, 5, 5])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1, 8, 1, 1])],
        [onnx.numpy_helper.from_array(kernel, "kernel")],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)], ir_version=8)
    for precision, largest, size in (("float32", 1e-5, 4), ("float16", 5e-4, 2), ("int8", 0.01, 1)):
        small = portable.with_small_weights(model, precision)
        x = np.zeros((1, 3, 5, 5), np.float32)
        x[0, 1, 2, 3] = 1
        found = session_of(small.SerializeToString()).run(None, {"x": x})[0][0, :, 0, 0]
        scale = np.abs(kernel).max(axis=(1, 2, 3))
        assert (np.abs(found - kernel[:, 1, 2, 3]) <= largest * scale).all()
        stored = max(small.graph.initializer, key=lambda t: np.prod(t.dims))
        assert len(stored.raw_data) == size * kernel.size


def test_files_of_litert_are_written_for_each_precision(tmp_path, monkeypatch):
    """What is in them is compared in test_portable_pose and test_portable_detector: converting takes long."""
    converted = []

    def convert(inputs, build, *, resources=None, precision="float32"):
        converted.append((list(inputs), precision))
        return precision.encode()

    monkeypatch.setattr("metrabs_acae.inference.litert_graph.convert", convert)
    skeletons = {"": fuzzing.SKELETON}
    portable.export_portable(
        fuzzing.Network(),
        fuzzing.SKELETON,
        tmp_path,
        image_size=fuzzing.SIZE,
        output_skeletons=skeletons,
        formats=("litert",),
        precisions=("int8", "float16"),
        with_detector=True,
    )
    contents = {p.name: p.read_text() for p in tmp_path.glob("*.tflite")}
    names = {"pose.tflite": "float32", "pose.float16.tflite": "float16", "pose.int8.tflite": "int8"}
    assert contents == names | {"detector.tflite": "float16"}  # as published
    assert converted[0][0] == list(portable_pose.INPUTS) and converted[-1][0] == list(portable_detector.INPUTS)
