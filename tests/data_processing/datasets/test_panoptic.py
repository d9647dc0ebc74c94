"""CMU Panoptic: a fixture in its layout, and the real files of one sequence where they are at hand."""

import json
from pathlib import Path

import numpy as np
import pytest

from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.datasets import panoptic
from data_processing.images import encode_jpeg
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, turn_world, write_video

REAL = Path(__file__).parents[4] / "shared" / "real" / "panoptic_band1"
NAMES = [n for n in get_skeleton("coco").joint_names if n[1:4] not in ("foo", "toe", "hee")]
RAW_NAMES = [None] * 19
for _new, _old in enumerate(panoptic.RAW_ORDER):
    RAW_NAMES[_old] = NAMES[_new]
WRIST = NAMES.index("rwri_coco")
SIZE = (640, 360)
TO_DOME = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0.0]])  # z up -> y down
DISTORTION = (-0.22, 0.2, 0.0001, 0.001, 0.02)


def dome_camera(azimuth):
    made = camera(azimuth, size_wh=SIZE, focal=500, distortion=DISTORTION)
    return turn_world(made, TO_DOME, (0, -1, 0))


def write(raw, frames, *, name="170407_test1", videos=("00_00", "00_01"), sequence=None):
    """`frames`: a list of lists of (x, y mm, confidence of the wrist); one picture a frame."""
    folder = raw / name
    cameras = {c: dome_camera(20 + 70 * i) for i, c in enumerate(("00_00", "00_01"))}
    listed = [
        {
            **{"name": c, "type": "hd", "resolution": list(SIZE), "K": v.K.tolist(), "distCoef": list(DISTORTION)},
            **{"R": v.R.tolist(), "t": (-v.R @ v.optical_center_mm / 10).reshape(3, 1).tolist()},
        }
        for c, v in cameras.items()
    ]
    vga = {"name": "01_01", "type": "vga"}
    labels = folder / "hdPose3d_stage1_coco19" / "hd"
    labels.mkdir(parents=True)
    (folder / f"calibration_{name}.json").write_text(json.dumps({"calibDataSource": "x", "cameras": [vga, *listed]}))
    pictures = {c: [] for c in cameras}
    for i, people in enumerate(frames):
        bodies, spots = [], []
        for number, (x, y, confidence) in enumerate(people):
            points = pose(RAW_NAMES, at=(x, y)) @ TO_DOME.T
            table = np.concatenate([points / 10, np.full((19, 1), 0.6)], 1)
            table[RAW_NAMES.index("rwri_coco"), 3] = confidence
            bodies.append({"id": number, "joints19": table.ravel().round(6).tolist()})
            spots.append(points[RAW_NAMES.index("rwri_coco")])
        (labels / f"body3DScene_{i:08d}.json").write_text(json.dumps({"version": 0.7, "bodies": bodies}))
        for c, v in cameras.items():
            pictures[c].append(picture(SIZE, 40 + 4 * i, project(v, np.array(spots).reshape(-1, 3))))
    for c in videos:
        write_video(folder / "hdVideos" / f"hd_{c}.mp4", pictures[c])
    return cameras


def rows_of(store):
    return [store.row("train", i) for i in range(store.splits["train"])]


def test_people_are_followed_and_kept_when_they_move(tmp_path, converted):
    # one stands, one walks by 40 mm a frame: kept at 0, 3 (120 mm)
    frames = [[(-600, 0, 0.9), (300 + 40 * i, 700, 0.9)] for i in range(5)]
    frames[4].reverse()  # the list's order changes, the people are the same
    write(tmp_path / "raw", frames)
    store = converted("panoptic", tmp_path / "raw")
    assert store.skeleton.joint_names == tuple(NAMES) and store.color_fix == {"white_balance": [120, 138]}
    rows = rows_of(store)
    assert [(r.frame, r.person) for r in rows if "00_00" in r.image_key] == [(0, 0), (0, 1), (3, 1)]
    assert len(rows) == 6
    for row in rows:
        x = [-600, 300 + 40 * row.frame][row.person]
        y = [0, 700][row.person]
        np.testing.assert_allclose(row.coords, pose(NAMES, at=(x, y)) @ TO_DOME.T, atol=0.01)
        np.testing.assert_allclose(row.camera.world_up, [0, -1, 0])
        check_reprojection(row, joint=WRIST, level=40 + 4 * row.frame)
        joints = box_of_points(project(row.camera, row.coords))
        assert row.box_ltwh_px[3] == pytest.approx(1.25 * joints[3], rel=0.1)


def test_unsure_joints_are_missing_and_hardly_seen_people_left_out(tmp_path, converted):
    write(tmp_path / "raw", [[(0, 0, 0.1)], [(9000, 0, 0.9)]])
    rows = rows_of(converted("panoptic", tmp_path / "raw"))
    assert [r.frame for r in rows] == [0, 0]
    assert np.isnan(rows[0].coords[WRIST]).all() and np.isnan(rows[0].coords).any(-1).sum() == 1


def test_detections_give_the_boxes(tmp_path, converted):
    cameras = write(tmp_path / "raw", [[(0, 0, 0.9)]])
    detections = {}
    for name, view in cameras.items():
        left, top, width, height = box_of_points(project(view, pose(NAMES) @ TO_DOME.T))
        detections[f"170407_test1/hdVideos/hd_{name}.mp4/000000"] = [[left - 9, top, width + 18, height, 0.9]]
    detections["170407_test1/hdVideos/hd_00_01.mp4/000000"][0][:2] = [0, 0]  # far from the person
    (tmp_path / "d.json").write_text(json.dumps(detections))
    store = converted("panoptic", tmp_path / "raw", detector=f"json:{tmp_path / 'd.json'}")
    row = rows_of(store)[0]
    assert store.splits == {"train": 1}
    joints = box_of_points(project(row.camera, row.coords))
    assert row.box_ltwh_px[3] == pytest.approx(joints[3], rel=0.03)
    assert row.box_ltwh_px[2] > 1.1 * joints[2]


def test_a_missing_video_is_named_and_half_an_archive_too(tmp_path, converted):
    write(tmp_path / "raw", [[(0, 0, 0.9)]], videos=("00_00",))
    with pytest.raises(UserError, match=r"1 of 2 units.*hd_00_01.mp4 is missing"):
        converted("panoptic", tmp_path / "raw")
    write(tmp_path / "other_raw", [[(0, 0, 0.9)]])
    label = next((tmp_path / "other_raw").rglob("body3DScene_*.json"))
    label.write_text(label.read_text()[:50])
    with pytest.raises(UserError, match=r"body3DScene_00000000.json is not a pose file.*unpack it again"):
        converted("panoptic", tmp_path / "other_raw", out="other")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no \*/calibration_\*.json in .*Expected there"):
        converted("panoptic", tmp_path / "empty", out="third")


@pytest.mark.parametrize("name, camera", [("160906_band3", "00_03"), ("171204_pose5", "00_16")])
def test_known_broken_views_are_left_out_unless_asked_for(tmp_path, converted, name, camera):
    raw = tmp_path / "raw"
    write(raw, [[(0, 0, 0.9)]], name=name)
    calibration = raw / name / f"calibration_{name}.json"
    calibration.write_text(calibration.read_text().replace("00_01", camera))
    (raw / name / "hdVideos/hd_00_01.mp4").rename(raw / name / f"hdVideos/hd_{camera}.mp4")
    store = converted("panoptic", raw)
    assert {r.image_key.split("/")[1] for r in rows_of(store)} == {"00_00"}
    known = store.metadata["provenance"]["known_faults"]
    assert known["mended"] and known["units_left_out"] == [f"{name}/{camera}"]
    both = converted("panoptic", raw, out="as_published", as_published=True)
    assert {r.image_key.split("/")[1] for r in rows_of(both)} == {"00_00", camera}
    assert not both.metadata["provenance"]["known_faults"]["mended"]


def test_a_camera_that_the_servers_lack_is_passed_over(tmp_path, converted):
    raw = tmp_path / "raw"
    write(raw, [[(0, 0, 0.9)]], videos=("00_00",))
    calibration = raw / "170407_test1/calibration_170407_test1.json"
    calibration.write_text(calibration.read_text().replace("00_01", "00_20"))
    assert converted("panoptic", raw).splits == {"train": 1}


def test_labels_unpacked_without_their_folder_are_found(tmp_path, converted):
    write(tmp_path / "raw", [[(0, 0, 0.9)]])
    folder = next((tmp_path / "raw").iterdir())
    (folder / "hdPose3d_stage1_coco19" / "hd").rename(folder / "hd")
    (folder / "hdPose3d_stage1_coco19").rmdir()
    assert converted("panoptic", tmp_path / "raw").splits == {"train": 2}
    next(folder.rglob("body3DScene_*.json")).unlink()
    with pytest.raises(UserError, match="holds no body3DScene"):
        converted("panoptic", tmp_path / "raw", out="other")


@pytest.mark.skipif(not REAL.is_dir(), reason="the real sequence is not on this machine")
def test_the_real_files(tmp_path, converted):
    """Calibration and labels are real; the pictures, which are not at hand, are grey."""
    folder = tmp_path / "raw" / "160906_band1"
    folder.mkdir(parents=True)
    for path in REAL.iterdir():
        (folder / path.name).symlink_to(path)
    for name in panoptic.read_cameras(folder / "calibration_160906_band1.json"):
        for frame in (168, 169):
            target = folder / "hdImgs" / name / f"{name}_{frame:08d}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(encode_jpeg(np.full((1080, 1920, 3), 90, np.uint8)))
    people = panoptic.read_people(folder / "hdPose3d_stage1_coco19")
    assert sorted(people) == [168, 169]
    pose0 = dict(people[168])[0]
    np.testing.assert_allclose(pose0[0], [1241.36, -1059.91, -302.854])  # neck
    np.testing.assert_allclose(pose0[18], [1270.45, -637.183, -299.739])  # body centre, last
    assert np.isnan(pose0[NAMES.index("lank_coco")]).all()  # its confidence is -1
    store = converted("panoptic", tmp_path / "raw", limit=2)
    # people on the dome's floor are between 1.4 and 2 m tall, seen from 2 to 4 m
    for r in rows_of(store):
        height = np.nanmax(r.coords[:, 1]) - np.nanmin(r.coords[:, 1])
        distance = np.linalg.norm(np.nanmean(r.coords, 0) - r.camera.optical_center_mm)
        assert 700 < height < 2000 and 1500 < distance < 5500
