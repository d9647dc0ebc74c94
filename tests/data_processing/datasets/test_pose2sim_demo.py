"""The four-camera video: what its truth says about itself, and the conversion of short videos in its layout."""

import numpy as np

from data_processing.cameras import project
from data_processing.datasets.pose2sim_demo import camera_of, read_truth

from ..people import write_video


def write(raw, n_frames: int = 2) -> None:
    """Grey videos of the real ones' sizes."""
    (raw / "videos").mkdir(parents=True)
    for i, (width, height) in enumerate([(1080, 1920), (1080, 1920), (1088, 1920), (1088, 1920)]):
        frames = [np.full((height, width, 3), 60 + 40 * i, np.uint8)] * n_frames
        write_video(raw / "videos" / f"cam0{i + 1}.mp4", frames)


def test_the_truth_projects_onto_the_landmarks_it_was_made_of():
    """The README of the truth: 8.5 to 12 px in cameras 1, 2 and 4 (the network itself is often wrong in camera 3)."""
    truth = read_truth()
    errors = []
    for number in range(4):
        found = np.array([project(camera_of(truth, number), pose) for pose in truth["world_mm"]])
        errors.append(np.nanmedian(np.linalg.norm(found - truth["points2d_px"][:, number], axis=-1)))
    assert max(errors[0], errors[1], errors[3]) < 13


def test_four_cameras_of_one_person(tmp_path, converted):
    write(tmp_path)
    store = converted("pose2sim-demo", tmp_path)
    assert store.splits == {"test": 8} and store.skeleton.joint_names[0].endswith("_coco")
    rows = [store.row("test", i) for i in range(8)]
    assert {r.sequence for r in rows} == {"cam01", "cam02", "cam03", "cam04"}
    np.testing.assert_allclose(rows[0].coords, read_truth()["world_mm"][rows[0].frame], atol=0.01)
