"""FIT3D, CHI3D and HumanSC3D from JSON and MP4 files in the layout of the authors' tools."""

import json

import numpy as np
import pytest

from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.datasets import imar
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, write_video

NAMES = get_skeleton("h36m").joint_names
WRIST = NAMES.index("rwri_h36m")
SIZE = (450, 450)
LENS = (-0.145, 0.112, -0.0008, 0.0006, 0.0034)


def view(i):
    return camera(20 + 80 * i, size_wh=SIZE, focal=520, distortion=LENS)


def write(raw, name, people, *, action="squat", cameras=2, video_frames=None):
    """`people`: each one's x (mm) in every frame, at y = 600 mm times its number. Returns their poses [P, F, 25, 3]."""
    true = np.stack([[pose(NAMES, at=(x, 600 * i)) for x in xs] for i, xs in enumerate(people)])
    raw_order = true[:, :, [NAMES.index(f"{j}_h36m") for j in imar.RAW_JOINTS]]
    folder = raw / "train/s03"
    (folder / "joints3d_25").mkdir(parents=True, exist_ok=True)
    labels = (raw_order if len(people) > 1 else raw_order[0]) / 1000
    (folder / f"joints3d_25/{action}.json").write_text(json.dumps({"joints3d_25": labels.round(7).tolist()}))
    for i in range(cameras):
        made = view(i)
        path = folder / f"camera_parameters/{imar.CAMERAS[i]}/{action}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        K, d = made.K, made.lens.coefficients
        lens = {"f": [[K[0, 0], K[1, 1]]], "c": [[K[0, 2], K[1, 2]]]}
        parameters = {
            "extrinsics": {"R": made.R.tolist(), "T": [(made.optical_center_mm / 1000).tolist()]},
            "intrinsics_w_distortion": {**lens, "k": [[d[0], d[1], d[4]]], "p": [[d[2], d[3]]]},
            "intrinsics_wo_distortion": {"f": [[1.0, 1.0]], "c": [[0.0, 0.0]]},
        }
        path.write_text(json.dumps(parameters))
        n_frames = video_frames or true.shape[1]
        frames = [picture(SIZE, 40 + 4 * f, project(made, true[:, f, WRIST])) for f in range(n_frames)]
        write_video(folder / f"videos/{imar.CAMERAS[i]}/{action}.mp4", frames, fps=50)
    info = {
        "train_subj_names": ["s03"], "test_subj_names": ["s02"], "all_camera_names": list(imar.CAMERAS[:cameras]),
        "subj_to_act": {"s03": [action], "s02": [action]},
    }  # fmt: skip
    (raw / f"{name}_info.json").write_text(json.dumps(info))
    return true


def rows_of(store):
    assert set(store.splits) == {"train"}
    return [store.row("train", i) for i in range(store.splits["train"])]


def test_one_person(tmp_path, converted):
    # 40 mm a frame and back: frames 0 and 3 are new (120 mm), the way back repeats poses that were kept
    true = write(tmp_path / "raw", "fit3d", [[0, 40, 80, 120, 80, 40, 0]])
    store = converted("fit3d", tmp_path / "raw")
    assert store.skeleton.joint_names == NAMES and store.name == "fit3d"
    rows = rows_of(store)
    assert [(r.sequence, r.frame) for r in rows] == [(f"s03/squat.{c}", f) for c in imar.CAMERAS[:2] for f in (0, 3)]
    for row in rows:
        np.testing.assert_allclose(row.coords, true[0, row.frame], atol=0.01)
        np.testing.assert_allclose(row.camera.world_up, [0, 0, 1])
        check_reprojection(row, joint=WRIST, level=40 + 4 * row.frame)
        assert row.activity == "squat"
        assert row.box_ltwh_px[3] == pytest.approx(1.2 * box_of_points(project(row.camera, row.coords))[3], rel=0.06)


def test_poses_of_200_hz_belong_to_every_fourth_picture(tmp_path, converted):
    write(tmp_path / "raw", "fit3d", [[0, 9, 9, 9, 150, 9, 9, 9, 300, 9, 9, 9]], cameras=1)
    frames = [picture(SIZE, 40 + 4 * f, project(view(0), pose(NAMES, at=(150 * f, 0))[WRIST])) for f in range(3)]
    write_video(tmp_path / f"raw/train/s03/videos/{imar.CAMERAS[0]}/squat.mp4", frames, fps=50)
    rows = rows_of(converted("fit3d", tmp_path / "raw"))
    assert [r.frame for r in rows] == [0, 1, 2]
    for row in rows:
        np.testing.assert_allclose(row.coords, pose(NAMES, at=(150 * row.frame, 0)), atol=0.01)
        check_reprojection(row, joint=WRIST, level=40 + 4 * row.frame)


def test_two_people_are_sampled_apart_and_told_apart(tmp_path, converted):
    true = write(tmp_path / "raw", "chi3d", [[-700] * 4, [0, 50, 100, 150]], action="Grab 4", cameras=1)
    rows = rows_of(converted("chi3d", tmp_path / "raw"))
    assert [(r.frame, r.person) for r in rows] == [(0, 0), (0, 1), (2, 1)]
    for row in rows:
        np.testing.assert_allclose(row.coords, true[row.person, row.frame], atol=0.01)
        check_reprojection(row, joint=WRIST, level=40 + 4 * row.frame)


def test_detections_give_the_boxes_one_to_one(tmp_path, converted):
    true = write(tmp_path / "raw", "humansc3d", [[-700], [0]], cameras=1)
    left, top, width, height = box_of_points(project(view(0), true[0, 0]), 1.2)
    key = f"train/s03/videos/{imar.CAMERAS[0]}/squat.mp4/000000"
    boxes = {key: [[left - 9, top, width + 18, height, 0.9], [3, 3, 20, 40, 0.9]]}
    (tmp_path / "d.json").write_text(json.dumps(boxes))
    store = converted("humansc3d", tmp_path / "raw", detector=f"json:{tmp_path / 'd.json'}")
    assert [r.person for r in rows_of(store)] == [0]
    box = rows_of(store)[0].box_ltwh_px
    assert box[2] / box[3] == pytest.approx((width + 18) / height, rel=0.05)
    assert store.metadata["provenance"]["left_out"] == {"no detection": 1}


def test_short_videos_are_counted_and_bad_files_named(tmp_path, converted):
    write(tmp_path / "raw", "fit3d", [[0, 150, 300]], cameras=1, video_frames=2)
    assert converted("fit3d", tmp_path / "raw").metadata["provenance"]["left_out"] == {
        "the video ends before the labels": 1
    }
    labels = next((tmp_path / "raw").rglob("joints3d_25/*.json"))
    for text, message in (
        ("[[1", "not readable JSON"),
        ('{"joints3d_25": [[[1, 2, 3]]]}', "does not hold poses of 25"),
    ):
        labels.write_text(text)
        with pytest.raises(UserError, match=message):
            converted("fit3d", tmp_path / "raw", out="b")
    next((tmp_path / "raw").rglob("camera_parameters/*/*.json")).write_text('{"extrinsics": {}}')
    with pytest.raises(UserError, match="not a camera of this dataset"):
        converted("fit3d", tmp_path / "raw", out="b")
    (tmp_path / "raw/fit3d_info.json").write_text("{}")
    with pytest.raises(UserError, match="does not list subjects"):
        converted("fit3d", tmp_path / "raw", out="c")
