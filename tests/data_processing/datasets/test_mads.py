"""MADS: a fixture in its layout and formats."""

import cv2
import numpy as np
import pytest
import scipy.io

from data_processing.boxes import box_of_points
from data_processing.cameras import project
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, rows_of, turn_world, write_video

NAMES = get_skeleton("mads").joint_names
NAMES_15 = "neck,pelv,lhip,lkne,lank,rhip,rkne,rank,lsho,lelb,lwri,rsho,relb,rwri,head".split(",")
WRIST = NAMES.index("rwri_mads")
SIZE = (320, 240)
TO_RAW = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])  # z up -> y up
DISTORTION = (-0.2, 0.1, 0.001, -0.001, 0.01)


def view(number):
    made = camera(30 + 60 * number, size_wh=SIZE, focal=330, distance_mm=4000, distortion=DISTORTION)
    return turn_world(made, TO_RAW, (0, 1, 0))


def write(raw, sport="HipHop", recording="HipHop1", *, labels=None, names=NAMES, cameras=2):
    """`labels`: [J, 3] per frame in the fixture's world, NaN = missing; one picture each."""
    if labels is None:
        labels = [pose(names, at=(60.0 * i, 0)) for i in range(4)]
    folder = raw / "multi_view_data" / sport
    folder.mkdir(parents=True)
    cells = np.empty((1, len(labels)), object)
    for i, points in enumerate(labels):
        cells[0, i] = points @ TO_RAW.T
    scipy.io.savemat(folder / f"{sport}_{recording}_GT.mat", {"GTpose2": cells})
    wrist = [n.split("_")[0] for n in names].index("rwri")
    for number in range(cameras):
        seen = view(number)
        rotation = cv2.Rodrigues(seen.R)[0]
        translation = -seen.R @ seen.optical_center_mm
        calibration = {
            "om_ext": rotation,
            "T_ext": translation[:, None],
            "KK": seen.K,
            "kc": np.c_[DISTORTION].reshape(5, 1),
        }
        scipy.io.savemat(folder / f"Calib_Cam{number}.mat", calibration)
        pictures = [picture(SIZE, 40 + 8 * i, project(seen, p[wrist] @ TO_RAW.T)) for i, p in enumerate(labels)]
        write_video(folder / f"{sport}_{recording}_C{number}.avi", pictures, fps=15)


def test_moving_people_are_kept(tmp_path, converted):
    labels = [pose(NAMES, at=(x, 0)) for x in (0, 60, 60, 120, 170)]
    labels[2][:] = np.nan
    labels[0][NAMES.index("lhan_mads")] = labels[3][NAMES.index("lhan_mads")] = np.nan
    write(tmp_path / "raw", labels=labels)
    store = converted("mads", tmp_path / "raw")
    assert store.skeleton.joint_names == NAMES
    rows = rows_of(store)
    # frame 1 shows a hand that frame 0 lacked; since then frame 3 has moved by 60 mm, frame 4 by 110
    assert [r.frame for r in rows] == [0, 1, 4] * 2
    for row in rows:
        np.testing.assert_allclose(row.coords, labels[row.frame] @ TO_RAW.T, atol=0.01)
        np.testing.assert_allclose(row.camera.world_up, [0, 1, 0])
        check_reprojection(row, joint=WRIST, level=40 + 8 * row.frame)
        joints = box_of_points(project(row.camera, row.coords))
        assert row.box_ltwh_px[3] == pytest.approx(1.2 * joints[3], rel=0.1)
    assert rows[0].sequence == "HipHop_HipHop1" and rows[0].activity == "HipHop"


def test_recordings_of_15_joints_lack_hands_and_toes(tmp_path, converted):
    write(tmp_path / "raw", "Taichi", "Taichi_S1", labels=[pose(NAMES_15)], names=NAMES_15, cameras=1)
    (row,) = rows_of(converted("mads", tmp_path / "raw"))
    missing = [n.split("_")[0] for n, p in zip(NAMES, row.coords, strict=True) if np.isnan(p).any()]
    assert missing == ["ltoe", "rtoe", "lhan", "rhan"]
    expected = pose([n.split("_")[0] for n in NAMES]) @ TO_RAW.T
    known = np.isfinite(row.coords).all(-1)
    np.testing.assert_allclose(row.coords[known], expected[known], atol=0.01)
    check_reprojection(row, joint=WRIST)


def test_damaged_files_are_named(tmp_path, converted):
    raw = tmp_path / "raw"
    with pytest.raises(UserError, match=r"no multi_view_data/.*Calib_Cam"):
        converted("mads", tmp_path)
    write(raw, cameras=1)
    folder = raw / "multi_view_data" / "HipHop"
    scipy.io.savemat(folder / "HipHop_HipHop1_GT.mat", {"GTpose2": np.zeros((3, 3))})
    with pytest.raises(UserError, match=r"frame 0 has shape \(3, 3\), expected \(15, 3\) or \(19, 3\)"):
        converted("mads", raw)
    (folder / "Calib_Cam0.mat").unlink()
    with pytest.raises(UserError, match="Calib_Cam0.mat is missing"):
        converted("mads", raw)
