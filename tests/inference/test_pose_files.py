"""Files of poses: both formats hold the same, the NPZ is a prediction file, and memory does not grow."""

import json
import re
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from metrabs_acae.evaluation.predictions import load_predictions
from metrabs_acae.inference.pose_files import People, PoseLog, Source, write_json, write_poses_npz

NAMES = ("pelv_h36m", "lhip_h36m", "rhip_h36m")
K = np.array([[500, 0, 320], [0, 500, 240], [0, 0, 1.0]])


def source(**changes) -> Source:
    values = dict(name='walk "1".mp4', image_size_wh=(640, 480), intrinsic_matrix=K, skeleton="small")
    return Source(**{**values, "joint_names": NAMES, "edges": ((0, 1), (0, 2)), "tracked": True, **changes})


def people(numbers, *, seed=0) -> People:
    rng, n = np.random.default_rng(seed), len(numbers)
    poses3d = (rng.normal(0, 300, (n, 3, 3)) + [0, 0, 4000]).astype(np.float32)
    image = poses3d @ K.T
    return People(
        person=np.array(numbers, np.int32),
        boxes=rng.uniform(1, 100, (n, 4)),
        scores=rng.uniform(0, 1, n),
        poses3d=poses3d,
        poses2d=image[..., :2] / image[..., 2:],
        uncertainty=rng.uniform(0, 30, (n, 3)),
        entropy=rng.uniform(0, 1, (n, 3)),
    )


FRAMES = [(0, 0.0, people([1, 2])), (1, 0.04, people([])), (2, 0.1, people([2], seed=1))]


@pytest.fixture
def log():
    with PoseLog(source()) as log:
        for frame in FRAMES:
            log.add(*frame)
        yield log


def test_json(log, tmp_path):
    write_json(tmp_path / "p.json", log)
    contents = json.loads((tmp_path / "p.json").read_text())
    assert contents["source"] == 'walk "1".mp4' and contents["joint_names"] == list(NAMES)
    assert contents["edges"] == [[0, 1], [0, 2]] and contents["image_size_wh"] == [640, 480]
    np.testing.assert_array_equal(contents["intrinsic_matrix"], K)
    assert [(f["frame"], f["time_s"], len(f["people"])) for f in contents["frames"]] == [
        (0, 0, 2),
        (1, 0.04, 0),
        (2, 0.1, 1),
    ]
    person = contents["frames"][2]["people"][0]
    assert person["person"] == 2
    truth = FRAMES[2][2]
    assert person["score"] == pytest.approx(truth.scores[0], abs=1e-4)
    for key, array in {"box": truth.boxes, "pose3d": truth.poses3d, "pose2d": truth.poses2d}.items():
        np.testing.assert_allclose(person[key], array[0], atol=0.006)  # rounded to 0.01
    np.testing.assert_allclose(person["entropy"], truth.entropy[0], atol=6e-5)  # to 0.0001


def test_npz_is_a_prediction_file(log, tmp_path):
    write_poses_npz(tmp_path / "p.npz", log)
    predictions = load_predictions(tmp_path / "p.npz")
    assert predictions.frame.tolist() == [0, 0, 2] and predictions.person.tolist() == [1, 2, 2]
    assert predictions.joint_names == NAMES and set(predictions.sequence) == {'walk "1".mp4'}
    expected = np.concatenate([f[2].poses3d for f in FRAMES])
    np.testing.assert_array_equal(predictions.poses3d_mm, expected)
    with np.load(tmp_path / "p.npz", allow_pickle=False) as arrays:
        assert arrays["frames"].tolist() == [0, 1, 2] and arrays["times_s"].tolist() == [0, 0.04, 0.1]
        np.testing.assert_allclose(arrays["entropy"][2], FRAMES[2][2].entropy[0], rtol=1e-6)
        assert arrays["boxes_ltwh_px"].shape == (3, 4) and arrays["edges"].tolist() == [[0, 1], [0, 2]]


def test_given_boxes_have_no_score_and_some_models_no_entropy(tmp_path):
    given = people([0])
    given.scores[:] = given.entropy[:] = np.nan
    with PoseLog(source(detected=False)) as log:
        log.add(0, 0.0, given)
        write_json(tmp_path / "p.json", log)
        write_poses_npz(tmp_path / "p.npz", log)
    written = json.loads((tmp_path / "p.json").read_text())["frames"][0]["people"][0]
    assert written.keys().isdisjoint({"score", "entropy"})
    with np.load(tmp_path / "p.npz") as arrays:
        assert {"score", "entropy"}.isdisjoint(arrays.files)


def test_nobody_and_lost_joints(tmp_path):
    lost = people([0])
    lost.poses3d[0, 1] = np.nan
    with PoseLog(source()) as log:
        write_json(tmp_path / "empty.json", log)
        write_poses_npz(tmp_path / "empty.npz", log)
        log.add(0, 0.0, lost)
        write_json(tmp_path / "lost.json", log)
    assert json.loads((tmp_path / "empty.json").read_text())["frames"] == []
    assert len(load_predictions(tmp_path / "empty.npz")) == 0
    pose = json.loads((tmp_path / "lost.json").read_text())["frames"][0]["people"][0]["pose3d"]
    assert pose[1] == [None] * 3 and None not in pose[0]


def test_the_documented_code_runs(log, tmp_path, monkeypatch):
    page = (Path(__file__).parents[2] / "docs" / "demo.md").read_text()
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    write_poses_npz("demo/walk.npz", log)
    names = {}
    exec(code, names)  # the project's own page
    np.testing.assert_allclose(names["path_m"] * 1000, FRAMES[0][2].poses3d[:1, 0])
    assert names["times_s"].tolist() == [0.0]
    with np.load("demo/walk.npz") as arrays:
        assert all(f"`{key}`" in page for key in arrays.files)
    write_json("walk.json", log)
    contents = json.loads(Path("walk.json").read_text())
    keys = {*contents, *contents["frames"][0], *contents["frames"][0]["people"][0]}
    assert all(f'"{key}"' in page for key in keys)


def peak_bytes(n_frames, tmp_path) -> int:
    tracemalloc.start()
    with PoseLog(source()) as log:
        for i in range(n_frames):
            log.add(i, i / 25, FRAMES[0][2])
        write_json(tmp_path / "p.json", log)  # NumPy writes the NPZ from buffers of up to 16 MB
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_video(tmp_path):
    peak_bytes(10, tmp_path)  # first-use imports
    short, long = peak_bytes(200, tmp_path), peak_bytes(2000, tmp_path)
    assert long < short + 100_000, (short, long)
