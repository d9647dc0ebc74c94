"""SPEC-SYN: a table of people without places, whose pixels tell where they are."""

import json

import numpy as np
import pytest

from data_processing import smpl
from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.datasets.spec_syn import LIMBS, OPENPOSE, size_of
from data_processing.images import encode_jpeg
from data_processing.verify import verify
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

from ..body_models import SMPL_NAMES, standing
from ..people import check_reprojection, picture, rows_of
from .conftest import N_SMPL

SIZE = (640, 480)
K = np.array([[420.0, 0, 318], [0, 420, 243], [0, 0, 1]])
PITCH = np.array([[1, 0, 0], [0, np.cos(0.3), -np.sin(0.3)], [0, np.sin(0.3), np.cos(0.3)]])
VIEW = CameraParams(PITCH, np.zeros(3), K, None, (0, -1, 0))
PICTURE = "images/train/scene_a_0001.jpg"


def write(raw, body_models, *, places=((-0.6, 1.2, 4.0), (0.9, 1.4, 5.0))):
    """People beside each other in one picture; the labelled joints `S` are a tenth larger than SMPL's."""
    model = smpl.load_model(smpl.find_model(body_models, "smpl", "neutral"))
    table = {name: [] for name in ("imgname", "pose", "shape", "S", "openpose_gt", "cam_rotmat", "cam_int")}
    world, spots = [], []
    for i, place in enumerate(places):
        pose, shape, trans = standing(n_vertices=N_SMPL, at_m=place, seed=i)
        joints = model.joints(pose, shape, trans)[0]
        at = np.array(place) * 1000
        joints = at + 1.1 * (joints - at)
        # The labels' rotation is relative to the camera, whatever the place: any rotation that fits is found.
        points = np.zeros((25, 3))
        for j, name in enumerate(OPENPOSE):
            if name in SMPL_NAMES:
                points[j] = [*project(VIEW, joints[SMPL_NAMES.index(name)]), 1]
        limbs = np.stack([joints[SMPL_NAMES.index(n)] for n in LIMBS]) / 1000
        table["imgname"].append(PICTURE)
        table["pose"].append(pose)
        table["shape"].append(shape)
        table["S"].append(np.concatenate([limbs - limbs.mean(0), np.ones((12, 1))], 1))
        table["openpose_gt"].append(points)
        table["cam_rotmat"].append(PITCH)
        table["cam_int"].append(K)
        world.append(joints)
        spots.append(project(VIEW, joints[SMPL_NAMES.index("lwri")]))
    (raw / "annotations").mkdir(parents=True)
    np.savez(raw / "annotations/train.npz", **{k: np.array(v) for k, v in table.items()})
    (raw / PICTURE).parent.mkdir(parents=True)
    (raw / PICTURE).write_bytes(encode_jpeg(picture(SIZE, 70, spots)))
    return world


def test_spec_syn(tmp_path, converted, body_models):
    world = write(tmp_path, body_models)
    store = converted("spec", tmp_path, body_models=body_models)
    assert store.splits == {"train": 2} and store.realistic_background
    names = [n.removesuffix("_smpl") for n in store.skeleton.joint_names]
    for row in rows_of(store):
        expected = world[row.person][[SMPL_NAMES.index(n) for n in names]]
        np.testing.assert_allclose(row.coords, expected, atol=1.0)  # the place is the solution of a fit
        np.testing.assert_allclose(size_of(row.coords), size_of(expected), rtol=1e-4)
        check_reprojection(row, joint=names.index("lwri"), level=70)
        label = box_of_points(project(row.camera, row.coords))
        assert row.box_ltwh_px[3] == pytest.approx(1.15 * label[3], rel=0.08)
    assert not verify(store.path).errors


def test_with_a_detector_undetected_people_are_left_out(tmp_path, converted, body_models):
    world = write(tmp_path, body_models)
    left, top, width, height = box_of_points(project(VIEW, world[0]), 1.2)
    (tmp_path / "d.json").write_text(json.dumps({PICTURE: [[left, top, width, height, 0.9]]}))
    store = converted("spec", tmp_path, body_models=body_models, detector=f"json:{tmp_path / 'd.json'}")
    assert [r.person for r in rows_of(store)] == [0]
    assert store.metadata["provenance"]["left_out"] == {"no detection": 1}


def test_wrong_labels_are_refused(tmp_path, converted, body_models):
    write(tmp_path, body_models)
    path = tmp_path / "annotations/train.npz"
    held = dict(np.load(path))
    np.savez(path, **(held | {"imgname": np.array(["../x.jpg", PICTURE])}))
    with pytest.raises(UserError, match="outside of the raw folder"):
        converted("spec", tmp_path, body_models=body_models)
    np.savez(path, **(held | {"pose": held["pose"][:, :60]}))
    with pytest.raises(UserError, match="not a file of labels of SPEC-SYN"):
        converted("spec", tmp_path, body_models=body_models, out="other")
    np.savez(path, **{k: v for k, v in held.items() if k != "cam_int"})
    with pytest.raises(UserError, match="lacks the array cam_int"):
        converted("spec", tmp_path, body_models=body_models, out="third")
