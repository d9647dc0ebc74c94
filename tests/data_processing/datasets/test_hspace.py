"""HSPACE: TFRecord files."""

import cv2
import numpy as np
import pytest

from data_processing import masks
from data_processing.boxes import box_of_points
from data_processing.cameras import project, to_camera
from data_processing.datasets.hspace import RAW_JOINTS
from data_processing.images import read_image
from data_processing.verify import verify
from metrabs_acae.errors import UserError

from ..people import camera, check_reprojection, picture, pose, rows_of
from ..test_tfrecord import write_records

SIZE = (640, 480)
MASK_IDS = (2, 4)


def write(raw, *, frames=((0, 0), (60, 60), (150, 60)), name="seq_0"):
    """Two people at 0.7 m from each other, moved by `frames` (mm along x), standing before an upright camera."""
    view = camera(0, size_wh=SIZE, distance_mm=4500)
    records, poses = [], []
    for i, moved in enumerate(frames):
        world = [pose(RAW_JOINTS, at=(-350 + 700 * p + x, 0)) for p, x in enumerate(moved)]
        points = [project(view, w) for w in world]
        labels = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        for mask_id, person in zip(MASK_IDS, points, strict=True):
            left, top, width, height = box_of_points(person, 1.1).astype(int)
            labels[top : top + height // 2, left : left + width] = mask_id - 1
            labels[top + height // 2 : top + height, left : left + width] = mask_id
        labels[5:7, 5:7] = 3  # a speck
        image = picture(SIZE, 60 + 9 * i, [p[RAW_JOINTS.index("lwri")] for p in points])
        image[:40, :, 2] = 255  # blue above
        image[:40, :, :2] = 0
        features = {
            "image/rgb": [cv2.imencode(".png", image)[1].tobytes()],  # OpenCV takes red for blue: swapped as released
            "character_masks": [cv2.imencode(".png", labels)[1].tobytes()],
            "camera_intrinsics": np.float32([view.K[0, 0], view.K[1, 1], view.K[0, 2], view.K[1, 2]]),
            "number_of_rigged_characters": np.int64([2]),
        }
        for p, w in enumerate(world):
            features[f"RIGGED_{p}/joints_3d"] = np.float32(to_camera(view, w).ravel() / 1000)
            features[f"RIGGED_{p}/mask_id"] = np.int64([MASK_IDS[p]])
        records.append(features)
        poses.append([to_camera(view, w) for w in world])
    (raw / "2021_01/train").mkdir(parents=True, exist_ok=True)
    write_records(raw / f"2021_01/train/{name}.tfrecord", records)
    return poses


def test_hspace(tmp_path, converted):
    poses = write(tmp_path)
    store = converted("hspace", tmp_path)
    rows = rows_of(store)
    # Two people share the record's sampler; in frame 1 nobody has moved by 100 mm.
    assert [(r.frame, r.person) for r in rows] == [(0, 0), (0, 1), (2, 0)]
    names = [n.removesuffix("_ghum") for n in store.skeleton.joint_names]
    for row in rows:
        expected = poses[row.frame][row.person][[RAW_JOINTS.index(n) for n in names]]
        np.testing.assert_allclose(row.coords, expected, atol=0.01)
        check_reprojection(row, joint=names.index("lwri"), level=60 + 9 * row.frame)
        label = box_of_points(project(row.camera, poses[row.frame][row.person]), 1.1)
        np.testing.assert_allclose(row.box_ltwh_px[2:], label[2:], rtol=0.15)
        assert masks.decode(row.mask).sum() > 1.6 * np.prod(label[2:])  # both people
        top = read_image(row.image_path).reshape(-1, 3).astype(int)
        assert not (top[:, 0] - top[:, 2] > 100).any()  # nothing red: colours are in order
    assert store.realistic_background and not verify(store.path).errors


def test_damaged_records_are_named(tmp_path, converted):
    write(tmp_path, frames=((0, 0),))
    path = next(tmp_path.rglob("*.tfrecord"))
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    with pytest.raises(UserError, match="damaged or cut off at record 0"):
        converted("hspace", tmp_path)
    write_records(path, [{"x": np.int64([1])}])
    with pytest.raises(UserError, match="record 0 is not one of HSPACE.*number_of_rigged_characters"):
        converted("hspace", tmp_path, out="other")
