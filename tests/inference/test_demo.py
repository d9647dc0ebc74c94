"""The demo's files, its reading of boxes and cameras, and its error sentences."""

import json

import cv2
import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.inference import demo, export
from tests.inference import reference


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "model"
    return export.export_saved_model(
        reference.crop_model,
        reference.SKELETON,
        path,
        image_size=reference.SIZE,
        output_skeletons={"small": reference.SMALL},
    )


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for name, image in zip(("a.jpg", "b.png"), reference.ARRAYS["images"], strict=True):
        cv2.imwrite(str(folder / name), image[..., ::-1])
    (folder / "notes.txt").write_text("not a photograph")
    return folder


def test_folder_with_boxes_by_name(model, photos, tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text(json.dumps({"a.jpg": [[50, 40, 100, 200]], "b": []}))
    lines = []
    results = demo.run_demo(
        model, [photos], boxes=str(boxes), out_dir=tmp_path / "out", intrinsics="400,400,200,150", log=lines.append
    )
    assert [len(r["poses3d"]) for r in results] == [1, 0]
    assert results[0]["skeleton"] == "small" and len(results[0]["joint_names"]) == 5
    assert json.loads((tmp_path / "out" / "a.json").read_text()) == results[0]
    overlay = cv2.imread(str(tmp_path / "out" / "a.overlay.png"))
    assert overlay.shape == reference.ARRAYS["images"][0].shape
    assert (overlay != cv2.imread(str(photos / "a.jpg"))).any()
    assert (tmp_path / "out" / "b.views.png").exists()
    assert lines[0].startswith("a.jpg: 1 person") and lines[1].startswith("b.png: 0 people")


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({}, "no detector"),
        ({"boxes": "1,2,3"}, "left, top, width, height"),
        ({"boxes": "1,2,3,x"}, "cannot be read"),
        ({"boxes": "1,2,0,4"}, "positive width"),
        ({"boxes": "missing.json"}, "cannot be read as JSON"),
        ({"boxes": {"other.jpg": []}}, "no entry 'a.jpg'"),
        ({"boxes": "1,2,3,4", "intrinsics": "1,2"}, "FX,FY,CX,CY"),
        ({"boxes": "1,2,3,4", "skeleton": "coco"}, "no skeleton 'coco'; it has: small"),
        ({"boxes": "1,2,3,4", "inputs": ["nowhere.jpg"]}, "does not exist"),
    ],
)
def test_error_sentences(model, photos, tmp_path, arguments, message):
    arguments = {"inputs": [photos / "a.jpg"], **arguments}
    with pytest.raises(UserError, match=message):
        demo.run_demo(model, out_dir=tmp_path / "out", **arguments)


def test_broken_files(model, tmp_path):
    (tmp_path / "broken.jpg").write_bytes(b"no picture")
    with pytest.raises(UserError, match="cannot be read as an image"):
        demo.run_demo(model, [tmp_path / "broken.jpg"], boxes="1,2,3,4", out_dir=tmp_path)
    with pytest.raises(UserError, match="no saved_model.pb"):
        demo.run_demo(tmp_path, [tmp_path / "broken.jpg"], boxes="1,2,3,4", out_dir=tmp_path)


def test_names_of_outputs_do_not_collide(tmp_path):
    files = [tmp_path / "a.jpg", tmp_path / "a.png", tmp_path / "b.jpg"]
    assert demo.unique_stems(files) == ["a", "a_2", "b"]


def test_usual_skeleton_is_preferred():
    model = type("Model", (), {"per_skeleton_joint_names": np.array([])})()
    model.per_skeleton_joint_names = {"": 0, "zebra_5": 0, "h36m_17": 0}
    assert demo.choose_skeleton(model, "") == "h36m_17"
