"""TotalCapture: a fixture in its layout and formats, and a recording of 100,000 lines."""

import resource
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_processing import masks
from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.datasets import totalcapture
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, rows_of, turn_world, write_video

NAMES = get_skeleton("totcap").joint_names
WRIST = NAMES.index("rwri_totcap")
SIZE = (320, 240)
TO_RAW = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])  # z up -> y up
VIEWS = [
    turn_world(
        camera(30 + 50 * i, size_wh=SIZE, focal=330, distance_mm=4000, distortion=(-0.2, 0, 0, 0, 0)), TO_RAW, (0, 1, 0)
    )
    for i in range(2)
]
FILE_ORDER = [*range(1, 21), 0]
"""The file's columns need not stand in the skeleton's order."""


def label_line(points) -> str:
    inches = points[FILE_ORDER] @ TO_RAW.T / 25.4
    return "\t".join(" ".join(f"{v:.6f}" for v in p) for p in inches) + "\t\n"


def write_labels(path, lines):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = "\t".join(totalcapture.VICON_NAMES[i] for i in FILE_ORDER) + "\t\n"
    with open(path, "w") as file:
        file.write(header)
        file.writelines(lines)


def write(raw, xs=(0.0, 60.0, 120.0), *, subject=1, recording="walking1", cameras=(1, 2), mattes=True):
    labels = [pose(NAMES, at=(x, 0)) for x in xs]
    write_labels(raw / "vicon" / f"S{subject}" / recording / "gt_skel_gbl_pos.txt", map(label_line, labels))
    lines = [f"{len(VIEWS)} 1"]
    for seen in VIEWS:
        t = -seen.R @ seen.optical_center_mm / 1000
        K = seen.K
        lines += ["0 1079 0 1919", f"{K[0, 0]} {K[1, 1]} {K[0, 2]} {K[1, 2]}", "-0.2"]
        lines += [" ".join(f"{v:.9f}" for v in row) for row in [*seen.R, t]]
    (raw / "calibration.cal").write_text("\n".join(lines) + "\n")
    for number in cameras:
        name = f"s{subject}/{recording}/TC_S{subject}_{recording}_cam{number}.mp4"
        pixels = [project(VIEWS[number - 1], points @ TO_RAW.T) for points in labels]
        write_video(raw / "video" / name, [picture(SIZE, 40 + 8 * i, p[WRIST]) for i, p in enumerate(pixels)], fps=60)
        if mattes:
            write_video(raw / "mattes" / name, [matte(p) for p in pixels], fps=60)


def matte(points_px) -> np.ndarray:
    """White where the person is, to the left of the middle of its box, black elsewhere."""
    image = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
    left, top, width, height = box_of_points(points_px, 1.1)
    image[max(0, int(top)) : int(top + height), max(0, int(left)) : int(left + width * 0.5)] = 255
    return image


def test_inches_mattes_and_cameras(tmp_path, converted):
    write(tmp_path / "raw")
    store = converted("totalcapture", tmp_path / "raw")
    rows = rows_of(store)
    assert [(r.frame, r.image_key[:16]) for r in rows] == [
        (0, "S1/walking1/cam1"), (2, "S1/walking1/cam1"), (0, "S1/walking1/cam2"), (2, "S1/walking1/cam2"),
    ]  # fmt: skip
    for row in rows:
        expected = pose([n.split("_")[0] for n in NAMES], at=(60 * row.frame, 0)) @ TO_RAW.T
        np.testing.assert_allclose(row.coords, expected, atol=0.01)
        np.testing.assert_allclose(row.camera.world_up, [0, 1, 0])
        check_reprojection(row, joint=WRIST, level=40 + 8 * row.frame)
        joints = box_of_points(project(row.camera, row.coords))
        # the matte's box holds the left half of the joints' box
        assert row.box_ltwh_px[0] + row.box_ltwh_px[2] == pytest.approx(joints[0] + 0.5 * joints[2], abs=6)
        assert row.box_ltwh_px[3] == pytest.approx(1.1 * joints[3], rel=0.1)
        np.testing.assert_allclose(masks.box_of(masks.decode(row.mask)), row.box_ltwh_px, atol=6)
    assert rows[0].sequence == "S1_walking1" and rows[0].activity == "walking"


def test_splits_and_missing_mattes(tmp_path, converted):
    raw = tmp_path / "raw"
    for subject, recording in ((1, "acting3"), (2, "walking2"), (3, "freestyle3"), (4, "acting1"), (3, "rom3")):
        write(raw, (0.0,), subject=subject, recording=recording, cameras=(2,), mattes=False)
    store = converted("totalcapture", raw)
    assert [r.sequence for r in rows_of(store)] == ["S3_rom3"]
    assert store.metadata["provenance"]["left_out"] == {"no matte video (frames are kept)": 1}


def test_people_outside_the_picture_are_left_out(tmp_path, converted):
    write(tmp_path / "raw", (0.0, 2500.0), cameras=(1,))
    assert [r.frame for r in rows_of(converted("totalcapture", tmp_path / "raw"))] == [0]


def test_damaged_files_are_named(tmp_path, converted):
    raw = tmp_path / "raw"
    write(raw, cameras=(1,))
    labels = raw / "vicon/S1/walking1/gt_skel_gbl_pos.txt"
    text = labels.read_text()
    labels.write_text(text[: len(text) - 30])
    with pytest.raises(UserError, match="gt_skel_gbl_pos.txt is not a pose file of TotalCapture"):
        converted("totalcapture", raw)
    labels.write_text(text.replace("LeftHand", "LeftFist"))
    with pytest.raises(UserError, match="the first line does not name the 21 joints"):
        converted("totalcapture", raw)
    (raw / "calibration.cal").write_text("8 1\n0 1\n")
    with pytest.raises(UserError, match="fewer lines than 8 cameras need"):
        converted("totalcapture", raw)


def test_memory_does_not_grow_with_the_recording(tmp_path, monkeypatch):
    """100,000 lines of a swing there and back, which are 25 MB of text and 48 MB of numbers."""
    inches = np.round([pose(NAMES, swing_mm=s) @ TO_RAW.T / 25.4 for s in np.linspace(0, 60, 25)]).astype(int)
    lines = ["\t".join(" ".join(map(str, p)) for p in points[FILE_ORDER]) + "\n" for points in inches]
    write_labels(tmp_path / "labels.txt", (lines + lines[::-1]) * 2000)
    used, read = [], totalcapture.read_poses

    def watched(path):
        for piece in read(path):
            used.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20)
            yield piece

    monkeypatch.setattr(totalcapture, "read_poses", watched)
    plain = replace(VIEWS[0], lens=None)
    assert len(totalcapture.choose(tmp_path / "labels.txt", plain, SIZE)[0]) == 1
    assert len(used) == 100 and max(used) - used[1] < 10  # MiB
