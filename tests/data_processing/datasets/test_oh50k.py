"""3DOH50K from its JSON labels, pictures and PNG masks."""

import json

import cv2
import numpy as np
import pytest

from data_processing.boxes import box_of_points
from data_processing.cameras import project, to_camera
from data_processing.datasets.oh50k import N_JOINTS
from data_processing.images import encode_jpeg
from data_processing.verify import verify
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, rows_of

NAMES = get_skeleton("3doh").joint_names
WRIST = NAMES.index("rwri_3doh")
SIZE = (640, 480)


def write(raw, subset, n):
    """People at 300 mm from each other, each seen by another camera; the labels are in its frame, 1000/7 mm."""
    labels = {}
    (raw / subset / "images").mkdir(parents=True)
    (raw / subset / "masks").mkdir()
    for i in range(n):
        view, world = camera(10 + 40 * i), pose(NAMES, at=(300 * i, 0))
        extrinsics = np.eye(4)
        extrinsics[:3, :3], extrinsics[:3, 3] = view.R, -view.R @ view.optical_center_mm / 1000
        points = project(view, world)
        left, top, width, height = box_of_points(points, 1.1).round()
        labels[f"{i:05d}"] = {
            "lsp_joints_3d": (to_camera(view, world) * 7 / 1000).tolist(),
            "lsp_joints_2d": points.tolist(),
            "extri": extrinsics.tolist(),
            "intri": view.K.tolist(),
            "bbox": [[left, top], [left + width, top + height]],
        }
        (raw / subset / f"images/{i:05d}.jpg").write_bytes(encode_jpeg(picture(SIZE, 50 + 9 * i, points[WRIST])))
        mask = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        mask[int(top) : int(top + height), int(left) : int(left + width)] = 255
        if subset == "trainset":
            cv2.imwrite(str(raw / subset / f"masks/{i:05d}.png"), mask)
    (raw / subset / "annots.json").write_text(json.dumps(labels))


def test_3doh50k(tmp_path, converted):
    write(tmp_path, "trainset", 2)
    write(tmp_path, "testset", 1)
    store = converted("3doh", tmp_path)
    assert store.splits == {"train": 2, "test": 1} and N_JOINTS == store.skeleton.n_joints
    for row in [*rows_of(store), *rows_of(store, "test")]:
        np.testing.assert_allclose(row.coords, pose(NAMES, at=(300 * row.frame, 0)), atol=0.01)
        check_reprojection(row, joint=WRIST, level=50 + 9 * row.frame)
        joints = box_of_points(project(row.camera, row.coords))
        assert 1.05 < row.box_ltwh_px[3] / joints[3] < 1.2
        assert row.camera.world_up @ [0, 0, 1] > 0.9  # cameras look down a little
        assert (row.mask is not None) == (row.image_key.startswith("trainset"))
    assert not verify(store.path).errors


def test_broken_labels_and_missing_masks_are_named(tmp_path, converted):
    write(tmp_path, "trainset", 1)
    (tmp_path / "trainset/masks/00000.png").unlink()
    with pytest.raises(UserError, match=r"masks/00000\.png cannot be read"):
        converted("3doh", tmp_path)
    labels = json.loads((tmp_path / "trainset/annots.json").read_text())
    del labels["00000"]["extri"]
    (tmp_path / "trainset/annots.json").write_text(json.dumps(labels))
    with pytest.raises(UserError, match=r"annots\.json: 00000 is not a label.*extri"):
        converted("3doh", tmp_path, out="other")
