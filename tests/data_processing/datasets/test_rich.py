"""RICH: SMPL-X fits in pickles, calibrations in OpenCV's XML."""

import json
import pickle

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_processing import smpl
from data_processing.cameras import project
from data_processing.images import encode_jpeg
from data_processing.verify import verify
from metrabs_acae.errors import UserError

from ..body_models import SMPL_NAMES, standing
from ..people import camera, check_reprojection, picture, rows_of, turn_world
from .conftest import N_SMPLX

SIZE = (640, 480)
Y_DOWN = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0.0]])
LENS = (-0.1, 0.05, 0.001, -0.0005, 0.01)
SEQUENCE = "Gym_010_pushup1"
PARTS = {"global_orient": 3, "body_pose": 63, "jaw_pose": 3, "leye_pose": 3, "reye_pose": 3}


def write_matrix(name, table):
    table = np.atleast_2d(table)
    numbers = " ".join(f"{v:.17g}" for v in table.ravel())
    return (
        f'<{name} type_id="opencv-matrix"><rows>{len(table)}</rows><cols>{table.shape[1]}</cols><dt>d</dt>'
        f"<data>\n {numbers}</data></{name}>"
    )


def write(raw, body_models, *, part="train", at_m=(0, 0.06, 0.12)):
    """Cameras 0 and 3, of which 3 has no calibration; a person that moves along x."""
    model = smpl.load_model(smpl.find_model(body_models, "smplx", "female"))
    pose, betas, trans = standing("smplx", n_vertices=N_SMPLX, at_m=(0, -0.95, 0))
    rng = np.random.default_rng(0)
    fit = dict(zip(PARTS, np.split(pose[:75], np.cumsum(list(PARTS.values()))[:-1]), strict=True))
    fit |= {"left_hand_pose": rng.normal(size=12), "right_hand_pose": rng.normal(size=12), "betas": betas}
    fit["expression"] = rng.normal(size=10)
    whole = np.concatenate([pose[:75], model.hand_pose(fit["left_hand_pose"], fit["right_hand_pose"])[0]])
    view = turn_world(camera(20, size_wh=SIZE, distortion=LENS), Y_DOWN, (0, -1, 0))
    matrix = np.concatenate([view.R, (-view.R @ view.optical_center_mm / 1000)[:, None]], axis=1)
    calibration = raw / "scan_calibration/Gym/calibration/000.xml"
    calibration.parent.mkdir(parents=True, exist_ok=True)
    parts = [("CameraMatrix", matrix), ("Intrinsics", view.K), ("Distortion", LENS)]
    calibration.write_text(
        f'<?xml version="1.0"?><opencv_storage>{"".join(write_matrix(*p) for p in parts)}</opencv_storage>'
    )
    world = []
    for i, x in enumerate(at_m):
        frame = 12 + i
        body = raw / f"bodies/{part}/{SEQUENCE}/{frame:05d}/010.pkl"
        body.parent.mkdir(parents=True)
        at = trans + [x, 0, 0]
        body.write_bytes(pickle.dumps({k: np.float32(v)[None] for k, v in (fit | {"transl": at}).items()}))
        joints = model.joints(whole, betas, at, expression=fit["expression"])[0]
        vertices = model.vertices(whole, betas, at, expression=fit["expression"])[0]
        world.append((joints, vertices))
        for number in (0, 3):
            path = raw / f"images/{part}/{SEQUENCE}/cam_{number:02d}/{frame:05d}_{number:02d}.jpeg"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(encode_jpeg(picture(SIZE, 50 + 9 * i, project(view, joints[SMPL_NAMES.index("lwri")]))))
    return world


def test_rich(tmp_path, converted, body_models):
    world = write(tmp_path, body_models)
    write(tmp_path, body_models, part="val", at_m=(0,))
    store = converted("rich", tmp_path, body_models=body_models)
    rows = rows_of(store)
    assert [(r.activity, r.frame, r.person) for r in rows] == [("train", 12, 10), ("train", 14, 10), ("val", 12, 10)]
    names = [n.removesuffix("_smplx") for n in store.skeleton.joint_names]
    fingers = {"lmiddle1": 28, "rmiddle1": 43}  # after body, jaw, eyes: index, middle, pinky, ring, thumb
    points = {"nose": 9120, "lear": 6, "lto2": 5770, "lto3": 5780, "rhee": 8635, "lthu": 5361, "rmiddle": 7794}
    for row in rows[:2]:
        joints, vertices = world[row.frame - 12]
        expected = {n: joints[SMPL_NAMES.index(n)] for n in names if n in SMPL_NAMES}
        expected |= {n: joints[i] for n, i in fingers.items()} | {n: vertices[i] for n, i in points.items()}
        assert len(expected) == 22 + 2 + 7
        for name, point in expected.items():
            np.testing.assert_allclose(row.coords[names.index(name)], point, atol=0.05, err_msg=name)
        assert np.isfinite(row.coords).all()
        check_reprojection(row, joint=names.index("lwri"), level=50 + 9 * (row.frame - 12))
        np.testing.assert_allclose(np.linalg.norm(row.camera.world_up), 1, atol=1e-6)
    assert not verify(store.path).errors


def test_up_is_the_scans_vertical_axis(tmp_path, converted, body_models):
    """The cameras' world leans against the scan's by a turn about an axis that is not one of its own."""
    write(tmp_path, body_models, at_m=(0,))
    lean = Rotation.from_euler("xyz", [7, -12, 5], degrees=True).as_matrix() @ Y_DOWN  # cameras' axes from z up
    (tmp_path / "multicam2world").mkdir()
    (tmp_path / "multicam2world/Gym_multicam2world.json").write_text(
        json.dumps({"R": lean.tolist(), "t": [0.1, 0.2, 0.3], "c": 1.02})  # rows: x_scan = c x R + t
    )
    store = converted("rich", tmp_path, body_models=body_models)
    (row,) = rows_of(store)
    np.testing.assert_allclose(row.camera.world_up, lean @ [0, 0, 1], atol=1e-6)
    assert store.metadata["provenance"]["notes"] == []


def test_what_is_missing_is_named(tmp_path, converted, body_models):
    write(tmp_path, body_models, at_m=(0,))
    with pytest.raises(UserError, match=r"SMPL-X \(female\) is missing.*https://smpl-x.is.tue.mpg.de"):
        converted("rich", tmp_path)
    next(tmp_path.rglob("010.pkl")).write_bytes(pickle.dumps([1]))
    with pytest.raises(UserError, match="010.pkl is not a fit of RICH"):
        converted("rich", tmp_path, body_models=body_models)
    next(tmp_path.rglob("000.xml")).write_text("<x/>")
    with pytest.raises(UserError, match="000.xml is not a calibration of RICH"):
        converted("rich", tmp_path, body_models=body_models, out="other")
    (tmp_path / "scan_calibration").rename(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="scan_calibration/Gym/calibration is missing"):
        converted("rich", tmp_path, body_models=body_models, out="third")
