"""Cameras from other programs' files: the same real camera, written in every format."""

import json

import cv2
import numpy as np
import pytest

from data_processing import cameras
from metrabs_acae.data.camera_files import read_cameras
from metrabs_acae.data.lens import Lens
from metrabs_acae.errors import UserError

K = np.array([[1673.729614, 0, 534.494568], [0, 1673.797241, 963.225891], [0, 0, 1]])
R = np.array(
    [
        [-0.19668322, 0.97952323, -0.04301113],
        [0.31478107, 0.02153909, -0.94891988],
        [-0.92856265, -0.20017571, -0.31257175],
    ]
)
T_MM = np.array([-111.52829, 776.61848, 3067.55196])
LENS = (-0.047847, 0.136786, 0.000972, 0.000291, 0.0)
"""A camera of a real Qualisys system with video: x_camera = R x_world + t."""
QUALISYS = """<?xml version='1.0' encoding='ASCII'?><calibration><cameras><camera serial="cam02" viewrotation="0">
<transform r11="-0.19668322" r12="0.97952323" r13="-0.04301113" r21="-0.31478107" r22="-0.02153909" r23="0.94891988"
 r31="0.92856265" r32="0.20017571" r33="0.31257175" x="2582.01362" y="706.56629" z="1690.98184"/>
<intrinsic centerPointU="34207.652344" centerPointV="61646.457031" focalLengthU="107118.695313"
 focalLengthV="107123.023438" focallength="9.27" radialDistortion1="-0.047847" radialDistortion2="0.136786"
 radialDistortion3="0.000000" sensorMaxU="69568" sensorMaxV="122816" sensorMinU="0" sensorMinV="0" skew="0"
 tangentalDistortion1="0.000972" tangentalDistortion2="0.000291"/></camera></cameras></calibration>"""


def write_opencv(path, *, t=T_MM, lens=LENS, **more):
    storage = cv2.FileStorage(str(path), cv2.FILE_STORAGE_WRITE)
    for name, value in {"camera_matrix": K, "distortion_coefficients": np.array(lens), "R": R, "T": t, **more}.items():
        storage.write(name, value)
    storage.release()


def write_toml(path, *, t=T_MM / 1000, lens=LENS[:4], fisheye=False):
    rotation = cv2.Rodrigues(R)[0].ravel()
    path.write_text(
        f'[int_cam2]\nname = "cam02"\nsize = [1088.0, 1920.0]\nmatrix = {K.tolist()}\ndistortions = {list(lens)}\n'
        f"rotation = {rotation.tolist()}\ntranslation = {t.tolist()}\nfisheye = {str(fisheye).lower()}\n\n"
        "[metadata]\nadjusted = false\nerror = 0.0\n"
    )


def own(path):
    data = {"K": K.tolist(), "R": R.tolist(), "position_mm": (-R.T @ T_MM).tolist(), "up": [0, 0, 1]}
    data["lens"] = {"model": "brown_conrady", "coefficients": LENS}
    path.write_text(json.dumps({"cam02": data}), encoding="utf-8-sig")


def panoptic(path):
    camera = {"name": "cam02", "resolution": [1088, 1920], "K": K.tolist(), "distCoef": LENS, "R": R.tolist()}
    path.write_text(json.dumps({"cameras": [{**camera, "t": (T_MM[:, None] / 10).tolist()}]}))


def projection_matrix(path):
    P = -0.3 * K @ np.column_stack([R, T_MM])  # any factor
    path.write_text(json.dumps({"cam02": {"P": P.tolist(), "distortion": LENS}}))


def opengl(path):
    flip = np.diag([1.0, -1, -1])  # x right, y up, z backwards
    camera = {"K": K.tolist(), "distortion": LENS, "R": (flip @ R).tolist(), "t": (flip @ T_MM).tolist()}
    path.write_text(json.dumps({"cam02": {**camera, "axes": "OpenGL"}}))


def transforms(path):
    """Half a pixel more in the principal point: there, the corner of the picture is (0, 0)."""
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = R.T @ np.diag([1.0, -1, -1]), -R.T @ T_MM / 1000
    common = {"camera_model": "OPENCV", "fl_x": K[0, 0], "fl_y": K[1, 1], "cx": K[0, 2] + 0.5, "cy": K[1, 2] + 0.5}
    common |= {"w": 1088, "h": 1920, **dict(zip(("k1", "k2", "p1", "p2"), LENS[:4], strict=True))}
    frame = {"file_path": "images/cam02.jpg", "transform_matrix": pose.tolist()}
    path.write_text(json.dumps({**common, "frames": [frame]}))


FILES = {
    "a.yml": (write_opencv, "mm", "a"),
    "a.xml": (write_opencv, "mm", "a"),
    "b.json": (own, "m", "cam02"),  # its positions say their unit
    "c.json": (panoptic, "cm", "cam02"),
    "d.toml": (write_toml, "m", "cam02"),
    "g.json": (projection_matrix, "mm", "cam02"),
    "h.json": (opengl, "mm", "cam02"),
    "transforms.json": (transforms, "m", "cam02"),
    "e.qca.txt": (lambda path: path.write_text(QUALISYS), "m", "cam02"),
    "f.xml": (lambda path: path.write_text(QUALISYS), "mm", "cam02"),
}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_camera(tmp_path, name):
    write, unit, called = FILES[name]
    write(tmp_path / name)
    (found,) = read_cameras(tmp_path / name, unit=unit)
    assert found.name == called and found.camera.lens.model == "brown_conrady"
    assert found.image_size_wh in (None, (1088, 1920))
    world = np.array([[0.0, 0, 0], [300, -200, 1700], [-400, 500, 900]])
    expected = cv2.projectPoints(world, cv2.Rodrigues(R)[0], T_MM, K, np.array(LENS))[0][:, 0]
    np.testing.assert_allclose(cameras.project(found.camera, world), expected, atol=1e-2)


def test_two_cameras_of_one_name_are_refused(tmp_path):
    """A scene's views in several folders are often called alike."""
    transforms(tmp_path / "transforms.json")
    data = json.loads((tmp_path / "transforms.json").read_text())
    data["frames"].append({**data["frames"][0], "file_path": "others/cam02.jpg"})
    (tmp_path / "transforms.json").write_text(json.dumps(data))
    with pytest.raises(UserError, match="has several cameras called 'cam02'"):
        read_cameras(tmp_path / "transforms.json", unit="m")


def test_fisheye_is_what_is_called_so(tmp_path):
    four = (0.1, -0.05, 0.02, 0.01)
    write_toml(tmp_path / "a.toml", lens=four, fisheye=True)
    write_opencv(tmp_path / "b.yml", lens=four, distortion_model="fisheye")
    write_opencv(tmp_path / "c.yml", lens=four)
    lenses = [read_cameras(tmp_path / f, unit="m")[0].camera.lens for f in ("a.toml", "b.yml", "c.yml")]
    assert lenses == [Lens.fisheye(four), Lens.fisheye(four), Lens.brown_conrady(four)]
    write_opencv(tmp_path / "d.yml", distortion_model="omni")
    with pytest.raises(UserError, match="its lens model omni is not known here"):
        read_cameras(tmp_path / "d.yml")


def test_a_camera_without_a_place(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps({"K": [1500, 1500, 959.5, 539.5]}))
    (found,) = read_cameras(tmp_path / "a.json", world_up=(0, -1, 0))
    np.testing.assert_array_equal(found.camera.optical_center_mm, 0)
    assert found.camera.lens.is_pinhole and found.camera.world_up.tolist() == [0, -1, 0]


def wrong_lens(path):
    write_toml(path, lens=(1, 2, 3))


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.toml", write_toml, "all stand within 3.17 mm of the origin: .* unit='m' for metres"),
        ("a.toml", wrong_lens, "camera 'cam02' of .*a.toml cannot be used: a brown_conrady lens must have"),
        ("a.toml", lambda p: p.write_text("[x"), "cannot be read"),
        ("a.json", lambda p: p.write_text("{"), "cannot be read"),
        ("a.json", lambda p: p.write_text('{"K": [[1.2, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]], "size": [640, 480]}'),
         "camera 'a' .* must have focal lengths in pixels"),
        ("a.json", lambda p: p.write_text('{"K": 3}'), "camera 'a' .* cannot be used"),
        ("a.json", lambda p: p.write_text('{"x": {}}'), "has no camera; each needs an intrinsic matrix"),
        ("a.yml", lambda p: p.write_text("%YAML:1.0\n---\nK: [1, 2"), "cannot be read|has no camera|cannot be used"),
        ("a.qca.txt", lambda p: p.write_text(QUALISYS.replace('r11="-0.19668322"', 'r11="a"')), "cannot be read"),
        ("a.qca.txt", lambda p: p.write_text(QUALISYS.replace('r11="-0.19668322"', 'r11="1.3"')), "not a rotation"),
        ("a.npz", lambda p: p.write_text(""), "no camera file that is known"),
        ("a.yml", lambda p: None, "does not exist"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_file(tmp_path, name, write, message):
    write(tmp_path / name)
    with pytest.raises(UserError, match=message):
        read_cameras(tmp_path / name)


def test_the_unit_is_one_that_is_known(tmp_path):
    with pytest.raises(UserError, match="one of mm, cm, m, in, not 'inch'"):
        read_cameras(tmp_path / "a.yml", unit="inch")
