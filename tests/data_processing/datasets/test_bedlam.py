"""BEDLAM: label files, pictures (a close-up lying on its side) and environment masks in its layout."""

import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_processing import masks, smpl
from data_processing.boxes import box_of_points
from data_processing.cameras import intrinsics, project
from data_processing.smpl.points import SMPLX_42
from data_processing.verify import verify
from metrabs_acae.errors import UserError

from ..body_models import SMPL_NAMES, standing
from ..people import check_reprojection, picture, rows_of
from .conftest import N_SMPLX

SCENE, CLOSE = "20221010_3_1000_batch01hand_6fps", "20221020_3-8_250_batch01handclose_archviz_6fps"
SIZES = {SCENE: (640, 360), CLOSE: (360, 640)}
LEAN = Rotation.from_euler("xz", [-12, 5], degrees=True).as_matrix()
WRIST = SMPL_NAMES.index("lwri")


def write(raw, body_models, *, scenes=(SCENE, CLOSE), steps_m=(0, 0.06, 0.12), damage=None):
    """A person 4 m in front of a leaning camera, who moves to the right; returns the joints in the camera's frame."""
    neutral = Path(body_models) / "smplx/SMPLX_NEUTRAL.npz"
    if not neutral.exists():
        shutil.copy(neutral.with_name("SMPLX_FEMALE.npz"), neutral)
    model = smpl.load_model(neutral)
    pose, betas, _ = standing("smplx", n_vertices=N_SMPLX)
    rng = np.random.default_rng(0)
    pose = np.concatenate([pose[:75], rng.normal(size=90) * 0.2])
    upright = Rotation.from_rotvec(pose[:3])
    pose[:3] = (Rotation.from_matrix(LEAN) * upright).as_rotvec()  # in the camera's frame
    truth = {}
    for scene in scenes:
        width, height = SIZES[scene]
        K = intrinsics(500, 500, width / 2, height / 2)
        rows = {
            n: [] for n in ("imgname", "pose_cam", "shape", "trans_cam", "cam_ext", "cam_int", "gtkps", "sub", "gender")
        }
        for i, x in enumerate(steps_m):
            extrinsics = np.eye(4)
            extrinsics[:3, :3], extrinsics[:3, 3] = LEAN, [0.3, -0.2, 4.0]
            trans = LEAN @ [x, 0.9, 0]
            joints = model.joints(pose, betas, trans + extrinsics[:3, 3])[0]
            points = np.zeros((127, 3))
            points[:55] = joints
            flat = points.copy()
            flat[55:] = joints[15]
            pixels = flat[:, :2] / flat[:, 2:] @ K[:2, :2].T + K[:2, 2]
            name = f"seq_000003/seq_000003_{5 * i:04d}.png"
            truth[scene, 5 * i] = joints
            image = picture((width, height), 60 + 9 * i, pixels[WRIST])
            mask = np.full((height, width, 3), 255, np.uint8)
            left, top, w, h = np.round(box_of_points(pixels[:55], 1.1)).astype(int)
            mask[max(0, top) : top + h, max(0, left) : left + w] = 0
            if scene == CLOSE:
                image, mask = np.rot90(image), np.rot90(mask)
            folders = (raw / scene / "png" / name, raw / scene.removesuffix("_6fps") / "masks" / name)
            for path, picture_, ending in zip(folders, (image, mask), (".png", "_env.png"), strict=True):
                path.parent.mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(path).replace(".png", ending), np.ascontiguousarray(picture_[..., ::-1]))
            values = (name, pose, betas[:10], trans, extrinsics, K, pixels, "rp_aaron_posed_002", "male")
            for key, value in zip(rows, values, strict=True):
                rows[key].append(value)
        arrays = {k: np.array(v) for k, v in rows.items()}
        arrays["gtkps"][:, 55:] = np.nan  # vertices, whose places this fixture does not know
        if damage:
            damage(arrays)
        (raw / "labels").mkdir(exist_ok=True, parents=True)
        np.savez(raw / f"labels/{scene}.npz", **arrays)
    return truth


def test_bedlam(tmp_path, converted, body_models):
    truth = write(tmp_path, body_models)
    store = converted("bedlam", tmp_path, body_models=body_models)
    rows = rows_of(store)
    assert [(r.sequence.split("/")[0], r.frame) for r in rows] == [(s, f) for s in (SCENE, CLOSE) for f in (0, 10)]
    names = [n.removesuffix("_smplx") for n in store.skeleton.joint_names]
    for row in rows:
        joints = truth[row.sequence.split("/")[0], row.frame]
        for place, raw_index in enumerate(SMPLX_42):
            if raw_index < 55:
                np.testing.assert_allclose(LEAN @ row.coords[place], joints[raw_index], atol=0.05)
        np.testing.assert_allclose(row.camera.world_up, [0, -1, 0])
        head, foot = row.coords[names.index("head")], row.coords[names.index("lank")]
        assert (foot - head)[1] > 1000  # upright in the world, y down
        check_reprojection(row, joint=names.index("lwri"), level=60 + 9 * row.frame // 5)
        mask = masks.decode(row.mask)
        assert 0.05 < mask.mean() < 0.9
        inside = project(row.camera, row.coords).round().astype(int)
        inside = inside[((inside >= 0) & (inside < np.array(mask.shape[::-1]))).all(1)]
        assert mask[inside[:, 1], inside[:, 0]].mean() > 0.9
    assert not verify(store.path).errors


def test_labels_are_held_against_their_pixels(tmp_path, converted, body_models):
    def forget_the_camera(arrays):
        arrays["cam_ext"][:, :3, 3] += [0.5, 0, 0]

    write(tmp_path, body_models, scenes=(SCENE,), damage=forget_the_camera)
    with pytest.raises(UserError, match=rf"labels/{SCENE}.npz: in frames 0 to 10 the 3D labels project"):
        converted("bedlam", tmp_path, body_models=body_models)


def test_what_is_missing_is_named(tmp_path, converted, body_models):
    write(tmp_path, body_models, scenes=(SCENE,))
    with pytest.raises(UserError, match=r"SMPL-X \(neutral\) is missing"):
        converted("bedlam", tmp_path)
    for path in tmp_path.rglob("*_env.png"):
        path.unlink()
    store = converted("bedlam", tmp_path, body_models=body_models)
    assert all(r.mask is None for r in rows_of(store))
    next((tmp_path / SCENE).rglob("*0000.png")).unlink()
    with pytest.raises(UserError, match=r"seq_000003_0000.png cannot be read"):
        converted("bedlam", tmp_path, out="other", body_models=body_models)
    np.savez(tmp_path / f"labels/{SCENE}.npz", imgname=np.array(["x.png"]))
    with pytest.raises(UserError, match="lacks the array pose_cam"):
        converted("bedlam", tmp_path, out="third", body_models=body_models)
