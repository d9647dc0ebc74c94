"""EMDB: its pickles and pictures."""

import pickle

import numpy as np
import pytest

from data_processing import smpl
from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.images import encode_jpeg
from data_processing.verify import verify
from metrabs_acae.errors import UserError

from ..body_models import SMPL_NAMES, standing
from ..people import camera, check_reprojection, picture, rows_of, turn_world
from .conftest import N_SMPL

SIZE = (360, 480)
WRIST = SMPL_NAMES.index("lwri")
Y_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])


def write(raw, body_models, *, shift_px=0.0):
    """A hand-held camera and a person, y up; frame 1 is not good, the box of frame 2 not valid."""
    model = smpl.load_model(smpl.find_model(body_models, "smpl", "male"))
    pose, betas, trans = standing(n_vertices=N_SMPL, up=(0, 1, 0), at_m=(0, 0.95, 0))
    poses = np.tile(pose, (3, 1))
    trans = trans + np.arange(3)[:, None] * [0.05, 0, 0]
    cameras = [turn_world(camera(10 + 4 * i, size_wh=SIZE, distance_mm=4000), Y_UP, (0, 1, 0)) for i in range(3)]
    world = model.joints(poses, betas, trans)
    points = np.stack([project(c, w) for c, w in zip(cameras, world, strict=True)])
    extrinsics = np.tile(np.eye(4), (3, 1, 1))
    corners = []
    folder = raw / "P3/27_indoor_walk"
    (folder / "images").mkdir(parents=True)
    for i, view in enumerate(cameras):
        extrinsics[i, :3, :3], extrinsics[i, :3, 3] = view.R, -view.R @ view.optical_center_mm / 1000
        left, top, width, height = box_of_points(points[i], 1.1)
        corners.append([left, top, left + width, top + height])
        (folder / f"images/{i:05d}.jpg").write_bytes(encode_jpeg(picture(SIZE, 60 + 9 * i, points[i, WRIST])))
    data = {
        "gender": "male",
        "name": "P3_27_indoor_walk",
        "emdb1": True,
        "emdb2": False,
        "n_frames": 3,
        "good_frames_mask": np.array([True, False, True]),
        "camera": {"intrinsics": cameras[0].K, "extrinsics": extrinsics, "width": SIZE[0], "height": SIZE[1]},
        "smpl": {"poses_root": poses[:, :3], "poses_body": poses[:, 3:], "trans": trans, "betas": betas},
        "kp2d": points + shift_px,
        "bboxes": {"bboxes": np.array(corners), "invalid_idxs": np.array([1, 2])},
    }
    (folder / "P3_27_indoor_walk_data.pkl").write_bytes(pickle.dumps(data))
    return world, points, corners


def test_emdb(tmp_path, converted, body_models):
    world, points, corners = write(tmp_path, body_models)
    store = converted("emdb", tmp_path, body_models=body_models)
    rows = rows_of(store, "test")
    assert store.splits == {"test": 2} and [r.frame for r in rows] == [0, 2]
    names = [n.removesuffix("_smpl") for n in store.skeleton.joint_names]
    for row in rows:
        np.testing.assert_allclose(row.coords, world[row.frame][[SMPL_NAMES.index(n) for n in names]], atol=0.05)
        check_reprojection(row, joint=names.index("lwri"), level=60 + 9 * row.frame)
        np.testing.assert_allclose(row.camera.world_up, [0, 1, 0])
        assert row.activity == "emdb1" and row.sequence == "P3/27_indoor_walk"
    left, top, right, bottom = corners[0]
    np.testing.assert_allclose(rows[0].box_ltwh_px, [left, top, right - left, bottom - top], atol=0.01)
    np.testing.assert_allclose(rows[1].box_ltwh_px, box_of_points(points[2], 1.2), atol=0.1)
    assert not verify(store.path).errors


def test_a_body_model_that_does_not_fit_and_other_files_are_refused(tmp_path, converted, body_models):
    write(tmp_path, body_models, shift_px=30)
    with pytest.raises(UserError, match=r"joints lie 42 px beside.*SMPL_MALE\.npz the SMPL model"):
        converted("emdb", tmp_path, body_models=body_models)
    with pytest.raises(UserError, match=r"SMPL \(male\) is missing"):
        converted("emdb", tmp_path)
    next(tmp_path.rglob("*_data.pkl")).write_bytes(pickle.dumps({"name": "x"}))
    with pytest.raises(UserError, match="not a sequence of EMDB"):
        converted("emdb", tmp_path, body_models=body_models, out="other")
