"""MuCo-3DHP composed from made recordings: the right frames, order and masks; resumable, parallel, repeatable."""

import cv2
import numpy as np
import pytest
import scipy.io

from data_processing import muco_composition as muco
from data_processing.__main__ import main
from data_processing.cameras import project, to_camera
from data_processing.datasets.muco import read_origins
from data_processing.images import encode_jpeg, read_image
from data_processing.plain_files import write_arrays
from metrabs_acae.data.store import PoseStore
from metrabs_acae.skeletons import get_skeleton

from .datasets.test_3dhp import Y_UP, studio_camera, write_calibration
from .motion import moving
from .people import write_video

NAMES = get_skeleton("3dhp").joint_names
SIZE = (256, 256)
N = 190
SUBJECTS = (1, 2, 3)


def level(subject, frame):
    """The grey of a frame, which tells recordings and frames apart."""
    return 30 + 60 * (subject - 1) + 5 * (frame % 10)


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Three subjects with one sequence each, one camera; each stands in a column of its own, at its own depth."""
    root = tmp_path_factory.mktemp("3dhp")
    for subject in SUBJECTS:
        folder = root / f"S{subject}/Seq1"
        view = studio_camera(0, SIZE)
        world = (
            moving(NAMES, N, fps=10, seed=subject, radius_mm=150) + [700 * (subject - 2), 900 * subject, 0]
        ) @ Y_UP.T
        write_calibration(folder / "camera.calibration", [view])
        pixels = project(view, world)
        cells = {n: np.empty((1, 1), object) for n in ("annot2", "annot3", "univ_annot3")}
        cells["annot2"][0, 0] = pixels.reshape(N, -1)
        for name in ("annot3", "univ_annot3"):
            cells[name][0, 0] = to_camera(view, world).reshape(N, -1)
        scipy.io.savemat(folder / "annot.mat", cells)
        shown = {kind: [] for kind in muco.KINDS}
        for frame in range(N):
            mask = np.zeros((*SIZE[::-1], 3), np.uint8)
            low, high = pixels[frame].min(0).astype(int) - 3, pixels[frame].max(0).astype(int) + 4
            mask[max(0, low[1]) : high[1], max(0, low[0]) : high[0]] = 255
            shown["FGmasks"].append(mask)
            shown["ChairMasks"].append(np.full_like(mask, 255))
            shown["imageSequence"].append(np.full_like(mask, level(subject, frame)))
        for kind, pictures in shown.items():
            write_video(folder / kind / "video_0.avi", pictures, codec="mpeg4")
    return root


def compose(raw, out, *flags, n=6, workers=0):
    arguments = ["--raw", str(raw), "--out", str(out), "--composites", str(n), "--workers", str(workers)]
    return main(["muco-compose", *arguments, *flags])


def pictures_of(out):
    return {p.name: p.read_bytes() for p in sorted((out / muco.PICTURE_FOLDER).rglob("*.jpg"))}


def test_composites_show_the_right_frames_in_the_right_order(raw, tmp_path, capsys):
    assert compose(raw, tmp_path / "out") == 0
    assert "6 composites (0 lack a frame or a mask)" in capsys.readouterr().out
    origins = read_origins(tmp_path / "out/composites.npz")
    assert origins.shape == (6, 4, 4) and set(origins[..., 2].ravel()) == {0}
    assert origins[..., 3].min() >= muco.FIRST_FRAME - muco.MAX_SHIFT and origins[..., 3].max() < N
    depths = muco.depths_of(raw, origins)
    for number, (people, depth) in enumerate(zip(origins, depths, strict=True), start=1):
        image = read_image(muco.composite_path(tmp_path / "out", number))
        gammas = 0.7 + np.random.default_rng([0, number]).random(4) / 10
        farthest, *_, nearest = np.argsort(-depth, kind="stable").tolist()
        subject, sequence, camera, frame = people[nearest].tolist()
        labels = scipy.io.loadmat(raw / f"S{subject}/Seq{sequence}/annot.mat")["annot2"][0, 0].reshape(N, -1, 2)
        x, y = (labels[frame].min(0) + labels[frame].max(0)).round().astype(int) // 2
        expected = 255 * (level(subject, frame) / 255) ** gammas[nearest]
        assert abs(float(image[y, x].mean()) - expected) < 2  # the next frame's is 4 levels away
        subject, _, _, frame = people[farthest].tolist()
        expected = 255 * (level(subject, frame) / 255) ** gammas[farthest]
        assert abs(float(image[2, 2].mean()) - expected) < 2  # its own background
    assert not (tmp_path / "out/frames").exists()


def test_the_same_seed_gives_the_same_bytes_in_parallel_and_after_a_stop(raw, tmp_path):
    compose(raw, tmp_path / "a")
    whole = pictures_of(tmp_path / "a")
    compose(raw, tmp_path / "b", workers=2)
    assert pictures_of(tmp_path / "b") == whole
    for name in list(whole)[:2]:
        next((tmp_path / "b").rglob(name)).unlink()  # as if stopped
    assert compose(raw, tmp_path / "b") == 0 and pictures_of(tmp_path / "b") == whole
    assert compose(raw, tmp_path / "b", "--seed", "1") == 2  # another list
    compose(raw, tmp_path / "c", "--seed", "1")
    assert pictures_of(tmp_path / "c") != whole


def test_the_converter_takes_what_was_composed(raw, tmp_path):
    compose(raw, tmp_path / "out")
    store = tmp_path / "store"
    assert main(["muco", "--raw", str(tmp_path / "out"), "--out", str(store), "--workers", "0"]) == 0
    store = PoseStore(store)
    origins = read_origins(tmp_path / "out/composites.npz")
    assert store.metadata["provenance"]["notes"] == ["pictures of MPI-INF-3DHP are numbered from 0"]
    assert store.splits["train"] > 8
    for i in range(store.splits["train"]):
        row = store.row("train", i)
        subject, sequence, camera, frame = origins[row.frame - 1, row.person].tolist()
        labels = scipy.io.loadmat(raw / f"S{subject}/Seq{sequence}/annot.mat")["annot3"][0, 0].reshape(N, -1, 3)
        points = (row.coords - row.camera.optical_center_mm) @ row.camera.R.T
        np.testing.assert_allclose(points, labels[frame], atol=0.05)
        assert row.sequence == f"S{subject}/Seq{sequence}"


def test_a_list_that_a_user_has_is_read_and_what_is_missing_is_named(raw, tmp_path, capsys):
    origins = np.array([[[1, 1, 0, 0], [2, 1, 0, 1], [3, 1, 0, 5], [1, 1, 0, 7]]] * 2)
    write_arrays(tmp_path / "list.npz", {"origins": origins})
    assert compose(raw, tmp_path / "out", "--composition", str(tmp_path / "list.npz")) == 0
    assert len(pictures_of(tmp_path / "out")) == 2
    origins[:, 0, 3] = 5000  # no such frame
    write_arrays(tmp_path / "list.npz", {"origins": origins})
    assert compose(raw, tmp_path / "other", "--composition", str(tmp_path / "list.npz")) == 2
    assert "2 of 2 composites lack a frame or a mask. Fetch the missing videos" in capsys.readouterr().err
    assert compose(tmp_path / "nothing", tmp_path / "third") == 2
    assert "is it the folder of MPI-INF-3DHP?" in capsys.readouterr().err


def test_chairs_hide_who_is_behind_and_edges_are_soft():
    back, front = np.full((64, 64, 3), 100, np.uint8), np.full((64, 64, 3), 200, np.uint8)
    person = np.zeros((64, 64, 3), np.uint8)
    person[:, 40:] = 255
    chair = np.full((64, 64, 3), 255, np.uint8)
    chair[40:, :10] = 0
    layers = {"imageSequence": front, "FGmasks": person, "ChairMasks": chair}
    canvas = muco.lay_over(muco.lay_over(None, {"imageSequence": back}, 1.0), layers, 1.0)
    np.testing.assert_allclose(canvas[50, 5], 200)  # the chair
    np.testing.assert_allclose(canvas[10, 5], 100)
    np.testing.assert_allclose(canvas[10, 60], 200, atol=0.5)
    edge = cv2.GaussianBlur(person[..., 0], (0, 0), 2)[10, 38] / 255
    np.testing.assert_allclose(canvas[10, 38], 100 + 100 * edge, atol=0.5)
    assert encode_jpeg(canvas.astype(np.uint8))
