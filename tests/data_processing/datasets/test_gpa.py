"""GPA from its label file, list of cameras, JPEGs and masks."""

import json

import numpy as np
import pytest

from data_processing import boxes, masks
from data_processing.cameras import project, project_camera_frame, to_camera
from data_processing.datasets import gpa
from data_processing.images import encode_jpeg
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose

NAMES = get_skeleton("gpa").joint_names
WRIST = NAMES.index("rwri_gpa")
SIZE = (640, 360)


def write(raw, people, *, nested=False, with_masks=True):
    """`people`: a list of (picture number, camera, x, is training); returns the poses in the camera's frame."""
    made = camera(20, size_wh=SIZE, focal=560)
    made = type(made)(made.R, made.optical_center_mm, made.K, None, made.world_up)
    true, images, annotations = {}, [], []
    ids = np.zeros(400, np.int64)
    for number, camera_id, x, is_training in people:
        ids[number] = camera_id
        name = f"{number:010d}"
        points = true[number] = to_camera(made, pose(NAMES, at=(x, 0)))
        pixels = project_camera_frame(made, points)
        images.append({"file_name": f"/data/gpa/img_png/{name}.png", "id": number})
        annotations.append(
            {
                "joint_cams": points.T.round(4).tolist(), "istrains": is_training, "istests": not is_training,
                "f": [[made.K[0, 0]], [made.K[1, 1]]], "c": [[made.K[0, 2]], [made.K[1, 2]]],
                "c_f": [1, 1], "c_c": [0, 0], "bboxes": [0, 0, 1, 1], "joint_imgs": np.zeros((34, 2)).tolist(),
            }
        )  # fmt: skip
        box = np.round(boxes.box_of_points(pixels)).astype(int)
        mask = np.zeros((*SIZE[::-1], 3), np.uint8)
        mask[max(0, box[1]) : box[1] + box[3], box[0] : box[0] + box[2]] = 200
        for folder, file, image in (
            (gpa.PICTURES, f"{name}.jpg", picture(SIZE, 40 + number % 100, pixels[[WRIST]])),
            (gpa.MASKS, f"{name}_mask.jpg", mask),
        ):
            if folder == gpa.PICTURES or with_masks:
                place = raw / folder / (f"{name[:6]}/{name[6:8]}" if nested else "")
                place.mkdir(parents=True, exist_ok=True)
                (place / file).write_bytes(encode_jpeg(image))
    (raw / "Sequence_ids").mkdir(parents=True, exist_ok=True)
    np.save(raw / gpa.CAMERA_IDS, ids)
    (raw / gpa.LABELS).write_text(json.dumps({"images": images, "categories": [], "annotations": annotations}))
    return true


PEOPLE = [(11, 1, 0, True), (12, 2, 0, True), (13, 1, 60, True), (14, 1, 120, True), (15, 1, 240, False)]


@pytest.mark.parametrize("nested", [False, True])
def test_sampling_per_camera_and_the_train_flag(tmp_path, converted, nested):
    true = write(tmp_path / "raw", PEOPLE, nested=nested)
    store = converted("gpa", tmp_path / "raw")
    assert store.skeleton.joint_names == NAMES
    rows = [store.row("train", i) for i in range(store.splits["train"])]
    assert [(r.sequence, r.frame) for r in rows] == [("camera 1", 11), ("camera 1", 14), ("camera 2", 12)]
    for row in rows:
        np.testing.assert_allclose(row.coords, true[row.frame], atol=0.01)
        np.testing.assert_allclose(row.camera.world_up, [0, -1, 0])
        check_reprojection(row, joint=WRIST, level=40 + row.frame)
        assert boxes.iou(masks.box_of(masks.decode(row.mask)), row.box_ltwh_px) > 0.7
        joints = boxes.box_of_points(project(row.camera, row.coords))
        assert row.box_ltwh_px[3] == pytest.approx(1.15 * joints[3], rel=0.06)


def test_detections_and_missing_pictures(tmp_path, converted):
    true = write(tmp_path / "raw", PEOPLE, with_masks=False)
    made = camera(20, size_wh=SIZE, focal=560)
    left, top, width, height = boxes.box_of_points(project_camera_frame(made, true[11]))
    found = {f"{gpa.PICTURES}/0000000011.jpg": [[left - 30, top, width + 30, height, 0.9], [0, 0, 10, 10, 0.9]]}
    (tmp_path / "d.json").write_text(json.dumps(found))
    (tmp_path / "raw" / gpa.PICTURES / "0000000014.jpg").unlink()
    store = converted("gpa", tmp_path / "raw", detector=f"json:{tmp_path / 'd.json'}")
    assert store.splits == {"train": 1} and store.row("train", 0).mask is None
    assert store.metadata["provenance"]["left_out"] == {"no detection": 1, "picture missing": 1}


def test_bad_files_are_named(tmp_path, converted):
    write(tmp_path / "raw", PEOPLE[:1])
    labels = tmp_path / "raw" / gpa.LABELS
    text = labels.read_text()
    for bad, message in ((text[:300], "not readable JSON"), (text.replace("joint_cams", "x"), "not GPA's label file")):
        labels.write_text(bad)
        with pytest.raises(UserError, match=message):
            converted("gpa", tmp_path / "raw")
    (tmp_path / "raw" / gpa.CAMERA_IDS).write_bytes(b"no")
    with pytest.raises(UserError, match="not a list of camera numbers"):
        converted("gpa", tmp_path / "raw", out="b")
