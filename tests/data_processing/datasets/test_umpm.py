"""UMPM: a fixture in its layout and formats."""

import json

import cv2
import numpy as np
import pytest

from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.datasets import umpm
from data_processing.images import encode_jpeg
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, rows_of, write_c3d, write_video

pytest.importorskip("ezc3d")

NAMES = get_skeleton("umpm").joint_names
WRIST = NAMES.index("rwri_umpm")
SIZE = (322, 242)
DISTORTION = (-0.2, 0.1, 0.001, -0.001)
VIEWS = {
    name: camera(30 + 60 * i, size_wh=SIZE, focal=330, distance_mm=4500, distortion=DISTORTION)
    for i, name in enumerate("fsrl")
}
TWO_PEOPLE = [[(-500, 0, 30 * i), (400, 300, 0)] for i in range(6)]


def write(raw, frames=TWO_PEOPLE, *, recording="p2_grab_1", calib="calib_l06", cameras="fsrl", edit=None):
    """`frames`: per motion capture frame a list of (x, y, swing of the right arm in mm); every second has a picture."""
    labels = np.array([np.concatenate([pose(NAMES, at=p[:2], swing_mm=p[2]) for p in people]) for people in frames])
    if edit is not None:
        edit(labels)
    n_people = labels.shape[1] // 15
    labelled = [f"P{p}_{n}" for p in range(n_people) for n in NAMES]
    write_c3d(raw / "Groundtruth" / f"{recording}_vm.c3d", labels, names=labelled, rate=100)
    # a comma too many, as in the released files
    (raw / f"{recording}.json").write_text(f'{{\n  "id":"{recording}",\n  "calib":"{calib}",\n}}\n')
    (raw / "Calib").mkdir()
    for name in cameras:
        seen = VIEWS[name]
        rows = [*seen.K, DISTORTION, cv2.Rodrigues(seen.R)[0].ravel(), -seen.R @ seen.optical_center_mm]
        text = "\n".join(" ".join(f"{v:.9f}" for v in row) + " " for row in rows)
        (raw / "Calib" / f"{calib}_{name}.ini").write_text(text + "\n")
        pictures = []
        for i, points in enumerate(labels[::2]):
            spots = points.reshape(n_people, 15, 3)[:, WRIST]
            pictures.append(picture(SIZE, 40 + 8 * i, project(seen, spots)))
        write_video(raw / "Video" / f"{recording}_{name}.avi", pictures, fps=50)
    return labels


def test_two_people_and_every_second_motion_capture_frame(tmp_path, converted):
    labels = write(tmp_path / "raw")
    rows = rows_of(converted("umpm", tmp_path / "raw"))
    # the first person's arm swings by 60 mm per picture, the second stands still
    assert [(r.frame, r.person) for r in rows] == [(0, 0), (0, 1), (2, 0)] * 4
    assert [r.image_key.split("/")[0][-1] for r in rows[::3]] == list("fsrl")
    for row in rows:
        expected = labels[2 * row.frame].reshape(2, 15, 3)[row.person]
        np.testing.assert_allclose(row.coords, expected, atol=0.01)
        np.testing.assert_allclose(row.camera.world_up, [0, 0, 1])
        check_reprojection(row, joint=WRIST, level=40 + 8 * row.frame)
        joints = box_of_points(project(row.camera, row.coords))
        assert row.box_ltwh_px[3] == pytest.approx(1.15 * joints[3], rel=0.1)


def test_standing_elsewhere_is_no_motion(tmp_path, converted):
    write(tmp_path / "raw", [[(0, 0, 0)]] * 4 + [[(900, 0, 0)]] * 4, cameras="f")
    for name in "srl":
        (tmp_path / "raw" / "Calib" / f"calib_l06_{name}.ini").write_text("")
    store = converted("umpm", tmp_path / "raw", skip_broken=True)
    (row,) = rows_of(store)
    assert row.frame == 0 and np.isfinite(row.coords).all()
    assert len(store.metadata["provenance"]["failed_units"]) == 3


def test_strange_bones_lose_their_joints():
    poses = np.stack([[pose(NAMES)]] * 5)
    poses[1, 0, NAMES.index("rank_umpm")] += [0, 0, 300]  # the shin is far too short
    poses[2, 0, NAMES.index("lwri_umpm")] = np.nan
    poses[3, 0, NAMES.index("head_umpm")] += [0, 0, 70]  # not 80 mm off
    cleaned = umpm.without_strange_bones(poses, np.array(get_skeleton("umpm").edges))
    assert np.argwhere(np.isnan(cleaned).any(-1)).tolist() == [
        [1, 0, NAMES.index("rkne_umpm")], [1, 0, NAMES.index("rank_umpm")], [2, 0, NAMES.index("lwri_umpm")],
    ]  # fmt: skip


def test_detections_and_extracted_frames(tmp_path, converted):
    raw = tmp_path / "raw"
    write(raw, [[(0, 0, 0)]], cameras="fsrl")
    for name in "fsrl":
        (raw / "Video" / f"p2_grab_1_{name}.avi").unlink()
        (raw / "Video" / f"p2_grab_1_{name}").mkdir()
        frame = raw / "Video" / f"p2_grab_1_{name}" / "frame_000000.jpg"
        frame.write_bytes(encode_jpeg(picture(SIZE, 90, project(VIEWS[name], pose(NAMES)[WRIST])[None])))
    left, top, width, height = box_of_points(project(VIEWS["f"], pose(NAMES)))
    near = {"Video/p2_grab_1_f/frame_000000.jpg": [[left - 5, top - 5, width + 10, height + 10, 0.9]]}
    far = {"Video/p2_grab_1_s/frame_000000.jpg": [[0, 0, 20, 20, 0.9]]}
    (tmp_path / "d.json").write_text(json.dumps(near | far))
    store = converted("umpm", raw, detector=f"json:{tmp_path / 'd.json'}")
    (row,) = rows_of(store)
    assert row.image_key == "p2_grab_1_f/000000_0.jpg"
    check_reprojection(row, joint=WRIST, level=90)
    assert store.metadata["provenance"]["left_out"] == {"no detection, or not in view": 3}


def test_files_broken_as_released(tmp_path, converted):
    raw = tmp_path / "raw"
    raw.mkdir()
    (raw / "p2_free_2.json").write_text("{")
    with pytest.raises(UserError, match="nothing to convert"):
        converted("umpm", raw)
    (raw / "p2_free_1.json").write_text("{")
    assert umpm.read_calibration_name(raw / "p2_free_1.json") == "calib_n27"
    (raw / "p1_grab_1.json").write_text("{")
    with pytest.raises(UserError, match="p1_grab_1.json does not name its calibration"):
        converted("umpm", raw)


def test_packed_videos_and_other_points_are_named(tmp_path, converted):
    raw = tmp_path / "raw"
    write(raw, [[(0, 0, 0)]])
    for name in "fsrl":
        (raw / "Video" / f"p2_grab_1_{name}.avi").rename(raw / "Video" / f"p2_grab_1_{name}.avi.xz")
    with pytest.raises(UserError, match=r"4 of 4 units.*still packed; unpack it: xz --decompress"):
        converted("umpm", raw)
    write_c3d(raw / "Groundtruth" / "p2_grab_1_vm.c3d", np.zeros((2, 37, 3)), names=[f"m{i}" for i in range(37)])
    with pytest.raises(UserError, match="has 37 points, expected 15 a person; is it a _vm file"):
        converted("umpm", raw)
