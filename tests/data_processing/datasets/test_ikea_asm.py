"""IKEA ASM: a fixture in its layout and formats."""

import json
import pickle

import numpy as np
import pytest

from data_processing.boxes import box_of_points
from data_processing.cameras import project, to_camera
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, rows_of, turn_world, write_video

NAMES = get_skeleton("ikea").joint_names
WRIST = NAMES.index("rwri_ikea")
SIZE = (320, 240)
TO_RAW = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0.0]])  # z up -> y down
VIEWS = {
    f"dev{i}": turn_world(camera(30 * i, size_wh=SIZE, focal=330, distance_mm=4000), TO_RAW, (0, -1, 0)) for i in (1, 2)
}
SCAN = "0002_black_table_05_01_2019_08_16_14_00"


def write(raw, labels, *, scan=SCAN, missing=(), n_pictures=None):
    """`labels`: {frame: x in mm}; the video has frames up to the last one."""
    parameters = {"05": {name: {"K": v.K, "R": v.R, "T": np.zeros(3)} for name, v in VIEWS.items()}}
    (raw / "Calibration").mkdir(exist_ok=True, parents=True)
    (raw / "Calibration" / "camera_parameters.pkl").write_bytes(pickle.dumps(parameters, 2))
    for name, seen in VIEWS.items():
        folder = raw / "Lack_Side_Table" / scan / name
        (folder / "pose3d").mkdir(parents=True)
        pictures = [picture(SIZE, 40 + 8 * i) for i in range(max(labels) + 1)]
        for frame, x in labels.items():
            points = pose(NAMES, at=(x, 0)) @ TO_RAW.T
            table = np.concatenate([to_camera(seen, points) / 10, np.ones((17, 1))], 1)
            for joint in missing:
                table[joint] = 0
            text = json.dumps({"pose_keypoints_3d": table.ravel().tolist()})
            (folder / "pose3d" / f"{frame:06d}.json").write_text(text)
            pictures[frame] = picture(SIZE, 40 + 8 * frame, project(seen, points[WRIST]))
        write_video(folder / "images" / "scan_video.avi", pictures[:n_pictures])


def test_poses_in_the_cameras_own_frame(tmp_path, converted):
    raw = tmp_path / "raw"
    write(raw, {2: 0.0, 3: 60.0, 5: 120.0}, missing=[0])
    write(raw, {0: 0.0}, scan="special_test")
    rows = rows_of(converted("ikea", raw))
    assert [(r.frame, r.image_key.split("/")[2]) for r in rows] == [(f, d) for d in ("dev1", "dev2") for f in (2, 5)]
    for row in rows:
        seen = VIEWS[row.image_key.split("/")[2]]
        expected = pose(NAMES, at=({2: 0, 5: 120}[row.frame], 0)) @ TO_RAW.T - seen.optical_center_mm
        assert np.isnan(row.coords[0]).all()
        np.testing.assert_allclose(row.coords[1:], expected[1:], atol=0.01)
        np.testing.assert_allclose(row.camera.world_up, [0, -1, 0])
        check_reprojection(row, joint=WRIST, level=40 + 8 * row.frame)
        joints = box_of_points(project(row.camera, row.coords))
        assert row.box_ltwh_px[3] == pytest.approx(1.2 * joints[3], rel=0.1)
    assert rows[0].sequence == f"Lack_Side_Table/{SCAN}" and rows[0].activity == "Lack_Side_Table"


def test_detections(tmp_path, converted):
    write(tmp_path / "raw", {0: 0.0})
    left, top, width, height = box_of_points(project(VIEWS["dev1"], pose(NAMES) @ TO_RAW.T))
    detections = {
        f"Lack_Side_Table/{SCAN}/dev1/images/scan_video.avi/000000": [
            [0, 0, 9, 9, 0.9], [left - 9, top - 9, width + 18, height + 18, 0.5],
        ],
        f"Lack_Side_Table/{SCAN}/dev2/images/scan_video.avi/000000": [[0, 0, 9, 9, 0.9]],
    }  # fmt: skip
    (tmp_path / "d.json").write_text(json.dumps(detections))
    store = converted("ikea", tmp_path / "raw", detector=f"json:{tmp_path / 'd.json'}")
    (row,) = rows_of(store)
    joints = box_of_points(project(row.camera, row.coords))
    assert row.box_ltwh_px[2] > 1.2 * joints[2]
    assert store.metadata["provenance"]["left_out"] == {"no detection": 1}


def test_damaged_files_are_named(tmp_path, converted):
    raw = tmp_path / "raw"
    write(raw, {0: 0.0, 1: 200.0, 2: 9000.0}, n_pictures=1)
    store = converted("ikea", raw)
    assert store.metadata["provenance"]["left_out"] == {
        "fewer than 4 joints in the picture": 2, "the video ends before the labels": 2,
    }  # fmt: skip
    pose_file = next(raw.glob("*/*/dev1/pose3d/000001.json"))
    for text in ('{"pose_keypoints_3d": [1, 2]}', "[]", '{"other": 1}'):
        pose_file.write_text(text)
        with pytest.raises(UserError, match="000001.json is not a pose of 17 joints"):
            converted("ikea", raw, out="other")
    (raw / "Calibration" / "camera_parameters.pkl").write_bytes(pickle.dumps({"04": {}}))
    with pytest.raises(UserError, match="has no camera dev1 of room 05"):
        converted("ikea", raw, out="other")
