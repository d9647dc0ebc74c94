"""BML-MoVi from real MATLAB structures, calibration archives and videos."""

import json

import numpy as np
import pytest
import scipy.io

from data_processing.__main__ import main
from data_processing.cameras import intrinsics, make_camera, project
from data_processing.datasets import bml_movi, bml_movi_phones
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, write_video

NAMES = get_skeleton("bmlmovi").joint_names
WRIST = NAMES.index("lwri_bmlmovi")
SIZE = (400, 300)
FPS = 30
RATIO = bml_movi.MOCAP_HZ // FPS


def markers_of(n_mocap, step_mm=15.0):
    """The person walks by `step_mm` a mocap frame, so 4 times that in a video frame."""
    return np.stack([pose(NAMES, at=(step_mm * i - 300, 0)) for i in range(n_mocap)])


def write_calibration(raw, view, name="PG1"):
    """MATLAB's conventions: row vectors, so everything transposed, and pixels counted from 1."""
    (raw / "Calib").mkdir(parents=True, exist_ok=True)
    radial = view.lens.coefficients[:2] or np.zeros(2)
    K = view.K + np.array([[0, 0, 1], [0, 0, 1], [0, 0, 0]])
    np.savez(raw / "Calib" / f"cameraParams_{name}.npz", IntrinsicMatrix=K.T, RadialDistortion=radial)
    t = -view.R @ view.optical_center_mm
    np.savez(raw / "Calib" / f"Extrinsics_{name}.npz", rotationMatrix=view.R.T, translationVector=t)


def write_video_of(path, view, markers, n_frames, size=SIZE):
    pictures = [picture(size, 50 + 5 * f, project(view, markers[RATIO * f, [WRIST]])) for f in range(n_frames)]
    write_video(path, pictures, fps=FPS, codec="mpeg4")


def write_round_f(raw, *, subject=3, markers=None):
    view = camera(30, size_wh=SIZE, distortion=(-0.1, 0.05))
    write_calibration(raw, view)
    markers = markers_of(21) if markers is None else markers
    released = np.where(np.isnan(markers), 0.0, markers)
    move = {"markerLocation": released, "virtualMarkerLocation": released[:, 67:], "motions_list": ["walking"]}
    folder = raw / "F_Subjects_1_45"
    folder.mkdir()
    scipy.io.savemat(folder / f"F_v3d_Subject_{subject}.mat", {f"Subject_{subject}_F": {"id": "x", "move": move}})
    write_video_of(raw / f"F_PG1_Subject_{subject}_L.avi", view, markers, 6)
    return view, markers


def rows_of(store):
    return [store.row("train", i) for i in range(store.splits["train"])]


def test_round_f(tmp_path, converted):
    markers = markers_of(21)
    markers[:, 10] = np.nan
    write_round_f(tmp_path / "raw", markers=markers)
    store = converted("bml_movi", tmp_path / "raw")
    rows = rows_of(store)
    assert [r.frame for r in rows] == [0, 2, 4]  # 60 mm a frame, kept from 100 mm on
    for row in rows:
        expected = markers[RATIO * row.frame]
        np.testing.assert_allclose(row.coords, expected, atol=0.01)
        check_reprojection(row, joint=WRIST, level=50 + 5 * row.frame)
    assert np.isnan(rows[0].coords).any(-1).sum() == 1
    assert rows[0].activity == "F" and rows[0].sequence == "F_PG1_Subject_3_L"


def test_negative_coordinates_are_no_missing_ones(tmp_path, converted):
    write_round_f(tmp_path / "raw", markers=markers_of(21) - [4000, 0, 0] + [4000, 0, 0])
    row = rows_of(converted("bml_movi", tmp_path / "raw"))[0]
    assert (row.coords[:, 0] < 0).any() and np.isfinite(row.coords).all()


def test_round_s_has_a_subset_of_markers(tmp_path, converted):
    raw = tmp_path / "raw"
    view = camera(30, size_wh=SIZE)
    write_calibration(raw, view, "PG2")
    markers = markers_of(9)
    released = np.full((len(markers), 17, 3), 77.0)
    released[:, bml_movi.S_ROUND_RAW] = markers[:, bml_movi.S_ROUND_MARKERS]
    moves = np.empty((1, 2), object)
    moves[0] = [{"markerLocation": np.zeros((9, 17, 3))}, {"markerLocation": released}]
    (raw / "S").mkdir()
    scipy.io.savemat(raw / "S" / "S_v3d_Subject_8.mat", {"Subject_8_S": {"move": moves}})
    write_video_of(raw / "S2_PG2_Subject_8_L.avi", view, markers, 3)
    row = rows_of(converted("bml_movi", raw))[0]
    known = np.isfinite(row.coords).all(-1)
    assert np.flatnonzero(known).tolist() == list(bml_movi.S_ROUND_MARKERS)
    np.testing.assert_allclose(row.coords[known], markers[0][known], atol=0.01)


def test_phones_are_used_once_calibrated(tmp_path, converted):
    raw = tmp_path / "raw"
    _, markers = write_round_f(raw)
    K = bml_movi.PHONE_K
    level = camera(-20, size_wh=(1920, 1080))
    phone = make_camera(level.R, level.optical_center_mm, K)
    write_video_of(raw / "F_CP1_Subject_3.mp4", phone, markers, 4, size=(1920, 1080))
    assert all(r.sequence.startswith("F_PG1") for r in rows_of(converted("bml_movi", raw)))
    t = (-phone.R @ phone.optical_center_mm).tolist()
    entry = {"time_offset_s": 0.0, "cameras": {"0": {"R": phone.R.tolist(), "t_mm": t}}}
    (raw / "Calib" / "phones.json").write_text(json.dumps({"F_CP1_3": entry}))
    rows = [r for r in rows_of(converted("bml_movi", raw, out="b")) if r.sequence == "F_CP1_Subject_3"]
    assert [r.frame for r in rows] == [0, 2]
    for row in rows:
        check_reprojection(row, joint=WRIST)


def test_a_tilted_camera_is_left_out(tmp_path, converted):
    raw = tmp_path / "raw"
    view, _ = write_round_f(raw)
    angle = np.radians(10)
    roll = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    write_calibration(raw, make_camera(roll @ view.R, view.optical_center_mm, view.K))
    with pytest.raises(UserError, match="no example was found"):
        converted("bml_movi", raw)


def test_interpolation_in_time():
    markers = np.arange(9.0)[:, None, None] * np.ones((1, 87, 3))
    found = bml_movi.interpolate(markers, 4, 50.0, 0.01)[:, 0, 0]
    assert np.isnan(found[0])
    np.testing.assert_allclose(found[1:], (np.arange(1, 4) / 50 - 0.01) * 120)


def test_bad_files(tmp_path, converted):
    raw = tmp_path / "raw"
    write_round_f(raw)
    (raw / "Calib" / "Extrinsics_PG1.npz").unlink()
    with pytest.raises(UserError, match="lacks a readable calibration of PG1"):
        converted("bml_movi", raw)
    (raw / "F_Subjects_1_45" / "F_v3d_Subject_3.mat").unlink()
    write_calibration(raw, make_camera(np.eye(3), np.zeros(3), intrinsics(1, 1, 0, 0)))
    with pytest.raises(UserError, match="F_v3d_Subject_3.mat is nowhere in"):
        converted("bml_movi", raw)


def acting(n_mocap):
    """Someone who stands still, then walks to and fro and swings an arm, at 120 Hz."""
    time_s = np.arange(n_mocap) / bml_movi.MOCAP_HZ
    start = np.maximum(0, time_s - 1.0)
    x, swing = 500 * np.sin(2.1 * start), 300 * np.sin(3.3 * start)
    return np.stack([pose(NAMES, at=(a, 0), swing_mm=b) for a, b in zip(x, swing, strict=True)])


@pytest.mark.parametrize("offset_s", [0.4, 12.3])
def test_a_phone_is_calibrated_from_predictions(offset_s):
    """Predictions of MoVi's joints in another frame of reference, noisy; the video begins before the capture."""
    markers = acting(600)
    view = camera(25, size_wh=(1920, 1080))
    phone = make_camera(view.R, view.optical_center_mm, bml_movi.PHONE_K)
    n_frames = int((offset_s + 4.9) * 30)
    true = bml_movi.interpolate(markers[:, bml_movi_phones.JOINTS], n_frames, 30, offset_s)
    rng = np.random.default_rng(0)
    still = np.isnan(true).all((1, 2))
    filled = np.where(still[:, None, None], markers[0, bml_movi_phones.JOINTS], true)
    predicted3d = filled @ phone.R.T + rng.normal(0, 10, filled.shape)
    predicted2d = project(phone, filled) + rng.normal(0, 1, (*filled.shape[:2], 2))
    predicted2d[::7, 3] += 200  # some are wrong
    found = bml_movi_phones.calibrate(markers, predicted3d, predicted2d, 30.0, moving=False)
    assert found["time_offset_s"] == pytest.approx(offset_s, abs=0.02)
    center = -np.transpose(found["cameras"]["0"]["R"]) @ found["cameras"]["0"]["t_mm"]
    np.testing.assert_allclose(center, phone.optical_center_mm, atol=40)


def test_a_hand_held_phone_gets_a_camera_per_frame_and_strangers_are_refused():
    markers = acting(240)
    n_frames = 40
    true = bml_movi.interpolate(markers[:, bml_movi_phones.JOINTS], n_frames, 30, 0.0)
    views = [camera(10 + 0.2 * i, size_wh=(1920, 1080)) for i in range(n_frames)]
    phones = [make_camera(v.R, v.optical_center_mm, bml_movi.PHONE_K) for v in views]
    predicted2d = np.stack([project(p, t) for p, t in zip(phones, true, strict=True)])
    predicted2d[5, 2:] = np.nan
    found = bml_movi_phones.calibrate(markers, true, predicted2d, 30.0, moving=True)["cameras"]
    assert len(found) == n_frames and found["5"] is None
    center = -np.transpose(found["20"]["R"]) @ found["20"]["t_mm"]
    np.testing.assert_allclose(center, phones[20].optical_center_mm, atol=60)  # the offset is found to 1/240 s
    noise = np.random.default_rng(0).normal(0, 400, true.shape)
    with pytest.raises(UserError, match="differ by"):
        bml_movi_phones.find_offset(markers[:, bml_movi_phones.JOINTS], noise, 30.0)


def test_the_command_for_phones(tmp_path, capsys):
    raw = tmp_path / "raw"
    _, markers = write_round_f(raw, markers=acting(241))
    view = camera(-20, size_wh=(1920, 1080))
    phone = make_camera(view.R, view.optical_center_mm, bml_movi.PHONE_K)
    write_video_of(raw / "F_CP1_Subject_3.mp4", phone, markers, 3, size=(1920, 1080))
    true = bml_movi.interpolate(markers[:, bml_movi_phones.JOINTS], 60, FPS, 0.0)
    np.savez(tmp_path / "F_CP1_Subject_3.npz", poses3d=true, poses2d=project(phone, true))
    assert main(["movi-phones", "--raw", str(raw), "--predictions", str(tmp_path)]) == 0
    assert "1 of 1 videos" in capsys.readouterr().out
    assert set(json.loads((raw / "Calib/phones.json").read_text())) == {"F_CP1_3"}
    assert main(["movi-phones", "--raw", str(raw), "--predictions", str(tmp_path)]) == 0
    (raw / "Calib/phones.json").unlink()
    assert main(["movi-phones", "--raw", str(raw), "--predictions", str(tmp_path / "none")]) == 0
    assert "left out" in capsys.readouterr().err
