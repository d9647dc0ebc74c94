"""PoseTrack 2018 and JRDB-Pose: fixtures in their layouts and formats."""

import json

import numpy as np
import pytest

from data_processing.boxes import box_of_points
from data_processing.cameras import intrinsics, make_camera, project
from data_processing.datasets import jrdb, posetrack
from data_processing.images import encode_jpeg, read_image
from metrabs_acae.errors import UserError

from ..people import picture, rows_of, spot_error_px

HEAD = [0, 0, 30, 40]
"""A box with a diagonal of 50 px: people count as moved from 25 px on."""


def standing(x, y=0.0, seed=0) -> np.ndarray:
    """17 joints of a person about 100 px wide and 300 px tall."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.uniform(0, 100, 17), np.linspace(0, 300, 17)], 1) + [x, y]


def labelled(points, seen, value=1):
    table = np.concatenate([np.where(seen[:, None], points, 0), np.where(seen, value, 0)[:, None]], 1)
    return table.ravel().tolist()


EVERYTHING = np.ones(17, bool)
WITHOUT_ANKLES = np.arange(17) < 15


def write_posetrack(raw, *, part="train", sequence="000001_bonn_train", categories=True):
    """One person walks by 10 px a frame and shows the ankles in frame 1; another one stands; one has no joints."""
    images, annotations = [], []
    folder = raw / "images" / part / sequence
    folder.mkdir(parents=True)
    for i in range(5):
        name = f"images/{part}/{sequence}/{i:06d}.jpg"
        images.append({"id": 10000 + i, "file_name": name, "is_labeled": True})
        (raw / name).write_bytes(encode_jpeg(picture((640, 360), 40 + 8 * i)))
        for track, points, seen in (
            (0, standing(50 + 10 * i), EVERYTHING if i == 1 else WITHOUT_ANKLES),
            (4, standing(400, seed=1), EVERYTHING),
        ):
            left, top, width, height = box_of_points(points, 1.1)
            annotations.append(
                {
                    **{"image_id": 10000 + i, "id": 100 * i + track, "track_id": track, "bbox_head": HEAD},
                    **{"bbox": [left, top, width, height], "keypoints": labelled(points, seen), "category_id": 1},
                }
            )
        annotations.append({"image_id": 10000 + i, "id": 100 * i + 50, "track_id": 7, "keypoints": [0] * 51})
    data = {"images": images[::-1], "annotations": annotations}
    if categories:
        data["categories"] = [{"name": "person", "keypoints": list(posetrack.KEYPOINT_NAMES)}]
    (raw / "annotations" / part).mkdir(parents=True)
    (raw / "annotations" / part / f"{sequence}.json").write_text(json.dumps(data))


def test_posetrack_keeps_people_who_moved_or_show_more(tmp_path, converted):
    write_posetrack(tmp_path / "raw")
    write_posetrack(tmp_path / "raw", part="val", sequence="000342_mpii_test", categories=False)
    store = converted("posetrack", tmp_path / "raw")
    assert store.kind == "2d" and store.skeleton.joint_names[:3] == ("nose", "head", "htop")
    for split in ("train", "valid"):
        rows = rows_of(store, split)
        # frame 1 shows the ankles; frame 4 has moved by 30 px since
        assert [(r.frame, r.person) for r in rows] == [(0, 0), (0, 4), (1, 0), (4, 0)]
        for row in rows:
            points = standing(50 + 10 * row.frame) if row.person == 0 else standing(400, seed=1)
            known = EVERYTHING if row.person == 4 or row.frame == 1 else WITHOUT_ANKLES
            np.testing.assert_allclose(row.coords[known], points[known], atol=1e-3)
            assert np.isnan(row.coords[~known]).all() and row.camera is None
            np.testing.assert_allclose(row.box_ltwh_px, box_of_points(points, 1.1), atol=1e-3)
    assert rows[0].image_path.read_bytes() == (tmp_path / "raw" / rows[0].image_key).read_bytes()


def test_posetrack_detections_and_broken_pictures(tmp_path, converted):
    write_posetrack(tmp_path / "raw")
    pictures = sorted((tmp_path / "raw" / "images").rglob("*.jpg"))
    pictures[3].write_bytes(b"x")
    pictures[4].unlink()
    box = box_of_points(standing(50), 1.3).tolist()
    detections = {f"images/train/000001_bonn_train/{i:06d}.jpg": [[*box, 0.9]] for i in range(3)}
    (tmp_path / "d.json").write_text(json.dumps(detections))
    store = converted("posetrack", tmp_path / "raw", detector=f"json:{tmp_path / 'd.json'}")
    rows = rows_of(store)
    assert [(r.frame, r.person) for r in rows] == [(0, 0), (1, 0)]
    np.testing.assert_allclose(rows[0].box_ltwh_px, box, atol=1e-3)
    left_out = store.metadata["provenance"]["left_out"]
    assert left_out == {"no detection": 3, "image broken": 1, "image missing": 1}


CAMERA_K = intrinsics(480, 484, 350, 210)
LENS = (-0.33, 0.12, 0.0003, -0.0001, -0.02)


def write_jrdb(raw, *, n_sensors=5):
    """Five frames of two cameras; pictures are numbered from 2 on."""
    folder = raw / "train_dataset"
    lines = ["stitching:", "  radius: 3360000", "cameras:"]
    for number in range(n_sensors):
        K = CAMERA_K + np.array([[10.0 * number, 0, 0], [0] * 3, [0] * 3])
        lines += [f"  sensor_{number}:", "    width: 752", "    height: 480"]
        lines += ["    # distortion", "    D: " + " ".join(map(str, LENS))]
        lines += ["    K: >", *("      " + " ".join(map(str, row)) for row in K)]
        lines += ["    R: >", "      0 0 1", "      0 1 0", "      -1 0 0", "    T: -10 20.0 3e0"]
    (folder / "calibration").mkdir(parents=True)
    (folder / "calibration" / "cameras.yaml").write_text("\n".join(lines) + "\n")
    (folder / "labels" / "labels_2d_pose_coco").mkdir(parents=True)
    for camera in (0, 2):
        images, annotations = [], []
        for i in range(5):
            name = f"image_{camera}/bytes-cafe-2019-02-07_0/{i:06d}.jpg"
            images.append({"id": i + 1, "file_name": name, "width": 752, "height": 480})
            path = folder / "images" / jrdb.picture_of(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_jpeg(picture((752, 480), 40 + 8 * i, standing(100 + 12 * i)[9])))
            annotations.append(
                {"image_id": i + 1, "track_id": 31, "keypoints": labelled(standing(100 + 12 * i), EVERYTHING, 2)}
            )
            annotations.append({"image_id": i + 1, "track_id": 5, "keypoints": [0.0] * 51})
        data = {"images": images, "annotations": annotations, "categories": []}
        name = f"bytes-cafe-2019-02-07_0_image{camera}.json"
        (folder / "labels" / "labels_2d_pose_coco" / name).write_text(json.dumps(data))


def test_jrdb_pictures_lag_and_cameras(tmp_path, converted):
    write_jrdb(tmp_path / "raw")
    store = converted("jrdb", tmp_path / "raw")
    rows = rows_of(store)
    # moved by 12 px a frame; a tenth of the box is 34.5 px
    assert [(r.image_key.split("/")[0], r.frame) for r in rows] == [
        ("image_0", 2), ("image_0", 5), ("image_2", 2), ("image_2", 5),
    ]  # fmt: skip
    for row in rows:
        points = standing(100 + 12 * (row.frame - 2))
        np.testing.assert_allclose(row.coords, points, atol=1e-3)
        np.testing.assert_allclose(row.box_ltwh_px, box_of_points(points, 1.15), atol=1e-3)
        sensor = int(row.image_key[6]) // 2
        np.testing.assert_allclose(row.camera.K[0, 0], 480 + 10 * sensor)
        np.testing.assert_allclose(row.camera.lens.coefficients, LENS, atol=1e-6)
        np.testing.assert_allclose(row.camera.R, [[0, 0, 1], [0, 1, 0], [-1, 0, 0]], atol=1e-6)
        np.testing.assert_allclose(row.camera.optical_center_mm, row.camera.R.T @ [10, -20, -3], atol=1e-3)
        np.testing.assert_allclose(row.camera.world_up, [0, -1, 0])
        assert spot_error_px(read_image(row.image_path), row.coords[9]) < 0.5
    truth = make_camera(rows[0].camera.R, rows[0].camera.optical_center_mm, CAMERA_K, distortion=LENS)
    ray = rows[0].camera.optical_center_mm + np.array([300.0, -100, 2000]) @ rows[0].camera.R
    np.testing.assert_allclose(project(rows[0].camera, ray), project(truth, ray), atol=1e-3)


def test_picture_2n_is_of_sensor_n_however_many_there_are(tmp_path):
    """The authors' file has ten sensors: two rings of five, of which only the first has pictures."""
    write_jrdb(tmp_path, n_sensors=10)
    cameras = jrdb.read_cameras(tmp_path / "train_dataset/calibration/cameras.yaml")
    found = [jrdb.camera_of(cameras, f"image_{n}/x/000000.jpg").K[0, 0] for n in (0, 2, 4, 6, 8)]
    assert found == [480, 490, 500, 510, 520]
    assert jrdb.camera_of(cameras, "image_1/x/000000.jpg") is None
    assert jrdb.camera_of(cameras, "image_12/x/000000.jpg") is None
    assert jrdb.camera_of(cameras, "stitched/000000.jpg") is None


def test_damaged_files_are_named(tmp_path, converted):
    raw = tmp_path / "raw"
    write_jrdb(raw)
    labels = next(raw.rglob("*_image0.json"))
    for text in ("{}", '{"images": [{"id": 1, "file_name": "a/b.jpg"}], "annotations": []}', "[1]"):
        labels.write_text(text)
        with pytest.raises(UserError, match="is not an annotation file of JRDB-Pose"):
            converted("jrdb", raw)
    cameras = raw / "train_dataset/calibration/cameras.yaml"
    for text, reason in (("cameras:\n", "names no sensor"), ("cameras:\n  sensor_0:\n    D: 1 2 3\n", "lacks K")):
        cameras.write_text(text)
        with pytest.raises(UserError, match=rf"cameras.yaml is not the camera calibration of JRDB.*{reason}"):
            jrdb.read_cameras(cameras)
    write_posetrack(raw)
    labels = next((raw / "annotations").rglob("*.json"))
    labels.write_text(labels.read_text().replace("head_bottom", "neck"))
    with pytest.raises(UserError, match="other keypoints than PoseTrack 2018's 17"):
        converted("posetrack", raw, out="other")
