"""JTA: a fixture in its layout and formats."""

import json
import re

import numpy as np
import pytest

from data_processing.boxes import box_of_points
from data_processing.cameras import make_camera, project, to_camera
from data_processing.datasets import jta
from metrabs_acae.data.crop import looking_rotation
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import check_reprojection, picture, pose, rows_of, write_video

NAMES = get_skeleton("jta").joint_names
WRIST = NAMES.index("rwri_jta")
SIZE = (1920, 1080)
CENTER = np.array([500.0, -6000, 3500])
R = looking_rotation(np.array([0, 0, 900.0]) - CENTER, np.array([0, 0, 1.0]))
SURVEILLANCE = make_camera(R, CENTER, jta.K)
"""Looks down on the people, so that up is not -y in its frame."""
UP = R[:, 2]


def write(raw, frames, *, part="train", sequence="seq_0", n_pictures=None):
    """`frames`: per picture a list of (person, x, y, names of joints hidden by something)."""
    rows, pictures = [], []
    for i, people in enumerate(frames):
        spots = []
        for person, x, y, hidden in people:
            points = to_camera(SURVEILLANCE, pose(NAMES, at=(x, y)))
            pixels = project(make_camera(np.eye(3), np.zeros(3), jta.K), points)
            spots.append(pixels[WRIST])
            for j, (pixel, point) in enumerate(zip(pixels, points, strict=True)):
                occluded = int(NAMES[j].split("_")[0] in hidden)
                numbers = [i + 1, person, j, *pixel.round(3), *(point / 1000).round(6), occluded, 0]
                rows.append([float(v) for v in numbers])
        pictures.append(picture(SIZE, 40 + 8 * i, spots))
    (raw / "annotations" / part).mkdir(parents=True, exist_ok=True)
    (raw / "annotations" / part / f"{sequence}.json").write_text(json.dumps(rows))
    write_video(raw / "videos" / part / f"{sequence}.mp4", pictures[:n_pictures], fps=30)


WALKING = [[(3, 60 * i, 0, ()), (17, -900, 500, NAMES_HIDDEN := ("lwri", "lelb"))] for i in range(3)]


def test_people_in_the_cameras_frame(tmp_path, converted):
    raw = tmp_path / "raw"
    write(raw, WALKING)
    write(raw, [[(5, 300, 300, ())]], part="val", sequence="seq_256")
    (raw / "annotations" / "test").mkdir()
    (raw / "annotations" / "test" / "seq_400.json").write_text("[]")
    rows = rows_of(converted("jta", raw))
    found = [(r.activity, r.sequence, r.frame, r.person) for r in rows]
    assert found == [
        ("train", "seq_0", 0, 3), ("train", "seq_0", 0, 17), ("train", "seq_0", 2, 3), ("val", "seq_256", 0, 5),
    ]  # fmt: skip
    for row in rows:
        at = {3: (60 * row.frame, 0), 17: (-900, 500), 5: (300, 300)}[row.person]
        np.testing.assert_allclose(row.coords, to_camera(SURVEILLANCE, pose(NAMES, at=at)), atol=0.01)
        np.testing.assert_allclose(row.camera.optical_center_mm, 0)
        np.testing.assert_allclose(row.camera.world_up, UP, atol=1e-3)
        check_reprojection(row, joint=WRIST, level=40 + 8 * row.frame)
        joints = project(row.camera, row.coords)
        visible = [n.split("_")[0] not in NAMES_HIDDEN or row.person != 17 for n in NAMES]
        np.testing.assert_allclose(row.box_ltwh_px[2:], box_of_points(joints[visible])[2:], rtol=0.15)


def test_the_focal_length_is_the_games_or_the_files_own(tmp_path, converted):
    """The authors' 50 degrees up and down are 1158 px; a file whose joints say otherwise is believed."""
    assert jta.K[0, 0] == pytest.approx(1158.03, abs=0.01)
    write(tmp_path / "raw", [[(i, 300 * i - 900, 300, ()) for i in range(7)]])
    path = tmp_path / "raw/annotations/train/seq_0.json"
    game = jta.read_people(path)
    assert jta.fitted_intrinsics(game)[0, 0] == jta.FOCAL_PX  # pixels rounded to 0.001
    rows = json.loads(path.read_text())
    for row in rows:
        row[3:5] = [round(960 + (row[3] - 960) * 1.05), round(540 + (row[4] - 540) * 1.05)]
    path.write_text(json.dumps(rows))
    store = converted("jta", tmp_path / "raw")
    (note,) = store.metadata["provenance"]["notes"]
    assert float(re.search(r"focal length is ([\d.]+) px", note)[1]) == pytest.approx(1.05 * 1158.03, abs=0.5)
    row, person = rows_of(store)[0], jta.read_people(path)[0]
    wrist = person[rows_of(store)[0].person][WRIST]
    fitted = jta.fitted_intrinsics(jta.read_people(path))
    np.testing.assert_allclose(fitted[:2, :2] @ (wrist[:2] / wrist[2]) + fitted[:2, 2], wrist[4:], atol=1)
    np.testing.assert_allclose(row.coords[WRIST], wrist[:3], atol=0.1)


def test_hidden_and_small_people_and_those_outside_are_left_out(tmp_path, converted):
    bases = tuple(n.split("_")[0] for n in NAMES)
    frames = [[(0, 0, 0, ()), (1, 500, 0, bases[4:]), (2, 99_000, 0, ()), (3, 0, 40_000, ())]]
    write(tmp_path / "raw", frames)
    store = converted("jta", tmp_path / "raw")
    assert [r.person for r in rows_of(store)] == [0]
    assert store.metadata["provenance"]["left_out"] == {"no detection, or a small one": 1}


def test_detections_are_matched_among_the_people(tmp_path, converted):
    write(tmp_path / "raw", WALKING[:1])
    boxes = [box_of_points(project(SURVEILLANCE, pose(NAMES, at=at)), 1.2).tolist() for at in ((0, 0), (-900, 500))]
    boxes[1][2] *= 3  # more than twice the labels' box
    detections = {"videos/train/seq_0.mp4/000000": [[*b, 0.9] for b in boxes[::-1]]}
    (tmp_path / "d.json").write_text(json.dumps(detections))
    (row,) = rows_of(converted("jta", tmp_path / "raw", detector=f"json:{tmp_path / 'd.json'}"))
    assert row.person == 3
    joints = box_of_points(project(row.camera, row.coords))
    assert row.box_ltwh_px[3] == pytest.approx(1.2 * joints[3], rel=0.05)


def test_up_is_where_most_people_point():
    poses = np.stack([pose(NAMES)] * 4)
    poses[3, jta.NECK] = poses[3, jta.RIGHT_ANKLE] + [2000, 0, 0]  # one lies
    np.testing.assert_allclose(jta.up_direction(poses), [0, 0, 1], atol=0.05)
    np.testing.assert_allclose(jta.up_direction(np.full((1, 22, 3), np.nan)), [0, -1, 0])


def test_damaged_files_are_named(tmp_path, converted):
    raw = tmp_path / "raw"
    write(raw, WALKING, n_pictures=1)
    store = converted("jta", raw)
    assert store.metadata["provenance"]["left_out"] == {"the video ends before the labels": 1}
    labels = raw / "annotations/train/seq_0.json"
    for text in ("[[1, 2, 3]]", json.dumps([[1, 1, 22] + [0.0] * 7]), "{}", '[["a"]]', json.dumps([[None] * 10])):
        labels.write_text(text)
        with pytest.raises(UserError, match=r"seq_0.json is not an annotation file of JTA"):
            jta.read_people(labels)
