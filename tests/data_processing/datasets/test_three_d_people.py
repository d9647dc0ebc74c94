"""3DPeople from JPEG, PNG and text files in the layout of the authors' drawing program."""

import cv2
import numpy as np
import pytest

from data_processing import boxes, masks
from data_processing.cameras import make_camera, project
from data_processing.datasets import three_d_people
from data_processing.images import encode_jpeg
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose

NAMES = get_skeleton("3dpeople").joint_names
WRIST = NAMES.index("rwri_3dpeople")
SIZE = (640, 480)
CLIP = "woman17/02_04_jump"
LOOKS = "wpskin08_bottom70_glasses01"


def view(i):
    made = camera(20 + 90 * i, size_wh=SIZE)
    return make_camera(made.R, made.optical_center_mm, three_d_people.K, world_up=(0, 0, 1))


def write(raw, xs, *, cameras=2, finger_mm=None):
    """The person's x in each frame; `finger_mm` moves one of the joints that are not stored. Returns the 29 joints."""
    fingers = np.random.default_rng(0).normal(size=(three_d_people.N_RAW, 3)) * 40 + [300, -100, 800]
    true = []
    for frame, x in enumerate(xs):
        points = fingers + [x, 0, 0]
        points[20] += [0, 0, finger_mm[frame] if finger_mm else 0]
        points[list(three_d_people.RAW_JOINTS)] = pose(NAMES, at=(x, 0))
        true.append(points[list(three_d_people.RAW_JOINTS)])
        for i in range(cameras):
            name, number = f"{CLIP}/camera{i + 1:02d}", f"{frame + 1:04d}"
            for folder in (f"rgb/{name}/{LOOKS}", f"skeleton/{name}", f"segmentation_clothes/{name}"):
                (raw / folder).mkdir(parents=True, exist_ok=True)
            pixels = project(view(i), points)
            body = pixels[list(three_d_people.RAW_JOINTS)]
            image = picture(SIZE, 40 + 4 * frame, body[WRIST])
            (raw / f"rgb/{name}/{LOOKS}/{number}.jpg").write_bytes(encode_jpeg(image))
            depth = np.zeros((len(points), 1))
            np.savetxt(raw / f"skeleton/{name}/{number}.txt", np.hstack([pixels, depth, points / 100]), fmt="%.6f")
            clothes = np.full((*SIZE[::-1], 3), 153, np.uint8)
            left, top, width, height = np.round(boxes.box_of_points(body, 1.05)).astype(int)
            clothes[max(0, top) : top + height, max(0, left) : left + width] = (153, 153, 40)
            clothes[:5] = 160  # within the tolerance
            cv2.imwrite(str(raw / f"segmentation_clothes/{name}/{number}.png"), clothes)
    (raw / f"skeleton/{CLIP}/camera01/0000.txt").write_text("no picture has this number")
    return np.array(true)


def test_joints_masks_and_fitted_cameras(tmp_path, converted):
    true = write(tmp_path / "raw", [0, 60, 120])
    store = converted("3dpeople", tmp_path / "raw")
    assert store.skeleton.joint_names == NAMES
    rows = [store.row("train", i) for i in range(store.splits["train"])]
    assert [(r.sequence, r.frame) for r in rows] == [(f"{CLIP}/camera0{c}", f) for c in (1, 2) for f in (1, 3)]
    for row in rows:
        np.testing.assert_allclose(row.coords, true[row.frame - 1], atol=0.01)
        np.testing.assert_allclose(row.camera.world_up, [0, 0, 1])
        check_reprojection(row, joint=WRIST, level=40 + 4 * (row.frame - 1))
        made = view(int(row.sequence[-1]) - 1)
        np.testing.assert_allclose(row.camera.optical_center_mm, made.optical_center_mm, atol=1)
        assert boxes.iou(masks.box_of(masks.decode(row.mask)), row.box_ltwh_px) > 0.93
        joints = boxes.box_of_points(project(row.camera, row.coords))
        assert row.box_ltwh_px[3] == pytest.approx(1.05 * joints[3], rel=0.05)
        assert row.activity == "02_04_jump"


def test_any_of_the_67_joints_counts_as_motion(tmp_path, converted):
    write(tmp_path / "raw", [0, 0, 0], cameras=1, finger_mm=[0, 120, 130])
    store = converted("3dpeople", tmp_path / "raw")
    assert [store.row("train", i).frame for i in range(store.splits["train"])] == [1, 2]


def test_bad_files_are_named(tmp_path, converted):
    write(tmp_path / "raw", [0], cameras=1)
    path = tmp_path / "raw" / f"skeleton/{CLIP}/camera01/0001.txt"
    path.write_text("1 2 3 4 5\n")
    with pytest.raises(UserError, match=r"0001.txt does not hold 67 joints"):
        converted("3dpeople", tmp_path / "raw")
    (tmp_path / "raw/segmentation_clothes").rename(tmp_path / "raw/clothes")
    with pytest.raises(UserError, match="segmentation_clothes is missing"):
        converted("3dpeople", tmp_path / "raw")
