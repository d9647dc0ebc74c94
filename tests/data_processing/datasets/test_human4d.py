"""HUMAN4D: a fixture in its layout and formats, with cameras that stand on their side."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from data_processing.boxes import box_of_points, iou
from data_processing.cameras import make_camera, project
from data_processing.converter import Options
from data_processing.datasets import human4d
from data_processing.registry import get_dataset
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, rows_of

NAMES = get_skeleton("human4d").joint_names
WRIST = NAMES.index("rwri_human4d")
SIZE = (320, 180)
QUARTER = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])


def view(azimuth, turned=QUARTER):
    upright = camera(azimuth, size_wh=SIZE, focal=300, distance_mm=4000)
    K = np.array([[300, 0, 158], [0, 302, 92], [0, 0, 1.0]])
    return make_camera(turned @ upright.R, upright.optical_center_mm, K)


VIEWS = {"M72e": view(20), "M72h": view(110, QUARTER.T)}
OFFSET = 4


def write(raw, xs, *, subject="S2", take="19-07-12-09-09-06", people=1):
    """The person is at `xs` in the pictures from `OFFSET` - 1 on; two pictures stand before."""
    folder = raw / subject / take / "Dump"
    (folder / "color").mkdir(parents=True)
    (folder / "gposes3d").mkdir()
    (raw / subject / "pose").mkdir()
    devices = [
        {"Device": name, "Color Intrinsics": [{"1280x720": v.K.ravel().tolist()}], "Depth Intrinsics": []}
        for name, v in VIEWS.items()
    ]
    (raw / subject / "device_repository.json").write_text(json.dumps(devices))
    (raw / subject / "offsets.txt").write_text(f"19-07-12-10-00-00\t9\t9\n{take}\t{OFFSET}\t7\n")
    for name, seen in VIEWS.items():
        matrix = np.concatenate([seen.R.T, seen.optical_center_mm[None]])
        np.savetxt(raw / subject / "pose" / f"{name}.extrinsics", matrix)
    for i, x in enumerate(xs):
        points = pose(NAMES, at=(x, 0))
        full = np.insert(points, 15, points[NAMES.index("neck3_human4d")], axis=0)
        np.save(folder / "gposes3d" / f"{i}.npy", np.stack([full] * people).astype(np.float32))
    for frame in range(1, OFFSET - 1 + len(xs)):
        i = frame - OFFSET + 1
        for name, seen in VIEWS.items():
            spots = project(seen, pose(NAMES, at=(xs[i], 0))[WRIST]) if i >= 0 else ()
            image = picture(SIZE, 80 + 8 * frame, spots)
            cv2.imwrite(str(folder / "color" / f"{frame}_{name}_color_{1000 + frame}.png"), image)


def test_pictures_are_paired_with_poses_and_turned_upright(tmp_path, converted):
    write(tmp_path / "raw", [0.0, 60.0, 120.0, 0.0])
    store = converted("human4d", tmp_path / "raw")
    rows = rows_of(store)
    # the first poses belong to pictures 3, 4, 5, 6; 6 repeats 3
    assert [(r.frame, r.image_key.split("/")[2]) for r in rows] == [(f, c) for c in VIEWS for f in (3, 5)]
    assert store.metadata["provenance"]["left_out"] == {"no pose of one person for a picture": 4}
    for row in rows:
        np.testing.assert_allclose(row.coords, pose(NAMES, at=(60 * (row.frame - 3), 0)), atol=0.01)
        check_reprojection(row, joint=WRIST, level=80 + 8 * row.frame)
        pixels = project(row.camera, row.coords)
        assert pixels[NAMES.index("htop_human4d"), 1] < pixels[NAMES.index("rank_human4d"), 1] - 50
        joints = box_of_points(pixels)
        assert iou(joints, row.box_ltwh_px) > 0.55


def test_takes_of_two_people_are_left_out(tmp_path, converted):
    write(tmp_path / "raw", [0.0], people=2)
    with pytest.raises(UserError, match="no example was found"):
        converted("human4d", tmp_path / "raw")


class WhiteIsAPerson(human4d.Human4D):
    """Detects what is white, and insists on standing people."""

    def detect(self, image, source, frame=None):
        rows, columns = np.flatnonzero(image.any(1)), np.flatnonzero(image.any(0))
        assert len(rows) > len(columns)
        return np.array([[columns[0] - 0.5, rows[0] - 0.5, len(columns), len(rows), 0.9]])


@pytest.mark.parametrize("turns", range(4))
def test_detectors_see_upright_people(turns):
    seen = view(20, np.linalg.matrix_power(QUARTER, turns))
    left, top, width, height = (int(v) for v in box_of_points(project(seen, pose(NAMES))))
    image = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    image[top : top + height, left : left + width] = 255
    converter = WhiteIsAPerson(get_dataset("human4d"), Path("."), Options(detector="ssdlite"))
    (found,) = converter._detect_upright(image, "x", seen)
    np.testing.assert_allclose(found[:4], [left - 0.5, top - 0.5, width, height])


def test_damaged_files_are_named(tmp_path, converted):
    raw = tmp_path / "raw"
    write(raw, [0.0, 200.0])
    path = raw / "S2/19-07-12-09-09-06/Dump/gposes3d/1.npy"
    for content in (path.read_bytes()[:90], b""):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"1.npy is not a readable array"):
            human4d.read_pose(path)
    np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(UserError, match=r"1.npy is not a readable array"):
        human4d.read_pose(path)
    np.save(path, np.zeros((1, 30, 3)))
    with pytest.raises(UserError, match=r"expected \(1, 33, 3\) numbers"):
        converted("human4d", raw)
    (raw / "S2" / "offsets.txt").write_text("other\t1\t1\n")
    with pytest.raises(UserError, match="lacks the take 19-07-12-09-09-06"):
        converted("human4d", raw, out="other")
    (raw / "S2" / "pose" / "M72e.extrinsics").write_text("1 0 0\n")
    with pytest.raises(UserError, match="M72e.extrinsics is not a camera's place"):
        converted("human4d", raw, out="other")
