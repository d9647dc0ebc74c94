"""SURREAL: MATLAB files, video and segmentation as its renderer made them, in a left-handed world."""

import shutil

import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from data_processing import masks, smpl
from data_processing.verify import verify
from metrabs_acae.errors import UserError

from ..body_models import SMPL_NAMES, standing
from ..people import check_reprojection, picture, rows_of, write_video
from .conftest import N_SMPL

WRIST = SMPL_NAMES.index("lwri")
CENTER = np.array([7.2, -0.9, 0.3])


def renderer_camera(points_m):
    """The pixels of the released (not mirrored) pictures, after the camera matrices that the authors publish."""
    world_to_blender = np.array([[0, 0, 1], [0, -1, 0], [-1, 0, 0.0]]).T
    to_image = np.diag([1.0, -1, -1]) @ world_to_blender
    x, y, z = ((points_m - CENTER) @ to_image.T).T
    return np.stack([600 * x / z + 160, 600 * y / z + 120], -1)


def write_clip(raw, body_models, *, part="train", n_frames=5, step_m=0.06, gender=0):
    """A person that moves along z by `step_m` a frame; poses in the motion capture's axes (z up)."""
    model = smpl.load_model(smpl.find_model(body_models, "smpl", "f"))
    pose, shape, _ = standing(n_vertices=N_SMPL)
    poses = np.tile(pose, (n_frames, 1))
    from_capture = Rotation.from_euler("x", 90, degrees=True)
    zrot = np.full(n_frames, 0.7)
    for i in range(n_frames):
        poses[i, :3] = (from_capture * Rotation.from_euler("y", i, degrees=True)).as_rotvec()
    turned = poses.copy()
    for i in range(n_frames):
        turned[i, :3] = (
            Rotation.from_euler("x", 90, degrees=True)
            * Rotation.from_euler("z", zrot[i])
            * Rotation.from_rotvec(poses[i, :3])
        ).as_rotvec()
    joints = model.joints(turned, shape) / 1000
    pelvis = np.stack([[0.2, -0.1, 0.1 + step_m * i] for i in range(n_frames)])
    world = joints - joints[:, :1] + pelvis[:, None]
    folder = raw / f"cmu/{part}/run0/01_01"
    folder.mkdir(parents=True, exist_ok=True)
    pictures, people = [], {}
    for i in range(n_frames):
        points = renderer_camera(world[i])
        pictures.append(picture((320, 240), 50 + 9 * i, points[WRIST]))
        body = np.zeros((240, 320), np.uint8)
        low, high = points.min(0).astype(int) - 4, points.max(0).astype(int) + 5
        body[low[1] : high[1], low[0] : high[0]] = 1 + i
        people[f"segm_{i + 1}"] = body
    write_video(folder / "01_01_c0001.mp4", pictures)
    scipy.io.savemat(folder / "01_01_c0001_segm.mat", people)
    info = {
        "pose": poses.T,
        "shape": np.tile(shape, (n_frames, 1)).T,
        "zrot": zrot[:, None],
        "joints3D": world.transpose(2, 1, 0),
        "joints2D": np.stack([renderer_camera(w) for w in world]).transpose(2, 1, 0),
        "camLoc": CENTER[:, None],
        "gender": np.full((n_frames, 1), gender),
    }
    scipy.io.savemat(folder / "01_01_c0001_info.mat", info)
    return world * 1000, people


def test_surreal(tmp_path, converted, body_models):
    world, people = write_clip(tmp_path, body_models)
    write_clip(tmp_path, body_models, part="val", n_frames=1, gender=1)
    write_clip(tmp_path, body_models, part="test", n_frames=2)
    store = converted("surreal", tmp_path, body_models=body_models)
    assert store.splits == {"train": 4, "test": 1}
    rows = rows_of(store)
    assert [(r.activity, r.frame) for r in rows] == [("train", 0), ("train", 2), ("train", 4), ("val", 0)]
    names = [n.removesuffix("_smpl") for n in store.skeleton.joint_names]
    for row in rows[:3]:
        np.testing.assert_allclose(row.coords, world[row.frame][[SMPL_NAMES.index(n) for n in names]], atol=0.05)
        check_reprojection(row, joint=names.index("lwri"), level=50 + 9 * row.frame)
        expected = people[f"segm_{row.frame + 1}"][:, ::-1] > 0
        np.testing.assert_array_equal(masks.decode(row.mask), expected)
        np.testing.assert_allclose(row.box_ltwh_px, masks.box_of(expected))
        np.testing.assert_allclose(row.camera.world_up, [0, -1, 0])
    assert not verify(store.path).errors


def test_monsters_are_left_out_unless_asked_for(tmp_path, converted, body_models):
    write_clip(tmp_path, body_models, n_frames=1)
    for name in ("18_03", "19_12", "143_21", "143_22"):
        shutil.copytree(tmp_path / "cmu/train/run0/01_01", tmp_path / "cmu/train/run0" / name)
    store = converted("surreal", tmp_path, body_models=body_models)
    assert [r.sequence.split("/")[2] for r in rows_of(store)] == ["01_01", "143_22"]
    everyone = converted("surreal", tmp_path, out="all", body_models=body_models, as_published=True)
    assert len(rows_of(everyone)) == 5


def test_what_is_missing_is_named(tmp_path, converted, body_models):
    write_clip(tmp_path, body_models, n_frames=2)
    with pytest.raises(UserError, match=r"SMPL \(female\) is missing in .*body_models/smpl"):
        converted("surreal", tmp_path)
    folder = tmp_path / "cmu/train/run0/01_01"
    scipy.io.savemat(folder / "01_01_c0001_segm.mat", {"segm_9": np.zeros((2, 2))})
    with pytest.raises(UserError, match="has no 'segm_1'"):
        converted("surreal", tmp_path, body_models=body_models)
    scipy.io.savemat(folder / "01_01_c0001_info.mat", {"pose": np.zeros((72, 2))})
    with pytest.raises(UserError, match="has no 'shape'"):
        converted("surreal", tmp_path, out="other", body_models=body_models)
