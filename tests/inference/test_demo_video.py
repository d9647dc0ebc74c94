"""The demo on videos with a stand-in for the model: files, numbers, interruption, failures that leave nothing."""

import dataclasses
import json
import os
import signal

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.inference import demo_inputs, demo_video, motion_files, video
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.pose_files import People, PoseLog, Source

SIZE_WH = (96, 64)
N_FRAMES = 10
BODY_PX = np.array([[0, -8], [-6, 0], [6, 0], [0, 8.0]])


class SpotEstimator:
    """Finds the bright spots of a picture, left to right; bodies 4 m away. Does what `on_batch` says first."""

    def __init__(self, on_batch=lambda n_before: None):
        self.on_batch, self.batches = on_batch, []

    def source(self, item, image, *, detected, tracked):
        size_wh = (image.shape[1], image.shape[0])
        camera = demo_inputs.intrinsics_from_fov(55.0, size_wh)
        names = ("head", "lsho", "rsho", "pelv")
        return Source(item.name, size_wh, camera, "spots", names, ((0, 3), (1, 2)), tracked, detected)

    def __call__(self, images, boxes, source):
        import cv2

        self.on_batch(len(self.batches))
        self.batches.append(len(images))
        found = []
        to_rays = np.linalg.inv(source.intrinsic_matrix)
        for image in images:
            spots = (image[..., 0] > 200).astype(np.uint8)
            n, _, _, centers = cv2.connectedComponentsWithStats(spots)
            centers = centers[1:][np.argsort(centers[1:, 0])]
            poses2d = centers[:, np.newaxis] + BODY_PX
            poses3d = 4000 * np.concatenate([poses2d, np.ones_like(poses2d[..., :1])], -1) @ to_rays.T
            ltwh = np.concatenate([centers - 10, np.full_like(centers, 20)], axis=1)
            found.append(
                People(
                    np.arange(n - 1), ltwh, np.ones(n - 1), poses3d, poses2d, np.zeros((n - 1, 4)), np.zeros((n - 1, 4))
                )
            )
        return found


def frame(i):
    """Two spots that walk through each other; the left one is the lower one at first."""
    image = np.full((SIZE_WH[1], SIZE_WH[0], 3), 30, np.uint8)
    for x, y in ((20 + 5 * i, 42), (70 - 5 * i, 20)):
        image[y - 3 : y + 4, x - 3 : x + 4] = 255
    return image


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clips") / "clip.mp4"
    writer = video.VideoWriter(path)
    for i in range(N_FRAMES):
        writer.write(frame(i), i * 0.1 + 0.3 * (i > 5))
    writer.close()
    return path


def run(path, out_dir, estimator=None, *, boxes_of=None, **settings):
    settings = dataclasses.replace(Demo(frames_per_batch=4), **settings)
    (item,) = demo_inputs.find_inputs([path])
    lines = []
    result = demo_video.run_video(item, out_dir, estimator or SpotEstimator(), boxes_of, settings, lines.append)
    return result, lines


def poses_by_frame(out_dir, stem="clip"):
    return json.loads((out_dir / f"{stem}.json").read_text())["frames"]


def test_all_files(clip, tmp_path):
    estimator = SpotEstimator()
    result, lines = run(clip, tmp_path, estimator)
    assert estimator.batches == [4, 4, 2]
    assert (result.n_frames, result.n_people) == (10, 20)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.html", "clip.json", "clip.npz", "clip.overlay.mp4"]
    assert {p.name for p in result.files} == {p.name for p in tmp_path.iterdir()}
    assert lines[0].startswith("clip.mp4: 10 frames, 2.0 people a frame, ")

    frames = poses_by_frame(tmp_path)
    np.testing.assert_allclose([f["time_s"] for f in frames], [i * 0.1 + 0.3 * (i > 5) for i in range(10)], atol=1e-4)
    # Numbers stay with the spots although the left one becomes the right one.
    lower = [[p["person"] for p in f["people"] if p["pose2d"][0][1] > 28] for f in frames]
    assert lower == [[1]] * 10
    overlay = list(video.VideoFile(tmp_path / "clip.overlay.mp4"))
    np.testing.assert_allclose([f.time_s for f in overlay], [f["time_s"] for f in frames], atol=1e-4)
    drawn = overlay[0].image.astype(int) - frame(0)
    assert (np.abs(drawn).max(-1) > 60).mean() > 0.02
    assert '"picture": "clip.overlay.mp4"' in (tmp_path / "clip.html").read_text()


def test_chosen_outputs_and_a_limit(clip, tmp_path):
    result, _ = run(clip, tmp_path, outputs=("npz",), max_frames=6, track=False)
    assert [p.name for p in tmp_path.iterdir()] == ["clip.npz"] and result.n_frames == 6
    with np.load(tmp_path / "clip.npz") as arrays:
        assert set(arrays["person"]) == {0, 1}


def test_files_of_motion(clip, tmp_path):
    run(clip, tmp_path, outputs=("csv", "npz", "bvh", "glb", "trc"), refine=False)
    names = ["clip.1.bvh", "clip.1.trc", "clip.2.bvh", "clip.2.trc", "clip.csv", "clip.glb", "clip.npz"]
    assert sorted(p.name for p in tmp_path.iterdir()) == names
    with np.load(tmp_path / "clip.npz") as arrays:
        assert arrays["fitted_poses3d_mm"].shape == arrays["poses3d_mm"].shape
        np.testing.assert_allclose(arrays["residual_mm"], arrays["poses3d_mm"] - arrays["fitted_poses3d_mm"], atol=1e-3)
        np.testing.assert_array_equal(arrays["motion_from_camera_mm"], [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 0]])
        first = arrays["poses3d_mm"][arrays["person"] == 1] * [1, -1, -1]
        times = arrays["times_s"]
    rows = np.array([line.split("\t") for line in (tmp_path / "clip.1.trc").read_text().splitlines()[6:]], float)
    np.testing.assert_allclose(rows[:, 2:].reshape(-1, 4, 3), first, atol=1e-3)
    np.testing.assert_allclose(rows[:, 1], times, atol=1e-6)
    # 10 frames, and 3 at the steps that the clip leaves out
    assert "Frames: 13\nFrame Time: 0.1" in (tmp_path / "clip.1.bvh").read_text()


def test_what_files_of_motion_need():
    motion_files.check_feet(Demo(outputs=("bvh",), floor=True), ("pelv", "lank"))
    motion_files.check_feet(Demo(outputs=("npz",), floor=True, track=False), ("pelv",))
    motion_files.check_tracked(Demo(outputs=("npz",), floor=True, track=False))
    with pytest.raises(UserError, match="need tracked people"):
        motion_files.check_tracked(Demo(outputs=("glb",), track=False))
    with pytest.raises(UserError, match="no feet"):
        motion_files.check_feet(Demo(outputs=("csv",), floor=True), ("pelv", "head"))


def test_people_without_a_joint_have_no_skeleton(tmp_path):
    names = ("pelv", "lank", "rank", "head")
    source = Source("a.mp4", SIZE_WH, np.eye(3), "small", names, ((0, 1), (0, 2)), tracked=True)
    pose = np.array([[0, 0, 3000], [90, 900, 3000], [-90, 900, 3000], [0, -700, 3000.0]])
    with PoseLog(source) as log:
        for i in range(3):
            poses = np.stack([pose, pose, pose])
            poses[1, 0] = np.nan
            poses[2:, :, 0] += 10 * i
            zeros = np.zeros((3, 4))
            log.add(i, i / 25, People(np.arange(3), zeros, np.ones(3), poses, poses[..., :2], zeros, zeros))
        motions = motion_files.fit_motions(log, floor=True)
        arrays = motions.arrays(log)
    assert [m.person for m in motions.people] == [0, 2]
    known = np.isfinite(arrays["fitted_poses3d_mm"]).all(axis=(1, 2))
    assert known.tolist() == [True, False, True] * 3
    assert np.abs(arrays["residual_mm"][known]).max() < 0.5
    world = arrays["motion_from_camera_mm"]
    assert (world[:, :3] @ [90, 900, 3000] + world[:, 3])[1] == pytest.approx(70, abs=1)  # ankles over the floor
    with PoseLog(source) as nobody:
        nobody.add(0, 0.0, People(*(np.zeros((0, *s)) for s in ((), (4,), (), (4, 3), (4, 2), (4,), (4,)))))
        assert motion_files.fit_motions(nobody, floor=True).people == ()


def test_smoothing_moves_both_kinds_of_poses(clip, tmp_path):
    run(clip, tmp_path / "plain", outputs=("npz",))
    run(clip, tmp_path / "smooth", outputs=("npz",), smooth=True)
    plain, smooth = (np.load(tmp_path / name / "clip.npz") for name in ("plain", "smooth"))
    assert np.abs(plain["poses3d_mm"] - smooth["poses3d_mm"]).max() > 1
    projected = smooth["poses3d_mm"] @ smooth["intrinsic_matrix"].T
    np.testing.assert_allclose(smooth["poses2d_px"], projected[..., :2] / projected[..., 2:], atol=1e-3)


def test_refined_poses_and_those_of_the_frames(clip, tmp_path):
    run(clip, tmp_path / "raw", outputs=("npz",), refine=False)
    run(clip, tmp_path / "refined", outputs=("npz",))
    raw, refined = (np.load(tmp_path / name / "clip.npz") for name in ("raw", "refined"))
    assert json.loads(str(refined["metadata"]))["refined"] and not json.loads(str(raw["metadata"]))["refined"]
    np.testing.assert_array_equal(refined["raw_poses3d_mm"], raw["poses3d_mm"])
    np.testing.assert_array_equal(refined["raw_poses2d_px"], raw["poses2d_px"])
    assert "raw_poses3d_mm" not in raw
    for key in ("frame", "person", "boxes_ltwh_px", "times_s"):
        np.testing.assert_array_equal(refined[key], raw[key])
    projected = refined["poses3d_mm"] @ refined["intrinsic_matrix"].T
    np.testing.assert_allclose(refined["poses2d_px"], projected[..., :2] / projected[..., 2:], atol=1e-3)


def test_given_boxes_are_those_of_the_frame(clip, tmp_path):
    given = []
    estimator = SpotEstimator()
    estimator.__class__ = type(
        "Recorder",
        (SpotEstimator,),
        {
            "__call__": lambda self, images, boxes, camera: (
                given.extend(boxes) or SpotEstimator.__call__(self, images, boxes, camera)
            )
        },
    )
    run(clip, tmp_path, estimator, boxes_of=lambda i: np.full((1, 4), i), outputs=("json",))
    assert [b[0, 0] for b in given] == list(range(10))


def test_ctrl_c_leaves_complete_files(clip, tmp_path):
    interrupt = lambda n: os.kill(os.getpid(), signal.SIGINT) if n == 1 else None  # noqa: E731
    with pytest.raises(KeyboardInterrupt):
        run(clip, tmp_path, SpotEstimator(interrupt))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert len(poses_by_frame(tmp_path)) == 8
    assert len(list(video.VideoFile(tmp_path / "clip.overlay.mp4"))) == 8
    with np.load(tmp_path / "clip.npz") as arrays:
        assert arrays["frames"].tolist() == list(range(8))


def test_a_failure_leaves_nothing_and_keeps_what_was(clip, tmp_path):
    (tmp_path / "clip.overlay.mp4").write_text("from before")

    def fail(n_before):
        if n_before == 1:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError):
        run(clip, tmp_path, SpotEstimator(fail))
    assert [p.name for p in tmp_path.iterdir()] == ["clip.overlay.mp4"]
    assert (tmp_path / "clip.overlay.mp4").read_text() == "from before"


def test_a_video_without_frames(tmp_path, monkeypatch, clip):
    monkeypatch.setattr(video.VideoFile, "__iter__", lambda self: iter(()))
    with pytest.raises(UserError, match="clip.mp4 has no frame that can be decoded"):
        run(clip, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_webcam_until_it_ends(tmp_path, monkeypatch):
    class Camera:
        n_frames = fps = None
        n_damaged = 0

        def __init__(self, number):
            self.name = f"webcam {number}"

        def __iter__(self):
            for i in range(3):
                yield video.Frame(i, 0.1 * i, frame(i))

        def close(self):
            pass

    monkeypatch.setattr(demo_video, "Webcam", Camera)
    monkeypatch.chdir(tmp_path)
    stop = lambda n: os.kill(os.getpid(), signal.SIGINT) if n == 1 else None  # noqa: E731
    estimator = SpotEstimator(stop)
    result, lines = run("0", tmp_path / "out", estimator, outputs=("json",))  # Ctrl-C is the normal end
    assert estimator.batches == [1, 1] and result.name == "webcam 0" and result.n_frames == 2
    assert lines[0].endswith("stopped early")
    assert len(poses_by_frame(tmp_path / "out", "webcam-0")) == 2
