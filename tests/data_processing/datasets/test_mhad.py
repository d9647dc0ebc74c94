"""Berkeley MHAD: a fixture in its layout and formats."""

import cv2
import numpy as np
import pytest

from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.datasets import mhad
from data_processing.images import read_image
from data_processing.raw_images import read_any_image, read_pnm
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import camera, check_reprojection, picture, pose, rows_of, turn_world, write_c3d

pytest.importorskip("ezc3d")

NAMES = get_skeleton("bmhad").joint_names
WRIST = NAMES.index("rwri_bmhad")
SIZE = (320, 240)
DISTORTION = (-0.2, 0.1, 0.001, -0.001)
TO_RAW = np.array([[-1, 0, 0], [0, 1, 0], [0, 0, 1.0]]) @ np.diag([1, -1, 1])  # as the C3D files: z up, turned about
RAW_TO_WORLD = np.array([[-1, 0, 0], [0, 0, 1], [0, 1, 0.0]])
TO_WORLD = RAW_TO_WORLD @ TO_RAW
VIEWS = {
    "Cluster01/Cam01": ("l01", 1),
    "Cluster01/Cam02": ("l01", 2),
    "Kin02": ("k02", 1),
}


def view(cluster, number):
    made = camera({"l01": 20, "k02": 100}[cluster] + 15 * number, size_wh=SIZE, focal=330, distortion=DISTORTION)
    return turn_world(made, TO_WORLD, (0, 1, 0))


def mosaic(image):
    """The Bayer mosaic (green-red, blue-green) of an RGB picture."""
    grey = image[..., 1].copy()
    grey[::2, 1::2], grey[1::2, ::2] = image[::2, 1::2, 0], image[1::2, ::2, 2]
    return grey


def pnm(image) -> bytes:
    kind = b"P5" if image.ndim == 2 else b"P6"
    return kind + b"\n# a comment\n%d %d\n255\n" % image.shape[1::-1] + image.tobytes()


def matrix(values, rows) -> str:
    data = ", ".join(f"{v:.9e}" for v in np.ravel(values))
    shape = f"rows: {rows}\n      cols: {np.size(values) // rows}"
    return f"!!opencv-matrix\n      {shape}\n      dt: d\n      data: [ {data} ]"


def write(raw, xs=(0.0, 60.0, 120.0), *, lost=()):
    """One recording; the person is at `xs` in the pictures; the motion capture has four frames to each."""
    frames = np.array([pose(NAMES, at=(x, 0)) @ TO_RAW.T for x in xs for _ in range(4)])
    for frame, joint in lost:
        frames[frame, joint] = np.nan
    write_c3d(raw / "Mocap" / "OpticalData" / "moc_s01_a02_r03.c3d", frames, names=NAMES, rate=480)
    (raw / "Calibration").mkdir()
    for place, (cluster, number) in VIEWS.items():
        is_kinect = cluster.startswith("k")
        folder = raw / ("Kinect" if is_kinect else "Camera")
        pictures = folder / place / "S01" / "A02" / "R03"
        pictures.mkdir(parents=True)
        for i, x in enumerate(xs):
            seen = view(cluster, number)
            image = picture(SIZE, 40 + 8 * i, project(seen, TO_WORLD @ pose(NAMES, at=(x, 0))[WRIST]))
            image[..., 2] //= 2  # yellowish: the colours tell how the mosaic was read
            if is_kinect:
                (pictures / f"kin_k02_s01_a02_r03_color_{i:05d}.ppm").write_bytes(pnm(image))
            else:
                name = f"img_l01_c{number:02d}_s01_a02_r03_{i:05d}.pgm"
                (pictures / name).write_bytes(pnm(mosaic(image)))
        (folder / "Correspondences").mkdir(exist_ok=True)
        name = "corr_moc_kin02" if is_kinect else "corr_moc_img"
        lines = [f"{i} {i / 22:.6f} {4 * i + 1} 0.001" for i in range(len(xs))]
        (folder / "Correspondences" / f"{name}_s01_a02_r03.txt").write_text("\n".join(lines) + "\n")
    write_calibration(raw / "Calibration", "l01", 2)
    write_calibration(raw / "Calibration", "k02", 1)


def write_calibration(folder, cluster, n_cameras):
    """The cluster stands where its first camera stands, but turned."""
    first = view(cluster, 1)
    R = cv2.Rodrigues(np.array([0.1, -0.2, 0.05]))[0] @ first.R
    t = -R @ first.optical_center_mm
    text = "Rw=" + " ".join(f"{v:.9f}" for v in R.ravel()) + " \nTw=" + " ".join(f"{v:.7e}" for v in t) + " \n"
    (folder / f"RwTw_{cluster}.txt").write_text(text)
    lines = ["%YAML:1.0", f"Number of cameras: {n_cameras}"]
    for number in range(1, n_cameras + 1):
        seen = view(cluster, number)
        R_in_cluster = seen.R @ R.T
        t_in_cluster = -seen.R @ seen.optical_center_mm - R_in_cluster @ t
        place = np.concatenate([t_in_cluster, cv2.Rodrigues(R_in_cluster)[0].ravel()])
        lines += [f"Camera_{number}:", f"   K: {matrix(seen.K, 3)}", f"   Dist: {matrix(DISTORTION, 4)}"]
        lines += [f"   PosRel: {matrix(place, 6)}"]
    (folder / f"camcfg_{cluster}.yml").write_text("\n".join(lines) + "\n")


def test_clusters_and_kinects(tmp_path, converted):
    write(tmp_path / "raw", lost=[(1, NAMES.index("lfoo_bmhad"))])
    rows = rows_of(converted("bmhad", tmp_path / "raw"))
    # picture 1 has moved by 60 mm but shows a foot that picture 0 lacks
    assert [r.frame for r in rows] == [0, 1] * 3
    assert [r.image_key.split("/S01")[0] for r in rows[::2]] == [
        "Camera/Cluster01/Cam01", "Camera/Cluster01/Cam02", "Kinect/Kin02",
    ]  # fmt: skip
    for row in rows:
        expected = pose(NAMES, at=(60 * row.frame, 0)) @ TO_WORLD.T
        known = np.isfinite(row.coords).all(-1)
        assert known.sum() == 43 - (row.frame == 0)
        np.testing.assert_allclose(row.coords[known], expected[known], atol=0.01)
        assert row.coords[NAMES.index("head_bmhad"), 1] > row.coords[NAMES.index("rank_bmhad"), 1] + 1000
        check_reprojection(row, joint=WRIST, level=40 + 8 * row.frame)
        joints = box_of_points(project(row.camera, row.coords))
        assert row.box_ltwh_px[3] == pytest.approx(1.05 * joints[3], rel=0.1)
        image = read_image(row.image_path)
        inside = image[image[..., 0] > 15].reshape(-1, 3)
        np.testing.assert_allclose(np.median(inside, 0), np.array([1, 1, 0.5]) * (40 + 8 * row.frame), atol=3)
    assert rows[0].sequence == "s01_a02_r03" and rows[0].activity == "a02"


def test_a_repeated_movement_is_kept_once(tmp_path, converted):
    write(tmp_path / "raw", xs=(0.0, 200.0, 0.0, 200.0))
    rows = rows_of(converted("bmhad", tmp_path / "raw"))
    assert [r.frame for r in rows] == [0, 1] * 3


def test_damaged_files_are_named(tmp_path, converted):
    raw = tmp_path / "raw"
    write(raw, xs=(0.0,))
    with pytest.raises(UserError, match="RwTw_l01.txt is not a cluster's place"):
        mhad.read_cameras(raw, "l01")
    (raw / "Calibration" / "camcfg_k02.yml").write_text("%YAML:1.0\n---\nCamera_1: 3\n")
    with pytest.raises(UserError, match="camcfg_k02.yml is not a camera configuration"):
        converted("bmhad", raw)
    write_calibration(raw / "Calibration", "k02", 1)
    pgm = next(raw.rglob("*_c01_*.pgm"))
    pgm.write_bytes(pgm.read_bytes()[:500])
    with pytest.raises(UserError, match=r"00000.pgm is cut off"):
        converted("bmhad", raw, out="other")
    pgm.unlink()
    store = converted("bmhad", raw, out="other")
    assert store.metadata["provenance"]["left_out"] == {"no picture for a labelled frame": 1}


def test_picture_formats(tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    (tmp_path / "a.ppm").write_bytes(pnm(image))
    np.testing.assert_array_equal(read_any_image(tmp_path / "a.ppm"), image)
    (tmp_path / "a.pgm").write_bytes(pnm(image[..., 0]))
    np.testing.assert_array_equal(read_pnm(tmp_path / "a.pgm"), image[..., 0])
    cv2.imwrite(str(tmp_path / "a.bmp"), image[..., ::-1])
    np.testing.assert_array_equal(read_any_image(tmp_path / "a.bmp"), image)
    data = (tmp_path / "a.bmp").read_bytes()
    for bad in (data[:60], b"BM" + bytes(52), b"P5", data[:18] + b"\xff\xff\xff\x7f" * 2 + data[26:]):
        (tmp_path / "b.bmp").write_bytes(bad)
        with pytest.raises(UserError, match=r"b\.bmp"):
            read_any_image(tmp_path / "b.bmp")
    for bad in (b"P5 7 5 65535\n" + bytes(99), b"P3 1 1 255\n0", b"P6 999999 999999 255\n", b""):
        (tmp_path / "b.ppm").write_bytes(bad)
        with pytest.raises(UserError, match=r"b\.ppm"):
            read_any_image(tmp_path / "b.ppm")
