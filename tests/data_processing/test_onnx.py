"""Detectors and segmenters from ONNX files, made here by hand."""

import numpy as np
import pytest

from data_processing import detection, segmentation
from metrabs_acae.errors import UserError

onnx = pytest.importorskip("onnx", reason="the extra [export] is not installed")
pytest.importorskip("onnxruntime", reason="the extra [export] is not installed")

IMAGE = np.zeros((40, 60, 3), np.uint8)
IMAGE[10:30, 20:50] = 200


def save(path, nodes, outputs, constants, *, kind=onnx.TensorProto.UINT8, shape=(1, "h", "w", 3), n_inputs=1):
    """A network of these nodes; outputs: name -> (type, shape)."""
    make = onnx.helper
    inputs = [make.make_tensor_value_info(f"image{i or ''}", kind, shape) for i in range(n_inputs)]
    results = [make.make_tensor_value_info(name, *description) for name, description in outputs.items()]
    constants = [onnx.numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = make.make_graph(nodes, "g", inputs, results, constants)
    model = make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return f"onnx:{path}"


def segmenter(path, **settings):
    """Class 15 where the red channel is above 100, as class numbers in floats."""
    make, axis = onnx.helper, 1 if settings.get("shape", (1, 0, 0, 3))[1] == 3 else 3
    nodes = [
        make.make_node("Gather", ["image", "first"], ["red"], axis=axis),
        make.make_node("Cast", ["red"], ["value"], to=onnx.TensorProto.FLOAT),
        make.make_node("Greater", ["value", "limit"], ["bright"]),
        make.make_node("Where", ["bright", "person", "nobody"], ["labels"]),
    ]
    values = {"limit": 100.0, "person": 15.0, "nobody": 0.0}
    constants = {k: np.float32(v) for k, v in values.items()} | {"first": np.int64(0)}
    outputs = {"labels": (onnx.TensorProto.FLOAT, (1, "h", "w"))}
    return save(path, nodes, outputs, constants, **settings)


def detector(path, constants):
    """Gives the same, whatever the picture."""
    nodes = [onnx.helper.make_node("Identity", [f"c_{name}"], [name]) for name in constants]
    outputs = {name: (onnx.TensorProto.FLOAT, value.shape) for name, value in constants.items()}
    return save(path, nodes, outputs, {f"c_{k}": v.astype(np.float32) for k, v in constants.items()})


@pytest.mark.parametrize(
    "settings",
    [{}, {"kind": onnx.TensorProto.FLOAT}, {"kind": onnx.TensorProto.FLOAT, "shape": (1, 3, "h", "w")}],
    ids=["uint8", "float", "channels first"],
)
def test_segmenter(tmp_path, settings):
    mask = segmentation.open_segmenter(segmenter(tmp_path / "s.onnx", **settings))(IMAGE, "x")
    assert (mask == (IMAGE[..., 0] > 100)).all()


def test_detectors_of_both_kinds(tmp_path):
    boxes = np.array([[[1, 2, 3, 4], [5, 6, 7, 8]]])
    spec = detector(tmp_path / "a.onnx", {"boxes": boxes, "scores": np.array([[0.75, 0.1]])})
    np.testing.assert_allclose(detection.open_detector(spec)(IMAGE, "x"), [[1, 2, 3, 4, 0.75]])
    outputs = {"detection_boxes": np.array([[[0, 0, 0.5, 0.5], [0, 0, 1, 1]]])}
    outputs |= {"detection_scores": np.array([[0.75, 0.5]]), "detection_classes": np.array([[1, 18]])}
    found = detection.open_detector(detector(tmp_path / "b.onnx", outputs))(IMAGE, "x")
    np.testing.assert_allclose(found, [[-0.5, -0.5, 30, 20, 0.75]], atol=1e-6)


def test_unusable_files(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"no network")
    with pytest.raises(UserError, match="bad.onnx is not a readable ONNX file"):
        detection.open_detector(f"onnx:{tmp_path / 'bad.onnx'}")
    with pytest.raises(UserError, match="one input of four dimensions"):
        segmentation.open_segmenter(segmenter(tmp_path / "two.onnx", n_inputs=2))
    fixed = segmentation.open_segmenter(segmenter(tmp_path / "fixed.onnx", shape=(1, 512, 512, 3)))
    with pytest.raises(UserError, match="fixed.onnx fails on pictures of shape"):
        fixed(IMAGE, "x")
