"""HUMBI from the text files and JPEGs of its layout."""

import json

import numpy as np
import pytest

from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.datasets import humbi
from data_processing.images import encode_jpeg
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, turn_world

NAMES = get_skeleton("coco").joint_names
WRIST = NAMES.index("lwri_coco")
SIZE = (640, 360)
Y_DOWN = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0.0]])


def view(i):
    return turn_world(camera(20 * i, size_wh=SIZE, focal=560), Y_DOWN, (0, -1, 0))


def write_table(path, cameras, table_of):
    lines = ["Numcam: 107", f"numframes: {len(cameras)}", f"numP: {len(cameras)}"]
    for number, made in cameras.items():
        lines += [f"0 {number}", *(" ".join(f"{v:.9g}" for v in row) for row in table_of(made))]
    path.write_text("\n".join(lines) + "\n")


def write(raw, snapshots, *, subject="subject_82", cameras=(3, 24), uncalibrated=()):
    """`snapshots`: {number: x of the person}; returns the poses."""
    body = raw / subject / "body"
    body.mkdir(parents=True)
    views = {c: view(c) for c in cameras}
    write_table(body / "intrinsic.txt", views, lambda v: v.K)
    write_table(body / "extrinsic.txt", views, lambda v: np.vstack([v.optical_center_mm / 1000, v.R]))
    true = {}
    for number, x in snapshots.items():
        points = true[number] = pose(NAMES, at=(x, 0)) @ Y_DOWN.T
        folder = body / f"{number:08d}"
        (folder / "reconstruction").mkdir(parents=True)
        (folder / "image").mkdir()
        raw_points = points[[NAMES.index(f"{j}_coco") for j in humbi.RAW_JOINTS]] / 1000
        np.savetxt(folder / "reconstruction/keypoints.txt", raw_points, fmt="%.7f")
        for c in (*cameras, *uncalibrated):
            image = picture(SIZE, 40 + number, project(view(c), points[[WRIST]]))
            (folder / f"image/image{c:07d}.jpg").write_bytes(encode_jpeg(image))
    return true


def test_snapshots(tmp_path, converted):
    true = write(tmp_path / "raw", {1: 0, 13: 5}, uncalibrated=(77,))
    store = converted("humbi", tmp_path / "raw")
    assert store.skeleton.joint_names == NAMES and store.splits == {"train": 4}
    assert store.metadata["provenance"]["left_out"] == {"camera without calibration": 2}
    for i in range(4):
        row = store.row("train", i)
        assert row.image_key == f"subject_82/{row.frame:08d}/image{(3, 24)[i % 2]:07d}.jpg"
        np.testing.assert_allclose(row.coords, true[row.frame], atol=0.01)
        np.testing.assert_allclose(row.camera.world_up, [0, -1, 0])
        check_reprojection(row, joint=WRIST, level=40 + row.frame)
        joints = box_of_points(project(row.camera, row.coords))
        assert row.box_ltwh_px[3] == pytest.approx(1.05 * joints[3], rel=0.05)


def test_detections_widen_the_box(tmp_path, converted):
    true = write(tmp_path / "raw", {1: 0})
    left, top, width, height = box_of_points(project(view(3), true[1]), 1.05)
    key = "subject_82/body/00000001/image/image{:07d}.jpg"
    found = {key.format(3): [[left - 10, top, width, height, 0.9]], key.format(24): [[0, 0, 20, 20, 0.9]]}
    (tmp_path / "d.json").write_text(json.dumps(found))
    plain = converted("humbi", tmp_path / "raw")
    store = converted("humbi", tmp_path / "raw", out="b", detector=f"json:{tmp_path / 'd.json'}")
    ratios = [
        store.row("train", i).box_ltwh_px[2] / plain.row("train", i).box_ltwh_px[2]
        / (store.row("train", i).box_ltwh_px[3] / plain.row("train", i).box_ltwh_px[3])
        for i in range(2)
    ]  # fmt: skip
    assert ratios[0] == pytest.approx((width + 10) / width, rel=0.03)
    assert ratios[1] == pytest.approx(1, abs=0.01)


def test_missing_joints_and_cut_off_pictures(tmp_path, converted):
    write(tmp_path / "raw", {1: 0, 2: 0}, cameras=(3,))
    body = tmp_path / "raw/subject_82/body"
    lines = (body / "00000001/reconstruction/keypoints.txt").read_text().splitlines()
    lines[3], lines[4] = "-nan -nan -nan", "0 0 0"  # right elbow and wrist
    (body / "00000001/reconstruction/keypoints.txt").write_text("\n".join(lines))
    cut = next((body / "00000002/image").iterdir())
    cut.write_bytes(cut.read_bytes()[:-400])
    store = converted("humbi", tmp_path / "raw")
    assert store.splits == {"train": 1}
    assert store.metadata["provenance"]["left_out"] == {"picture cut off": 1}
    missing = np.isnan(store.row("train", 0).coords).all(-1)
    assert {NAMES[i] for i in np.flatnonzero(missing)} == {"relb_coco", "rwri_coco"}
    (body / "00000002/reconstruction/keypoints.txt").write_text("1 2 3\n")
    store = converted("humbi", tmp_path / "raw", out="b")
    assert store.metadata["provenance"]["left_out"] == {"snapshot without readable joints": 1}
    (body / "intrinsic.txt").write_text("a\nb\nc\n0 3\n1 2\n")
    with pytest.raises(UserError, match="intrinsic.txt is not a calibration"):
        converted("humbi", tmp_path / "raw", out="c")
