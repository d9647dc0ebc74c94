"""Real files of the datasets, where they are on this machine, through the converters' own readers.

The numbers are checked by other means: the file's own values, OpenCV and SciPy, the labels' other columns. Those of
Human3.6M, MPI-INF-3DHP and ASPset are real numbers that were put into files again, not the authors' files.
"""

import json
import pickle
import shutil
import xml.etree.ElementTree
from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io
from scipy.spatial.transform import Rotation

from data_processing.cameras import project, project_camera_frame
from data_processing.datasets import aspset, bml_movi, h36m, jrdb, posetrack, rich, skeletool
from metrabs_acae.data.store_checks import forwardness
from metrabs_acae.skeletons import get_skeleton

from ..people import picture, rows_of, write_c3d, write_video
from .test_bml_movi import markers_of, write_round_f
from .test_tracks_2d import write_jrdb

REAL = Path(__file__).parents[4] / "shared" / "real"
RAW = REAL / "raw"
pytestmark = pytest.mark.skipif(not RAW.is_dir(), reason="the real files are not on this machine")


def test_jrdb_picture_2n_is_of_sensor_n(tmp_path, converted):
    cameras = jrdb.read_cameras(RAW / "jrdb/cameras.yaml")
    assert len(cameras) == 10
    found = [jrdb.camera_of(cameras, f"image_{n}/x/000000.jpg") for n in (0, 2, 4, 6, 8)]
    K = found[1].K
    np.testing.assert_allclose([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], [483.254, 485.78, 365.33, 210.953])
    np.testing.assert_allclose(found[3].K[:2, 2], [339.53, 188.481])
    yaws = [np.degrees(np.arctan2(c.R[2, 0], c.R[2, 2])) for c in found]
    np.testing.assert_allclose(yaws, [0, 72, 144, -144, -72], atol=3)  # the directions of the robot's own frame file
    height = np.mean([cameras[n].optical_center_mm[1] for n in range(5, 10)])
    assert abs(height - 123) < 15  # the second ring is a hand's breadth away: the file is in mm
    write_jrdb(tmp_path / "raw")  # labels and pictures, made
    shutil.copy(RAW / "jrdb/cameras.yaml", tmp_path / "raw/train_dataset/calibration/cameras.yaml")
    rows = rows_of(converted("jrdb", tmp_path / "raw"))
    assert {r.image_key.split("/")[0]: round(float(r.camera.K[0, 0]), 2) for r in rows} == {
        "image_0": 476.71,
        "image_2": 483.25,
    }


def test_aist(tmp_path, converted):
    """Keypoints and camera setting are real, 40 grey frames stand for the video."""
    name = "gBR_sBM_cAll_d04_mBR0_ch03"
    root = tmp_path / "raw/annotations"
    for folder in ("keypoints3d", "cameras", "splits"):
        (root / folder).mkdir(parents=True)
    shutil.copy(RAW / f"aist/{name}.pkl", root / "keypoints3d")
    shutil.copy(RAW / "aist/setting1.json", root / "cameras")
    (root / "cameras/mapping.txt").write_text(f"{name} setting1\n")
    (root / "ignore_list.txt").write_text("")
    for split, names in (("pose_train", name), ("pose_val", "")):
        (root / f"splits/{split}.txt").write_text(names + "\n")
    frames = [np.full((1080, 1920, 3), 90, np.uint8)] * 40
    write_video(tmp_path / f"raw/videos/{name.replace('cAll', 'c01')}.mp4", frames, fps=60)
    store = converted("aist", tmp_path / "raw")
    rows = rows_of(store)
    assert len(rows) > 3 and rows[-1].frame < 40
    raw = pickle.loads((RAW / f"aist/{name}.pkl").read_bytes())["keypoints3d_optim"] * 10
    setting = next(c for c in json.loads((RAW / "aist/setting1.json").read_text()) if c["name"] == "c01")
    names = [n.split("_")[0] for n in store.skeleton.joint_names]
    for row in rows:
        points = raw[row.frame]
        np.testing.assert_allclose(row.coords[names.index("nose")], points[0], atol=2e-3)
        np.testing.assert_allclose(row.coords[names.index("pelv")], (points[11] + points[12]) / 2, atol=2e-3)
        camera = (np.array(setting["rotation"]), np.array(setting["translation"]) * 10)
        pixels = cv2.projectPoints(points, *camera, np.array(setting["matrix"]), np.array(setting["distortions"]))[0]
        assert ((pixels > 0) & (pixels < [1920, 1080])).all()
        inside = project(row.camera, row.coords)
        assert ((inside > -1) & (inside < np.array(row.image_size_wh) + 1)).all()
    assert forwardness(np.stack([r.coords for r in rows]), store.skeleton.joint_names) > 0.9
    heights = np.array([r.coords[names.index("nose"), 1] - r.coords[names.index("lank"), 1] for r in rows])
    assert ((heights > 1000) & (heights < 1900)).all()  # y is up, mm


def test_aspset(tmp_path, converted):
    pytest.importorskip("ezc3d")
    data = np.load(RAW / "aspset/04ac-0026-frame.npz")
    camera = aspset.read_camera(RAW / "aspset/04ac-right.json")
    error = np.linalg.norm(project(camera, data["joints_3d"]) - data["joints_2d_right"], axis=-1)
    assert error.max() < 0.001  # the authors' own pixels
    root = tmp_path / "raw/trainval"
    names = [n.split("_")[0] for n in get_skeleton("aspset").joint_names]
    write_c3d(root / "joints_3d/04ac/04ac-0026.c3d", data["joints_3d"][None], names=names)
    (root / "cameras/04ac").mkdir(parents=True)
    shutil.copy(RAW / "aspset/04ac-right.json", root / "cameras/04ac")
    low, high = data["joints_2d_right"].min(0), data["joints_2d_right"].max(0)
    (root / "boxes/04ac").mkdir(parents=True)
    (root / "boxes/04ac/04ac-0026-right.csv").write_text("l,t,r,b\n" + ",".join(map(str, [*low, *high])) + "\n")
    frame = picture((3840, 2160), 60, data["joints_2d_right"][[0]])
    write_video(root / "videos/04ac/04ac-0026-right.mkv", [frame], fps=50)
    (tmp_path / "raw/splits.csv").write_text("04ac,0026,train,right\n")
    (row,) = rows_of(converted("aspset", tmp_path / "raw"))
    np.testing.assert_allclose(row.coords, data["joints_3d"], atol=0.01)
    assert Rotation.from_matrix(row.camera.R).magnitude() < np.pi


@pytest.mark.parametrize("name, center", [("PG1", (407.0273103, 290.16967878)), ("PG2", (391.275, 308.911))])
def test_bml_movi_pixels_are_counted_from_0(tmp_path, converted, name, center):
    camera = bml_movi.read_camera(RAW / "bml_movi/Calib", name)
    np.testing.assert_allclose(camera.K[:2, 2], center, atol=1e-3)
    raw = np.load(RAW / f"bml_movi/Calib/Extrinsics_{name}.npz")
    t = -camera.R @ camera.optical_center_mm
    np.testing.assert_allclose(t, raw["translationVector"].ravel(), atol=1e-6)
    # an independent projection by MATLAB's formula, in row vectors: [x y 1] ~ [X 1] [R; t] K, counted from 1
    lens = np.load(RAW / f"bml_movi/Calib/cameraParams_{name}.npz")
    point = np.array([300.0, -200, 1000])
    in_camera = point @ raw["rotationMatrix"] + raw["translationVector"].ravel()
    x, y = in_camera[:2] / in_camera[2]
    r2 = x * x + y * y
    k1, k2 = lens["RadialDistortion"].ravel()
    bent = np.array([x, y]) * (1 + k1 * r2 + k2 * r2 * r2)
    expected = (np.array([*bent, 1]) @ lens["IntrinsicMatrix"])[:2] - 1
    np.testing.assert_allclose(project(camera, point[None])[0], expected, atol=1e-6)
    if name == "PG1":
        markers = markers_of(21)
        write_round_f(tmp_path / "raw", markers=markers)
        shutil.rmtree(tmp_path / "raw/Calib")
        shutil.copytree(RAW / "bml_movi/Calib", tmp_path / "raw/Calib")
        write_video(tmp_path / "raw/F_PG1_Subject_3_L.avi", [np.full((600, 800, 3), 70, np.uint8)] * 6, fps=30)
        rows = rows_of(converted("bml_movi", tmp_path / "raw"))
        assert rows and all(np.allclose(r.coords, markers[4 * r.frame], atol=0.01) for r in rows)


def test_h36m_cameras():
    cameras = h36m.read_cameras(RAW / "h36m/metadata_w0.xml")
    assert len(cameras) == 44
    text = xml.etree.ElementTree.parse(RAW / "h36m/metadata_w0.xml").getroot().find("w0").text
    numbers = np.array(text.strip().strip("[]").split(), float)
    for i, (camera_name, subject) in enumerate((c, s) for c in h36m.CAMERAS for s in range(1, 12)):
        camera = cameras[camera_name, subject]
        values = numbers[6 * i : 6 * i + 6]
        expected = Rotation.from_euler("XYZ", values[:3]).as_matrix()
        np.testing.assert_allclose(camera.R, expected, atol=1e-9)
        np.testing.assert_allclose(camera.optical_center_mm, values[3:], atol=1e-9)
    K = cameras["54138969", 1].K
    np.testing.assert_allclose([K[0, 0], K[1, 1], *K[:2, 2]], [1145.049, 1143.781, 512.542, 515.451], atol=1e-3)
    labels = json.loads((REAL / "labels.json").read_text())
    for label in (v for v in labels if v["image"].startswith(("S1_Dir", "S5_Sit"))):
        camera = cameras["54138969", int(label["image"][1])]
        np.testing.assert_allclose(camera.K, label["intrinsics"], atol=1e-6)
        person = label["people"][0]
        pixels = project_camera_frame(camera, np.array(person["coords3d_mm"], float))
        error = np.linalg.norm(pixels - np.array(person["coords2d_px"], float), axis=-1)
        assert np.nanmedian(error) < 0.3


def test_3dhp(tmp_path, converted):
    folder = RAW / "3dhp/example01"
    (camera,) = skeletool.read_cameras(folder / "camera.calibration")
    np.testing.assert_allclose(camera.K, [[1490.952, 0, 987.6075], [0, 1491.108, 1019.069], [0, 0, 1]])
    np.testing.assert_allclose(camera.world_up, [0, 1, 0])
    pose = np.loadtxt(folder / "univ_annot3.txt")
    out = tmp_path / "raw/S1/Seq1"
    out.mkdir(parents=True)
    shutil.copy(folder / "camera.calibration", out)
    cell = np.empty((1, 1), object)
    cell[0, 0] = pose.reshape(1, -1)
    pixels = project_camera_frame(camera, pose)
    flat = np.empty((1, 1), object)
    flat[0, 0] = pixels.reshape(1, -1)
    scipy.io.savemat(out / "annot.mat", {"annot3": cell, "univ_annot3": cell, "annot2": flat})
    write_video(out / "imageSequence/video_0.avi", [picture((2048, 2048), 60, pixels[[16]])], codec="mpeg4")
    (row,) = rows_of(converted("3dhp", tmp_path / "raw"))
    names = [n.split("_")[0] for n in get_skeleton("3dhp").joint_names]
    heights = row.coords[:, 1]
    assert heights[names.index("htop")] - heights[names.index("ltoe")] > 1400
    np.testing.assert_allclose(np.mean([heights[names.index(f"{s}toe")] for s in "lr"]), 43, atol=10)  # mm, y up
    np.testing.assert_allclose((row.coords - camera.optical_center_mm) @ camera.R.T, pose, atol=0.01)
    assert forwardness(row.coords[None], get_skeleton("3dhp").joint_names) == 1


@pytest.mark.parametrize("sequence", ["003418_mpii_test", "009473_mpii_test"])
def test_posetrack(tmp_path, converted, sequence):
    """Real annotations and the first picture of each sequence; the others, which are not at hand, are missing."""
    shutil.copytree(RAW / "posetrack", tmp_path / "raw")
    for path in (tmp_path / "raw/annotations/val").glob("*.json"):
        if path.stem != sequence:
            path.unlink()
    data = json.loads((tmp_path / f"raw/annotations/val/{sequence}.json").read_text())
    assert data["categories"][0]["keypoints"] == list(posetrack.KEYPOINT_NAMES)
    rows = rows_of(converted("posetrack", tmp_path / "raw"), "valid")
    assert rows
    first = f"images/val/{sequence}/000000.jpg"
    number = next(i["id"] for i in data["images"] if i["file_name"] == first)
    labelled = {a["track_id"]: a for a in data["annotations"] if a["image_id"] == number and "keypoints" in a}
    for row in rows:
        assert row.image_key == first
        table = np.array(labelled[row.person]["keypoints"], float).reshape(-1, 3)
        known = table[:, 2] == 1
        np.testing.assert_allclose(row.coords[known], table[known, :2], atol=1e-3)
        assert np.isnan(row.coords[~known]).all()
        np.testing.assert_allclose(row.box_ltwh_px, labelled[row.person]["bbox"], atol=1e-3)


def test_rich_genders_and_names():
    genders = json.loads((RAW / "rich/gender.json").read_text())
    assert len(genders) == rich.N_SUBJECTS
    assert {int(s): rich.gender_of(int(s)) for s in genders} == {int(s): g for s, g in genders.items()}
    for part in ("train", "val", "test"):
        for line in (RAW / f"rich/{part}.txt").read_text().splitlines()[1:]:
            sequence, *columns = line.split("\t")
            subjects = rich.subjects_of(sequence)
            assert int(columns[2]) in subjects, line
            assert all(0 <= s < rich.N_SUBJECTS for s in subjects)
    endings = set(json.loads((RAW / "rich/imgext.json").read_text()).values())
    assert endings <= set(rich.SUFFIXES)
