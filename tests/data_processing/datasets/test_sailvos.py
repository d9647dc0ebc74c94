"""SAIL-VOS: a fixture in its layout and formats, with bones of known places and no camera."""

import json

import cv2
import numpy as np
import pytest

from data_processing import masks
from data_processing.boxes import box_of_points
from data_processing.cameras import make_camera, project
from data_processing.datasets import sailvos
from metrabs_acae.data.crop import looking_rotation
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..people import check_reprojection, picture, pose, rows_of

NAMES = get_skeleton("sailvos").joint_names
WRIST = NAMES.index("rwri_sailvos")
FOCAL = 1280 / 2 / np.tan(np.radians(48) / 2)
TOWN = np.array([-1200_000.0, 800_000, 30_000])
"""Where the scene is in the game's world; it is large."""


def view(shift):
    center = TOWN + [shift, -6000, 1800]
    R = looking_rotation(TOWN + [shift, 0, 900] - center, np.array([0, 0, 1.0]))
    return make_camera(R, center, [[FOCAL, 0, 640], [0, FOCAL, 400], [0, 0, 1]])


def bones_of(points, rng):
    """Raw bones: those of each joint lie around it, the others anywhere in the body."""
    bones = points[rng.integers(0, len(points), sailvos.N_BONES)] + rng.normal(0, 30, (sailvos.N_BONES, 3))
    for joint, group in enumerate(sailvos.BONES):
        offsets = rng.normal(0, 10, (len(group), 3))
        bones[list(group)] = points[joint] + offsets - offsets.mean(0)
    return bones


def write(raw, frames, *, sequence="ah_1_mcs_1", hidden=()):
    """`frames`: {frame: [(object, x, y)]}, nearer people last; `hidden`: (frame, object) seen only in part."""
    folder = raw / sequence
    for name in ("images", "visible"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for i, (frame, people) in enumerate(frames.items()):
        seen, rng = view(30 * i), np.random.default_rng(i)
        visible, spots = np.zeros((800, 1280), np.int32), []
        for number, x, y in people:
            points = TOWN + pose(NAMES, at=(x, y))
            person = folder / f"{number}_Ped_{4000 + number}"
            person.mkdir(exist_ok=True)
            bones = bones_of(points, rng)
            pixels = project(seen, bones)
            bones, pixels = bones / 1000, pixels.copy()
            bones[sailvos.BONES[25]], pixels[sailvos.BONES[24]] = 0, (-1280, -800)  # no left hand, no right in 2D
            np.savetxt(person / f"{frame:06d}_3d.txt", bones)
            np.savetxt(person / f"{frame:06d}_2d.txt", pixels)
            left, top, width, height = box_of_points(project(seen, points), 1.1).astype(int)
            silhouette = np.zeros((800, 1280), np.uint8)
            silhouette[max(0, top) : top + height, max(0, left) : left + width] = 255
            cv2.imwrite(str(person / f"{frame:06d}.png"), silhouette)
            part = silhouette > 0
            if (frame, number) in hidden:
                part[: top + int(0.8 * height)] = False
            visible[part] = number
            spots.append(project(seen, points[WRIST]))
        np.save(folder / "visible" / f"{frame:06d}.npy", visible)
        cv2.imwrite(str(folder / "images" / f"{frame:06d}.bmp"), picture((1280, 800), 40 + 8 * i, spots))
    return folder


def test_cameras_are_found_and_people_cut_out(tmp_path, converted):
    write(tmp_path / "raw", {7: [(12, 0, 0), (9, 1000, 500)], 8: [(12, 60, 0)], 10: [(12, 120, 0)]})
    store = converted("sailvos", tmp_path / "raw")
    assert store.realistic_background
    rows = rows_of(store)
    assert [(r.frame, r.person) for r in rows] == [(7, 12), (7, 9), (10, 12)]
    for row in rows:
        i = {7: 0, 10: 2}[row.frame]
        points = TOWN + pose(NAMES, at={9: (1000, 500), 12: (60 * i, 0)}[row.person])
        camera_frame = (row.coords - row.camera.optical_center_mm) @ row.camera.R.T
        assert np.isnan(row.coords[25]).all()
        relative = row.coords - row.camera.optical_center_mm
        expected = points - view(30 * i).optical_center_mm
        np.testing.assert_allclose(relative[:25], expected[:25], atol=3)
        assert (camera_frame[:25, 2] > 4000).all()
        check_reprojection(row, joint=WRIST, level=40 + 8 * i)
        pixels = project(row.camera, row.coords)
        np.testing.assert_allclose(row.box_ltwh_px[3], 1.1 * box_of_points(pixels)[3], rtol=0.05)
        assert np.abs(row.camera.optical_center_mm).max() < 1000  # the sequence's mean is subtracted
    both = masks.decode(rows[0].mask)
    alone = masks.decode(rows[2].mask)
    assert both.mean() > alone.mean() > 0.05  # the mask is that of all people


def test_hidden_small_and_unlikely_people_are_left_out(tmp_path, converted):
    frames = {1: [(3, 9000, 60_000), (4, 900, 300), (5, 0, 0)]}
    folder = write(tmp_path / "raw", frames, hidden=[(1, 4)])
    (folder / "5_Ped_4005" / "000002_2d.txt").write_text("")
    store = converted("sailvos", tmp_path / "raw")
    assert [r.person for r in rows_of(store)] == [5]
    reasons = store.metadata["provenance"]["left_out"]
    assert reasons == {"2D bones without 3D ones": 1, "small": 1, "mostly hidden": 1}


def test_detections(tmp_path, converted):
    write(tmp_path / "raw", {1: [(5, 0, 0), (6, 1200, 0)]})
    left, top, width, height = box_of_points(project(view(0), TOWN + pose(NAMES)))
    boxes = [[left, top, 1.4 * width, height, 0.9], [0, 0, 5, 5, 0.9]]
    (tmp_path / "d.json").write_text(json.dumps({"ah_1_mcs_1/images/000001.bmp": boxes}))
    store = converted("sailvos", tmp_path / "raw", detector=f"json:{tmp_path / 'd.json'}")
    (row,) = rows_of(store)
    assert row.box_ltwh_px[2] / row.box_ltwh_px[3] == pytest.approx(1.4 * width / height, rel=0.03)
    assert store.metadata["provenance"]["left_out"] == {"not visible or no detection": 1}


def test_damaged_files_are_named(tmp_path, converted):
    raw = tmp_path / "raw"
    folder = write(raw, {1: [(5, 0, 0)]})
    visible = folder / "visible" / "000001.npy"
    data = visible.read_bytes()
    visible.write_bytes(data[:1000])
    with pytest.raises(UserError, match="000001.npy is not a map of visible objects"):
        converted("sailvos", raw)
    np.save(visible, np.zeros((10, 10), np.int32))
    with pytest.raises(UserError, match="have different sizes"):
        converted("sailvos", raw)
    bones = folder / "5_Ped_4005" / "000001_3d.txt"
    for text in ("1 2 3\n", "1 2\n3\n", "a b c\n"):
        bones.write_text(text)
        with pytest.raises(UserError, match="000001_3d.txt is not a list of bones"):
            converted("sailvos", raw)
