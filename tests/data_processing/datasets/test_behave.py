"""BEHAVE: Kinects, body fits in pickles, OpenPose joints, JPEG masks."""

import json
import pickle
import shutil

import numpy as np
import pytest

from data_processing import masks, smpl
from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.datasets.behave import DISTORTION, OPENPOSE
from data_processing.images import encode_jpeg
from data_processing.registry import get_dataset
from data_processing.verify import verify
from metrabs_acae.errors import UserError

from ..body_models import SMPL_NAMES, standing
from ..people import camera, check_reprojection, picture, pose, rows_of, turn_world
from .conftest import N_SMPL

SIZE = (640, 480)
Y_DOWN = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0.0]])
LENS = (0.08, -0.06, 0.001, -0.0005, 0.02, 0.01, -0.02, 0.01)
SEQUENCE = "Date01_Sub01_boxlarge_hand"


def write(raw, body_models, *, sequence=SEQUENCE, at_mm=(0, 60, 120)):
    """Two Kinects; the person's fit and the OpenPose joints move by `at_mm` along x; the nose is not seen."""
    model = smpl.load_model(smpl.find_model(body_models, "smpl", "male"))
    body_pose, betas, trans = standing(n_vertices=N_SMPL, at_m=(0, -0.95, 0))
    cameras = [turn_world(camera(15 + 80 * k, size_wh=SIZE, distortion=LENS), Y_DOWN, (0, -1, 0)) for k in range(2)]
    for k, view in enumerate(cameras):
        place = {"rotation": view.R.T.ravel().tolist(), "translation": (view.optical_center_mm / 1000).tolist()}
        K = {"fx": view.K[0, 0], "fy": view.K[1, 1], "cx": view.K[0, 2], "cy": view.K[1, 2]}
        lens = {"color": K | dict(zip(DISTORTION, LENS, strict=True)) | {"width": SIZE[0], "height": SIZE[1]}}
        for path, data in ((f"Date01/config/{k}/config.json", place), (f"intrinsics/{k}/calibration.json", lens)):
            (raw / "calibs" / path).parent.mkdir(parents=True, exist_ok=True)
            (raw / "calibs" / path).write_text(json.dumps(data))
    folder = raw / "sequences" / sequence
    world = []
    for i, x in enumerate(at_mm):
        snapshot = folder / f"t{3 + i:04d}.000"
        (snapshot / "person/fit02").mkdir(parents=True)
        smplh = np.concatenate([body_pose[:66], np.random.default_rng(i).normal(size=90)])  # with its fingers
        fit = {"pose": smplh, "betas": betas, "trans": trans + [x / 1000, 0, 0], "gender": "male"}
        (snapshot / "person/fit02/person_fit.pkl").write_bytes(pickle.dumps(fit, 2))
        openpose = pose(OPENPOSE, at=(x, 0)) @ Y_DOWN.T
        table = np.concatenate([openpose / 1000, np.ones((25, 1))], 1)
        table[0] = 0
        (snapshot / "person/person_J3d.json").write_text(json.dumps({"body_joints3d": table.ravel().tolist()}))
        joints = model.joints(body_pose, betas, fit["trans"])[0]
        world.append((joints, openpose))
        for k, view in enumerate(cameras):
            points = project(view, joints)
            image = picture(SIZE, 50 + 9 * i, points[SMPL_NAMES.index("lwri")])
            (snapshot / f"k{k}.color.jpg").write_bytes(encode_jpeg(image))
            left, top, width, height = box_of_points(points, 1.1).astype(int)
            mask = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
            mask[top : top + height, left : left + width] = 255
            (snapshot / f"k{k}.person_mask.jpg").write_bytes(encode_jpeg(mask))
    info = {"config": "../../calibs/Date01/config", "intrinsic": "../../calibs/intrinsics", "cat": "boxlarge"}
    info |= {"gender": "male", "empty": None, "kinects": [0, 1], "beta": None}
    (folder / "info.json").write_text(json.dumps(info))
    (raw / "split.json").write_text(json.dumps({"train": [SEQUENCE], "test": ["Date03_Sub03_x"]}))
    return world


def test_png_masks_come_first_and_three_kinects_are_the_rule(tmp_path, converted, body_models):
    write(tmp_path, body_models, at_mm=(0,))
    info_path = next(tmp_path.rglob("info.json"))
    info = json.loads(info_path.read_text())
    del info["kinects"]
    info_path.write_text(json.dumps(info))
    calibs = tmp_path / "calibs"
    for place in ("Date01/config", "intrinsics"):
        shutil.copytree(calibs / place / "1", calibs / place / "2")
    import cv2

    for path in sorted(tmp_path.rglob("k0.*mask.jpg")):
        cv2.imwrite(str(path.with_suffix(".png")), 0 * cv2.imread(str(path)))
    store = converted("behave", tmp_path, body_models=body_models)
    rows = rows_of(store)
    assert [r.image_key[-6:] for r in rows] == ["k0.jpg", "k1.jpg"]
    assert store.metadata["provenance"]["left_out"] == {"picture missing": 1}  # of the third Kinect
    png, jpg = (masks.decode(r.mask).mean() for r in rows)
    assert png == 0 and jpg > 0.1


def test_archives_unpacked_beside_the_splits_are_found(tmp_path, converted, body_models):
    write(tmp_path, body_models, at_mm=(0,))
    (tmp_path / "sequences" / SEQUENCE).rename(tmp_path / SEQUENCE)
    assert len(rows_of(converted("behave", tmp_path, body_models=body_models))) == 2
    archives = [f.path for f in get_dataset("behave").files if "Date" in f.path]
    assert len(archives) == 7 and all(p.startswith("sequences/") for p in archives)


def test_what_is_missingbehave(tmp_path, converted, body_models):
    world = write(tmp_path, body_models)
    write(tmp_path, body_models, sequence="Date03_Sub03_x", at_mm=(0,))
    store = converted("behave", tmp_path, body_models=body_models)
    assert store.splits == {"train": 4, "test": 2}
    names = store.skeleton.joint_names
    wrist = names.index("lwri_smpl")
    for row in rows_of(store):
        assert row.frame in (0, 2)  # frame 1 has moved by 60 mm only
        joints, openpose = world[row.frame]
        for i, name in enumerate(names):
            base, convention = name.rsplit("_", 1)
            given = joints[SMPL_NAMES.index(base)] if convention == "smpl" else openpose[OPENPOSE.index(base)]
            expected = np.full(3, np.nan) if name == "nose_coco" else given
            np.testing.assert_allclose(row.coords[i], expected, atol=0.05, err_msg=name)
        check_reprojection(row, joint=wrist, level=50 + 9 * row.frame)
        label = box_of_points(project(row.camera, row.coords))
        assert row.box_ltwh_px[3] == pytest.approx(1.05 * label[3], rel=0.05)
        assert 0.8 < masks.decode(row.mask).sum() / np.prod(label[2:]) < 1.6
    assert not verify(store.path).errors


def test_missing_parts_are_counted_or_named(tmp_path, converted, body_models):
    write(tmp_path, body_models)
    folder = tmp_path / "sequences" / SEQUENCE
    (folder / "t0003.000/person/fit02/person_fit.pkl").unlink()
    (folder / "t0004.000/k0.color.jpg").unlink()
    (folder / "t0005.000/person/person_J3d.json").unlink()
    store = converted("behave", tmp_path, body_models=body_models)
    left_out = store.metadata["provenance"]["left_out"]
    assert left_out["frame without a fit of the person"] == 1 and left_out["picture missing"] == 1
    (folder / "t0004.000/person/person_J3d.json").write_text("{}")
    with pytest.raises(UserError, match="person_J3d.json does not hold 25 joints"):
        converted("behave", tmp_path, body_models=body_models, out="other")
