"""The two-line API: the same numbers as the model's own methods, for every kind of picture and of model."""

import json
import shutil
import subprocess
import sys
import textwrap

import cv2
import numpy as np
import pytest

import metrabs_acae
from metrabs_acae import api
from metrabs_acae.errors import UserError
from metrabs_acae.inference import demo_inputs

IMAGE = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
BOXES = [[30.0, 20.0, 60.0, 80.0], [80.0, 10.0, 50.0, 100.0]]


@pytest.fixture(scope="module")
def model(exported_model):
    return metrabs_acae.load(exported_model)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    cv2.imwrite(str(folder / "a.png"), IMAGE[..., ::-1])
    cv2.imwrite(str(folder / "b.png"), IMAGE[:100, ::-1, ::-1])
    return folder


def same(a, b):
    np.testing.assert_allclose(a.poses3d, b.poses3d, atol=0.05)
    np.testing.assert_allclose(a.boxes, b.boxes, atol=1e-3)


def test_a_picture_gives_what_the_model_gives(model, loaded_model):
    people = model(IMAGE, boxes=BOXES, skeleton="h36m_17", fov=60)
    assert people.joint_names == tuple(model.estimator.per_skeleton_joint_names["h36m_17"].numpy().astype(str))
    assert len(people) == 2 and people.boxes.tolist() == BOXES and np.isnan(people.scores).all()
    expected = loaded_model.estimate_poses(IMAGE, BOXES, default_fov_degrees=60, skeleton="h36m_17", num_aug=1)
    for name in ("poses3d", "poses2d", "uncertainty", "entropy"):
        np.testing.assert_allclose(getattr(people, name), expected[name], atol=0.01, err_msg=name)
        assert type(getattr(people, name)) is np.ndarray
    K = demo_inputs.intrinsics_from_fov(60, (160, 120))
    same(people, model(IMAGE, boxes=BOXES, skeleton="h36m_17", intrinsics=K))
    same(people, model(IMAGE, boxes=BOXES, skeleton="h36m_17", intrinsics=(K[0, 0], K[1, 1], K[0, 2], K[1, 2])))
    assert model(IMAGE, boxes=[]).poses3d.shape[0] == 0


def test_files_lists_and_folders(model, folder):
    people = model(folder / "a.png")
    assert people.name == "a.png" and people.boxes.shape[1] == 4 and people.scores[0] == pytest.approx(0.9)
    same(people, model(IMAGE))
    found = model([IMAGE, str(folder / "b.png")])
    assert [p.name for p in found] == ["picture 0", "b.png"]
    same(people, found[0])
    for mine, theirs in zip(model(str(folder)), found, strict=True):
        same(mine, theirs)
    given = model(folder, boxes={"a.png": BOXES, "b.png": BOXES[:1]}, num_aug=2)
    assert [len(p) for p in given] == [2, 1] and given[0].uncertainty.max() > 0
    for mine, theirs in zip(model([IMAGE, folder / "b.png"], boxes=[BOXES, BOXES[:1]], num_aug=2), given, strict=True):
        same(mine, theirs)


def test_a_runs_model_is_found(exported_model, monkeypatch, tmp_path):
    """A run folder gives its exported model; without one, and for the model in the box, it is built."""
    assert metrabs_acae.load(exported_model.parent).has_detector
    for folder in ("run", "box"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "config.json").touch()
    monkeypatch.setattr("metrabs_acae.training.run_folder.BOX", tmp_path / "box")
    built = []
    monkeypatch.setattr("metrabs_acae.commands.export.estimator_of", built.append)
    monkeypatch.setattr("metrabs_acae.api.Model", lambda estimator: None)
    metrabs_acae.load()
    metrabs_acae.load(tmp_path / "run")
    assert [run.path for run in built] == [tmp_path / "box", tmp_path / "run"]


WITHOUT_TENSORFLOW = """
    import json, sys

    sys.modules["tensorflow"] = sys.modules["keras"] = None
    import metrabs_acae

    assert "numpy" not in sys.modules and "metrabs_acae.api" not in sys.modules  # what one does not use costs nothing
    picture, *paths = sys.argv[1:]
    for path in paths:
        try:
            model = metrabs_acae.load(path)
            people = model(picture, boxes=%s, skeleton="h36m_17")
            arrays = {name: getattr(people, name).tolist() for name in ("poses3d", "uncertainty")}
            print(json.dumps({**arrays, "joints": people.joint_names}))
            people = model(picture, skeleton="h36m_17")
            print(json.dumps({"boxes": people.boxes.tolist(), "scores": people.scores.tolist()}))
        except metrabs_acae.UserError as error:
            print(json.dumps(str(error)))
"""


@pytest.fixture(scope="module")
def without_detector(exported_model, tmp_path_factory):
    """The exported model's folder with its files for ONNX alone."""
    pytest.importorskip("onnxruntime")
    target = tmp_path_factory.mktemp("without") / "model"
    shutil.copytree(exported_model, target, ignore=shutil.ignore_patterns("detector.onnx"))
    return target


def write_detector(path):
    """One that sees somebody at BOXES[1] with a score of 0.8, and a score that is too low at BOXES[0]."""
    import onnx

    from metrabs_acae.inference.onnx_graph import OnnxGraph

    g = OnnxGraph()
    g.input("image", "uint8", ["H", "W", 3])
    threshold = g.input("detector_threshold", "float32", [])
    g.input("detector_nms_iou_threshold", "float32", [])
    scores = g.constant([0.8, 0.2], "float32")
    n = (scores >= threshold).cast("int64").reduce("Sum")
    boxes = g.constant(BOXES[::-1], "float32")
    onnx.save(g.model({"boxes": (boxes[0:n], ["N", 4]), "scores": (scores[0:n], ["N"])}, {}), path)


def lines_without_tensorflow(picture, *paths):
    code = textwrap.dedent(WITHOUT_TENSORFLOW) % BOXES
    done = subprocess.run([sys.executable, "-c", code, picture, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_onnx_without_tensorflow(without_detector, model, folder, tmp_path):
    """All files of an export, by their names, their folders' and the model's; with boxes and, where it is, detector."""
    expected = model(IMAGE, boxes=BOXES, skeleton="h36m_17")
    with_detector = tmp_path / "model"
    shutil.copytree(without_detector, with_detector)
    write_detector(with_detector / "portable" / "detector.onnx")
    parts = ["", "portable", "portable/pose.onnx", "crop_model", "crop_model/crop_model.onnx"]
    found = lines_without_tensorflow(folder / "a.png", *(with_detector / part for part in parts))
    assert len(found) == 2 * len(parts)
    for given, detected in zip(found[::2], found[1::2], strict=True):
        np.testing.assert_allclose(given["poses3d"], expected.poses3d, atol=0.1)
        np.testing.assert_allclose(given["uncertainty"], expected.uncertainty, rtol=1e-3)
        assert tuple(given["joints"]) == expected.joint_names
        assert detected["boxes"] == [BOXES[1]] and detected["scores"] == [pytest.approx(0.8)]
    found = lines_without_tensorflow(folder / "a.png", without_detector / "portable", without_detector / "crop_model")
    assert all("no detector; give the people's boxes" in text for text in found[1::2])


def test_files_that_cannot_be_loaded(without_detector, folder, tmp_path):
    write_detector(tmp_path / "detector.onnx")
    shutil.copy(without_detector / "portable" / "pose.onnx", tmp_path / "mine.onnx")
    (tmp_path / "saved_model.pb").touch()
    found = lines_without_tensorflow(folder / "a.png", *(tmp_path / n for n in ("detector.onnx", "mine.onnx", "")))
    expected = "only finds people", "needs portable.json beside it", "needs TensorFlow, which is not installed"
    assert len(found) == 3 and all(e in f for e, f in zip(expected, found, strict=True))


@pytest.mark.parametrize(
    ("picture", "settings", "message"),
    [
        (IMAGE / 255.0, {}, "picture 0 is float64; images must be uint8"),
        ([IMAGE, IMAGE[..., 0]], {}, r"picture 1 has shape \[120, 160\]"),
        ("nowhere.jpg", {}, "nowhere.jpg cannot be read"),
        ([IMAGE], {"boxes": [BOXES, BOXES]}, "1 pictures, but boxes for 2"),
        (IMAGE, {"boxes": [[1, 2, 3]]}, "left, top, width, height"),
        (IMAGE, {"skeleton": "dog_4"}, "no skeleton 'dog_4'; it has: "),
        (IMAGE, {"intrinsics": (1, 1, 0, 0)}, "intrinsics must have focal lengths in pixels"),
        (IMAGE, {"intrinsics": np.zeros((3, 3))}, r"intrinsics must have \[0, 0, 1\]"),
        (IMAGE, {"fov": 180}, "fov"),
        (IMAGE, {"fov": 60, "intrinsics": (200, 200, 80, 60)}, "give one of them"),
        (IMAGE, {"boxes": [BOXES[0], (161, 10, 40, 80)]}, "picture 0 is 160 x 120 px; boxes .* lie outside of it"),
    ],
)
def test_what_cannot_be_used_is_said(model, picture, settings, message):
    with pytest.raises(UserError, match=message):
        model(picture, **settings)


def test_a_place_without_a_model(tmp_path):
    with pytest.raises(UserError, match="neither a run folder"):
        metrabs_acae.load(tmp_path)


def test_a_folder_that_is_called_pretrained_is_not_the_model_in_the_box(tmp_path, monkeypatch):
    def open_run(model, **_):
        raise UserError(f"opened {model}")

    (tmp_path / "pretrained").mkdir()
    for name in ("portable.json", "pose.onnx"):
        (tmp_path / "pretrained" / name).touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(api, "open_run", open_run)
    with pytest.raises(UserError, match="opened pretrained"):
        metrabs_acae.load("pretrained")
