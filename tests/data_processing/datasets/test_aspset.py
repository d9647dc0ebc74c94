"""ASPset-510 from real C3D, MKV, CSV and JSON files of a stick person."""

import json

import numpy as np
import pytest

from data_processing.boxes import box_of_points, iou
from data_processing.cameras import project
from data_processing.datasets import aspset
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, turn_world, write_c3d, write_video

pytest.importorskip("ezc3d")
NAMES = get_skeleton("aspset").joint_names
WRIST = NAMES.index("rwri_aspset")
SIZE = (640, 360)
Y_DOWN = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0.0]])


def view(name):
    azimuth = {"left": -40, "mid": 10, "right": 60}[name]
    return turn_world(camera(azimuth, size_wh=SIZE, focal=600), Y_DOWN, (0, -1, 0))


def write(raw, clips, *, splits=None, video_frames=None):
    """`clips`: {(subject, clip, split): (cameras, x of the person in each frame)}; returns the poses of each clip."""
    root = raw / "ASPset-510"
    true = {}
    for (subject, clip, split), (cameras, xs) in clips.items():
        poses = true[subject, clip] = np.stack([pose(NAMES, at=(x, 0)) @ Y_DOWN.T for x in xs])
        folder = root / ("test" if split == "test" else "trainval")
        labels = [n.split("_")[0] for n in NAMES]
        write_c3d(folder / f"joints_3d/{subject}/{subject}-{clip}.c3d", poses, names=labels)
        for name in aspset.CAMERAS if cameras == "all" else (cameras,):
            made = view(name)
            E = np.eye(4)
            E[:3, :3], E[:3, 3] = made.R, -made.R @ made.optical_center_mm
            matrices = {"intrinsic_matrix": np.c_[made.K, np.zeros(3)].ravel().tolist(), "extrinsic_matrix": E.tolist()}
            (folder / f"cameras/{subject}").mkdir(parents=True, exist_ok=True)
            (folder / f"cameras/{subject}/{subject}-{name}.json").write_text(json.dumps(matrices))
            points = project(made, poses)
            pictures = [picture(SIZE, 40 + 4 * f, points[f, WRIST]) for f in range(video_frames or len(xs))]
            write_video(folder / f"videos/{subject}/{subject}-{clip}-{name}.mkv", pictures, fps=50)
            lines = ["left,top,right,bottom"]
            for p in points:
                left, top, width, height = box_of_points(p)
                lines.append(f"{left:.2f},{top:.2f},{left + width:.2f},{top + height:.2f}")
            path = folder / f"boxes/{subject}/{subject}-{clip}-{name}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("\n".join(lines) + "\n")
    rows = [(s, c, split, cameras) for (s, c, split), (cameras, _) in clips.items()]
    header = "subject_id,clip_id,split,camera_id\n"
    (root / "splits.csv").write_text(header + "".join(",".join(r) + "\n" for r in rows))
    return true


def test_splits_sampling_and_reprojection(tmp_path, converted):
    clips = {
        ("04ac", "0003", "train"): ("all", [0, 60, 120, 180]),
        ("04ac", "0004", "val"): ("mid", [0]),
        ("1e28", "0001", "test"): ("right", [0, 10]),
    }
    true = write(tmp_path / "raw", clips)
    store = converted("aspset", tmp_path / "raw")
    assert store.skeleton.joint_names == NAMES
    assert store.splits == {"train": 7, "test": 2}  # 3 cameras x frames 0 and 2, one of the validation; test: all
    seen = set()
    for split, n in store.splits.items():
        for i in range(n):
            row = store.row(split, i)
            subject, clip, name = row.sequence.split("-")
            seen.add((subject, clip, name, row.frame))
            np.testing.assert_allclose(row.coords, true[subject, clip][row.frame], atol=0.01)
            np.testing.assert_allclose(row.camera.world_up, [0, -1, 0])
            check_reprojection(row, joint=WRIST, level=40 + 4 * row.frame)
            labelled = box_of_points(project(row.camera, row.coords), 1.1)
            assert iou(labelled, row.box_ltwh_px) > 0.9
    assert ("04ac", "0003", "left", 2) in seen and ("1e28", "0001", "right", 1) in seen
    only = converted("aspset", tmp_path / "raw", split="test", out="test")
    assert only.splits == {"test": 2}


def test_bad_files_are_named(tmp_path, converted):
    write(tmp_path / "raw", {("04ac", "0003", "train"): ("mid", [0, 150, 300])}, video_frames=2)
    left_out = converted("aspset", tmp_path / "raw").metadata["provenance"]["left_out"]
    assert left_out == {"the video ends before the labels": 1}
    root = tmp_path / "raw/ASPset-510"
    for pattern, text, message in (
        ("boxes/**/*.csv", "left,top,right,bottom\n1,2,3\n", "not a table of boxes"),
        ("cameras/**/*.json", "{}", "not a camera of ASPset-510"),
        ("joints_3d/**/*.c3d", "no", "not a readable C3D file"),
        ("splits.csv", "a,b,c\n", "names no clip"),
    ):
        path = next(root.rglob(pattern))
        saved = path.read_bytes()
        path.write_text(text)
        with pytest.raises(UserError, match=message):
            converted("aspset", tmp_path / "raw", out="b")
        path.write_bytes(saved)
