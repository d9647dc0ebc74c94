"""The table's numbers by hand, and the command on a video of few frames with a stub for a model."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from benchmarks import real_people, real_views
from benchmarks.real_people import JOINTS, Estimate
from benchmarks.real_views import View
from metrabs_acae.errors import UserError

K = np.array([[1000, 0, 320], [0, 1000, 240], [0, 0, 1.0]])


def make_view(coords3d=None, **more) -> View:
    coords2d = np.tile([100.0, 50.0], (12, 1))
    names = tuple(f"{j}_h36m" for j in JOINTS)
    given = {"source": "a", "image": np.zeros((480, 640, 3), np.uint8), "box": np.array([10, 20, 100, 200])}
    camera = {"intrinsics": K, "distortion": np.zeros(5), "up": np.array([0, -1.0, 0])}
    return View(**given, **camera, joint_names=names, coords3d_mm=coords3d, coords2d_px=coords2d, **more)


@pytest.fixture
def pose():
    return np.random.default_rng(1).normal(0, 300, (12, 3)) + [0, 0, 3000]


def test_errors_of_a_moved_and_grown_pose(pose):
    """Moved: nothing but the position is wrong. Twice as large: each joint errs by its distance from the hips."""
    view = make_view(pose)
    points = view.coords2d_px + [3, 4]
    moved = real_people.errors(view, Estimate(pose + [30, 0, 40], points, 0.02))
    np.testing.assert_allclose(moved["mpjpe"], 0, atol=1e-9)
    np.testing.assert_allclose(moved["px"], 5)
    assert (moved["position"], moved["ms"]) == (pytest.approx(50), 20)

    hips = pose[[JOINTS.index("lhip"), JOINTS.index("rhip")]].mean(axis=0)
    grown = real_people.errors(view, Estimate(2 * (pose - hips) + hips, points, 0.02))
    np.testing.assert_allclose(grown["mpjpe"], np.linalg.norm(pose - hips, axis=-1))
    np.testing.assert_allclose(grown["pa_mpjpe"], 0, atol=1e-9)


def test_one_wrong_joint(pose):
    wrong = pose.copy()
    wrong[JOINTS.index("lwri")] += [0, 0, 120]
    record = real_people.errors(make_view(pose), Estimate(wrong, np.zeros((12, 2)), 0))
    assert real_people.mean([record], "mpjpe") == pytest.approx(10)
    assert 0 < (record["pa_mpjpe"] ** 2).sum() < 120**2  # the alignment's own measure


def test_labels_that_are_missing(pose):
    view = make_view()
    view.coords2d_px[0] = np.nan
    record = real_people.errors(view, Estimate(pose, np.tile([100.0, 53.0], (12, 1)), 0))
    assert real_people.mean([record], "px") == pytest.approx(3)
    assert np.isnan(real_people.mean([record], "mpjpe"))
    table = real_people.summary(
        {"a": [record, real_people.errors(make_view(pose), Estimate(pose, np.zeros((12, 2)), 0))]}
    )
    assert "1 in 3D, 2 in 2D" in table


def test_names_of_the_labels_convention_come_first():
    known = tuple(f"{j}_{c}" for c in ("3dhp", "coco", "h36m") for j in JOINTS)
    assert real_people.joint_names(make_view(), known) == [f"{j}_h36m" for j in JOINTS]
    assert real_people.joint_names(make_view(), known[:24]) == [f"{j}_coco" for j in JOINTS]
    assert real_people.joint_names(make_view(), known[:12]) == [f"{j}_3dhp" for j in JOINTS]
    with pytest.raises(UserError, match="no joint lsho"):
        real_people.joint_names(make_view(), ("pelv_h36m",))


def test_trackers_follow_their_own_landmarks():
    """The first frame is looked at twice; where nobody is seen, the next look is by the given box again."""
    sides, scores = [], iter([0.9, 0.9, 0.2, 0.9, 0.9])

    def network(crop):
        points = np.full((39, 3), 128.0)
        points[:25] += np.random.default_rng(0).normal(0, 20, (25, 3))
        points[34, 1] -= 51.2  # the circle fills the middle fifth: the next side is half of this one
        return points, points * 10, next(scores)

    tracker = real_people.BlazePoseEstimator(network, tracks=True)
    views = [make_view(), make_view(first=False), make_view(first=False)]
    for view in views:
        tracker(view)
        sides.append(tracker._region and tracker._region.side)
    assert sides == [pytest.approx(250 / 4), None, pytest.approx(250 / 4)]


class Stub:
    """Poses at the labels' place, a decimetre too far to the right."""

    tracks = False

    def __init__(self, path):
        pass

    def __call__(self, view):
        coords3d = np.zeros((12, 3)) if view.coords3d_mm is None else view.coords3d_mm + [100, 0, 0]
        order = [[n.split("_")[0] for n in view.joint_names].index(j) for j in JOINTS]
        return Estimate(coords3d[order], view.coords2d_px[order] + [0, 2], 0.03)


@pytest.fixture
def videos(tmp_path, monkeypatch):
    truth = real_views.read_truth()
    truth["world_mm"] = truth["world_mm"][:4]
    monkeypatch.setattr(real_views, "read_truth", lambda: truth)
    for i in range(1, 5):
        video = cv2.VideoWriter(str(tmp_path / f"cam0{i}.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10, (64, 48))
        for frame in range(4):
            video.write(np.full((48, 64, 3), 40 * frame, np.uint8))
        video.release()
    return tmp_path


@pytest.fixture
def photos(tmp_path):
    cv2.imwrite(str(tmp_path / "a.jpg"), np.zeros((40, 60, 3), np.uint8))
    names = [f"{j}_coco" for j in JOINTS]
    person = {"box_ltwh_px": [1, 2, 30, 40], "joint_names": names, "coords2d_px": [None] + [[3, 4]] * 11}
    (tmp_path / "labels.json").write_text(json.dumps([{"image": "a.jpg", "people": [person]}]))
    return tmp_path


def test_views_of_a_video(videos):
    views = list(real_views.video_views(videos))
    assert [v.source for v in views] == [f"camera {i}" for i in range(1, 5) for _ in range(4)]
    assert [v.measured for v in views] == [False, False, True, False] * 4
    assert [v.first for v in views] == [True, False, False, False] * 4
    names = [str(name) for name in real_views.read_truth()["joint_names"]]
    shoulders, ankles = ([names.index(side + joint) for side in "lr"] for joint in ("sho", "ank"))
    for view in views:  # the person is in the box, and stands upright by what the camera says is up
        middle = view.coords2d_px.mean(axis=0)
        assert (view.box[:2] < middle).all() and (middle < view.box[:2] + view.box[2:]).all()
        body = view.coords3d_mm[shoulders].mean(axis=0) - view.coords3d_mm[ankles].mean(axis=0)
        assert 1000 < body @ view.up < 1600


def test_command(videos, photos, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(real_people, "ModelEstimator", Stub)
    monkeypatch.setattr(real_people, "set_threads", lambda: None)
    page, results = tmp_path / "page.md", tmp_path / "results.md"
    for path in (page, results):
        path.write_text(f"before\n{real_people.BEGIN}old\n{real_people.END}after\n")
    monkeypatch.setattr(real_people, "RESULTS", results)
    monkeypatch.setattr(real_people, "PAGES", (page,))
    flags = ["--video", str(videos), "--photos", str(photos), "--by-camera", "--by-joint", "--write"]
    real_people.run([*flags, "--models", "mine=runs/default-1", "box=pretrained"])
    out = capsys.readouterr().out
    cells = [[c.strip() for c in line.split("|")[1:-1]] for line in out.splitlines() if line.startswith("|")]
    assert ["mine", "4", "0", "0", "2.0", "100", "30"] in cells
    assert ["box", "4", "0", "0", "2.0", "100", "30"] in cells
    assert ["mine", "0, 0", "0, 0", "0, 0", "0, 0"] in cells
    assert ["mine", "0 in 3D, 1 in 2D", "-", "-", "2.0", "-", "30"] in cells
    assert out.strip() in results.read_text() and "--models mine=runs/default-1 box=pretrained`" in results.read_text()
    for text in (page.read_text(), results.read_text()):
        assert text.startswith("before\n") and text.endswith("after\n") and "old" not in text and "| mine" in text


def test_rows_of_conventions_are_those_that_a_model_has(monkeypatch):
    known = tuple(f"{j}_{c}" for c in ("h36m", "smpl") for j in JOINTS) + ("lsho_coco",)
    poses = {name: i for i, name in enumerate(known)}

    class Network:
        def estimate_poses(self, *arguments, **more):
            return {k: np.array([*poses.values()], float)[np.newaxis, :, np.newaxis] for k in ("poses3d", "poses2d")}

    def load(self, path):
        self._model, self._names, self.names = Network(), known, known

    monkeypatch.setattr(real_people.ModelEstimator, "__init__", load)
    found = real_people.make_estimators(real_people.Settings(models=("a=b",), conventions=("smpl", "coco", "h36m")))
    assert list(found) == ["a (smpl)", "a (h36m)"]
    assert found["a (smpl)"](make_view()).coords3d_mm.ravel().tolist() == [poses[f"{j}_smpl"] for j in JOINTS]
    with pytest.raises(UserError, match="a has the 12 joints of none of these conventions: coco"):
        real_people.make_estimators(real_people.Settings(models=("a=b",), conventions=("coco",)))


def test_what_is_missing_is_said(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(real_views.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="pose2sim, which has the videos, is not installed"):
        next(real_views.video_views(None))
    with pytest.raises(UserError, match="has not the videos"):
        next(real_views.video_views(tmp_path))
    with pytest.raises(UserError, match="labels.json"):
        next(real_views.photograph_views(tmp_path))
    monkeypatch.setattr(real_people.sys, "argv", ["real_people", "--video", str(tmp_path / "none.whl")])
    assert real_people.main() == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_pages_have_a_place_for_the_table():
    for page in (*real_people.PAGES, real_people.RESULTS):
        assert real_people.BEGIN in page.read_text() and real_people.END in page.read_text()
