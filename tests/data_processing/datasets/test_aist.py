"""AIST++ from real pickles, camera files and MP4 videos of a stick person."""

import json
import pickle

import cv2
import numpy as np
import pytest

from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.datasets import aist
from metrabs_acae.errors import UserError

from ..people import camera, check_reprojection, picture, pose, turn_world, write_video

RAW_NAMES = aist.RAW_JOINTS[: aist.N_RAW]
SIZE = (640, 360)
Y_UP = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])
LENS = (-0.1, 0.05, 0.001, -0.001, 0.01)
SEQUENCE = "gBR_sBM_cAll_d04_mBR0_ch0"


def view(i):
    return turn_world(camera(10 + 60 * i, size_wh=SIZE, focal=560, distortion=LENS), Y_UP, (0, 1, 0))


def write(raw, sequences, *, folder="annotations", cameras=2, fps=60, ignored=()):
    """`sequences`: {"1": (split, x in each label frame)}; returns the raw joints [F, 17, 3] mm of each."""
    root = raw / folder
    for name in ("keypoints3d", "cameras", "splits"):
        (root / name).mkdir(parents=True, exist_ok=True)
    true, splits, mapping = {}, {"train": [], "val": [], "test": []}, []
    for number, (split, xs) in sequences.items():
        name = SEQUENCE + number
        splits[split].append(name)
        mapping.append(f"{name} setting1")
        points = true[name] = np.stack([pose(RAW_NAMES, at=(x, 0)) @ Y_UP.T for x in xs])
        with open(root / f"keypoints3d/{name}.pkl", "wb") as file:
            pickle.dump({"keypoints3d": points * 0, "keypoints3d_optim": points / 10}, file, protocol=3)
        for i in range(cameras):
            shown = [int(k * 60 / fps) for k in range(int(len(xs) * fps / 60))]
            pixels = project(view(i), points[:, RAW_NAMES.index("rwri")])
            pictures = [picture(SIZE, 40 + 4 * f, pixels[f]) for f in shown]
            write_video(raw / f"videos/{name.replace('cAll', f'c{i + 1:02d}')}.mp4", pictures, fps=fps)
    listed = [
        {
            **{"name": f"c{i + 1:02d}", "size": list(SIZE), "matrix": v.K.tolist(), "distortions": list(LENS)},
            "rotation": cv2.Rodrigues(v.R)[0].ravel().tolist(),
            "translation": (-v.R @ v.optical_center_mm / 10).tolist(),
        }
        for i, v in reversed([(i, view(i)) for i in range(cameras)])
    ]
    (root / "cameras/setting1.json").write_text(json.dumps(listed))
    (root / "cameras/mapping.txt").write_text("\n".join(mapping) + "\n")
    (root / "ignore_list.txt").write_text("".join(f"{SEQUENCE}{n}\n" for n in ignored))
    for split, names in splits.items():
        (root / f"splits/pose_{split}.txt").write_text("".join(f"{n}\n" for n in names))
    return true


def test_splits_sampling_joints_and_reprojection(tmp_path, converted):
    sequences = {
        "1": ("train", [0, 60, 120, 180]),
        "2": ("val", [0]),
        "3": ("test", [0]),
        "4": ("train", [0]),
    }
    true = write(tmp_path / "raw", sequences, ignored="4")
    store = converted("aist", tmp_path / "raw")
    assert store.splits == {"train": 6} and store.metadata["clean"]
    names = [n.split("_")[0] for n in store.skeleton.joint_names]
    wrist = names.index("rwri")
    rows = [store.row("train", i) for i in range(6)]
    assert {(r.sequence, r.frame) for r in rows} == {
        *((f"{SEQUENCE}1".replace("cAll", c), f) for c in ("c01", "c02") for f in (0, 2)),
        *((f"{SEQUENCE}2".replace("cAll", c), 0) for c in ("c01", "c02")),
    }
    for row in rows:
        points = true[row.sequence.replace(row.sequence[8:11], "cAll")][row.frame]
        by_name = dict(zip(RAW_NAMES, points, strict=True))
        by_name["neck"] = (by_name["lsho"] + by_name["rsho"]) / 2
        by_name["pelv"] = (by_name["lhip"] + by_name["rhip"]) / 2
        np.testing.assert_allclose(row.coords, [by_name[n] for n in names], atol=0.01)
        np.testing.assert_allclose(row.camera.world_up, [0, 1, 0])
        check_reprojection(row, joint=wrist, level=40 + 4 * row.frame)
        assert row.activity == "gBR"
        joints = box_of_points(project(row.camera, row.coords))
        assert row.box_ltwh_px[3] == pytest.approx(1.15 * joints[3], rel=0.06)


def test_frames_of_slower_videos_are_found_by_time(tmp_path, converted):
    # labels at 60 Hz, the video at 30: label 5 is shown by picture 2, which was taken at label 4
    write(tmp_path / "raw", {"1": ("train", [0, 0, 0, 0, 150, 150])}, folder="aist_plusplus_final", cameras=1, fps=30)
    store = converted("aist", tmp_path / "raw")
    rows = [store.row("train", i) for i in range(store.splits["train"])]
    assert [r.frame for r in rows] == [0, 4]
    check_reprojection(rows[1], joint=store.skeleton.joint_names.index("rwri_coco"), level=40 + 4 * 4)


def test_bad_files_are_named(tmp_path, converted):
    write(tmp_path / "raw", {"1": ("train", [0]), "2": ("test", [0])}, cameras=1)
    root = tmp_path / "raw/annotations"
    for name, data, message in (
        (f"keypoints3d/{SEQUENCE}1.pkl", pickle.dumps({"keypoints3d_optim": np.zeros((2, 5))}), "17 joints"),
        ("cameras/setting1.json", b'[{"name": "c01"}]', "does not hold cameras"),
        ("cameras/setting1.json", b"[]", "has no camera c01"),
        ("splits/pose_train.txt", b"", "No video in .* belongs to the pose splits"),
    ):
        saved = (root / name).read_bytes()
        (root / name).write_bytes(data)
        with pytest.raises(UserError, match=message):
            converted("aist", tmp_path / "raw")
        (root / name).write_bytes(saved)


def test_joints_are_held_against_the_keypoints_of_the_videos(tmp_path, converted):
    true = write(tmp_path / "raw", {"1": ("train", [0, 300, 600, 900])})[f"{SEQUENCE}1"]
    folder = tmp_path / "raw/annotations/keypoints2d"
    folder.mkdir()

    def keypoints(views):
        pixels = np.stack([project(v, true) for v in views])
        table = np.concatenate([pixels, np.ones((*pixels.shape[:3], 1))], -1)
        (folder / f"{SEQUENCE}1.pkl").write_bytes(pickle.dumps({"keypoints2d": table}))

    keypoints([view(0), view(1)])
    assert converted("aist", tmp_path / "raw").splits == {"train": 8}
    keypoints([view(1), view(0)])
    with pytest.raises(UserError, match="mBR0_ch01.pkl: .* the calibration is that of camera c02"):
        converted("aist", tmp_path / "raw", out="other")
    (folder / f"{SEQUENCE}1.pkl").write_bytes(pickle.dumps({"keypoints": 1}))
    with pytest.raises(UserError, match="does not hold keypoints of 17 joints"):
        converted("aist", tmp_path / "raw", out="third")
