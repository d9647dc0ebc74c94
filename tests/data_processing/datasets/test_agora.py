"""AGORA: pickled tables of pandas, pictures and masks of the reduced release (the full-size one: only the lens)."""

import json
import shutil

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from data_processing import masks
from data_processing.boxes import box_of_points
from data_processing.cameras import project
from data_processing.datasets import agora
from data_processing.verify import verify
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

from ..body_models import SMPL_NAMES
from ..people import check_reprojection, picture, pose, rows_of
from ..test_pandas_pickle import write_table

SIZE = (1280, 720)
Y_DOWN = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0.0]])
SMPLX = {n: i for i, n in enumerate([*SMPL_NAMES[:22], "jaw", "leyehf", "reyehf"])}
SMPLX |= {"lmiddle1": 28, "rmiddle1": 43, "lthu": 66, "lmiddle": 68, "rthu": 71, "rmiddle": 73}
SMPLX |= {n: 55 + i for i, n in enumerate("nose,reye,leye,rear,lear,lto2,lto3,lhee,rto2,rto3,rhee".split(","))}
FIXED, FREE = "ag_trainset_3dpeople_bfh_archviz_5_10_cam00_00007.png", "ag_validationset_renderpeople_5_15_00003.png"
COLORS = ((200, 30, 20), (10, 120, 220))
# picture: rotation world to camera, centre (m; y down), focal length (px), camX, camY, camZ (cm), camYaw
CAMERAS = {
    FIXED: (Rotation.from_euler("yx", [-135, 30], degrees=True), (-2.75, -2.65, 4.0), 640.0, (0.0, 0.0, 0.0, 0.0)),
    FREE: (
        Rotation.from_euler("y", -25, degrees=True),
        (0.3, -1.6 - 1.7, -0.5),
        28 / 36 * 1280,
        (-50.0, 30.0, 160.0, 25.0),
    ),
}


def people_before(name, n, distance_m=5.0):
    """World joints by name (mm) of people who stand side by side before a picture's camera, on its floor."""
    turn, center, _, _ = CAMERAS[name]
    forward = turn.inv().apply([0, 0, 1]) * [1, 0, 1]
    forward /= np.linalg.norm(forward)
    right = turn.inv().apply([1, 0, 0])
    floor = np.array([center[0], 0 if "cam00" in name else center[1] + 1.5, center[2]])
    listed = []
    for i in range(n):
        at = floor + distance_m * forward + (0.9 * i - 0.4) * right
        names = sorted({*SMPL_NAMES, *SMPLX})
        points = pose(names) @ Y_DOWN.T + at * 1000
        listed.append(dict(zip(names, points, strict=True)))
    return listed


def to_pixels(name, points_mm):
    turn, center, focal, _ = CAMERAS[name]
    x, y, z = turn.apply(points_mm - np.array(center) * 1000).T
    return np.stack([focal * x / z + 640, focal * y / z + 360], -1)


def row_of(name, people, occlusion, valid):
    turn, center, _, place = CAMERAS[name]
    body, whole = [], []
    for person in people:
        to_camera = {n: turn.apply(p / 1000 - center) for n, p in person.items()}
        body.append(np.array([to_camera[n] for n in SMPL_NAMES] + [np.zeros(3)] * 21))
        table = np.full((127, 3), 9.0)
        table[list(SMPLX.values())] = [to_camera[n] for n in SMPLX]
        whole.append(table)
    shared = {"imgPath": name, "isValid": valid, "occlusion": occlusion}
    shared |= dict(zip(("camX", "camY", "camZ", "camYaw"), place, strict=True))
    verts = [np.zeros((6890, 3))] * len(people)
    return [shared | {"gt_joints_3d": j, "gt_verts": verts} for j in (body, whole)]


def write(raw):
    """Three people with masks in a training picture: the second half hidden by the third, who is marked invalid."""
    worlds = {FIXED: people_before(FIXED, 3), FREE: people_before(FREE, 1)}
    for part, folder, name, level, state in (
        ("train_0", "train_0", FIXED, 60, ([0.0, 60.0, 10.0], [True, True, False])),
        ("validation_0", "validation", FREE, 80, ([5.0], [True])),
    ):
        for model, row in zip(("SMPL", "SMPLX"), row_of(name, worlds[name], *state), strict=True):
            write_table(raw / model / f"{part}_withjv.pkl", {k: [v] for k, v in row.items()}, old=model == "SMPL")
        spots = [to_pixels(name, np.array([p["lwri"]]))[0] for p in worlds[name]]
        (raw / folder).mkdir(parents=True)
        _write_png(raw / folder / name.replace(".png", "_1280x720.png"), picture(SIZE, level, spots))
    folder = raw / "train/ag_trainset_3dpeople_bfh_archviz"
    folder.mkdir(parents=True)
    start = "ag_trainset_3dpeople_bfh_archviz_5_10_mask_cam00_000007"
    everyone = np.full((SIZE[1], SIZE[0], 3), (255, 0, 0), np.uint8)  # as the authors have it
    shown = []
    for i, color in enumerate((*COLORS, (90, 90, 9))):
        left, top, width, height = box_of_points(to_pixels(FIXED, np.array(list(worlds[FIXED][i].values())))).astype(
            int
        )
        alone = np.zeros_like(everyone)  # on black
        alone[top : top + height, left : left + width] = color
        _write_png(folder / f"{start}_{i + 1:05d}_1280x720.png", alone)
        shown.append([left, top, width, height])
        # The lower half of the second is behind something.
        everyone[top : top + (height // 2 if i == 1 else height), left : left + width] = color
    _write_png(folder / f"{start}_00000_1280x720.png", everyone)
    return worlds, shown


def _write_png(path, image):
    path.write_bytes(cv2.imencode(".png", image[..., ::-1], [cv2.IMWRITE_PNG_COMPRESSION, 1])[1].tobytes())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The raw folder, the people's joints, and the boxes of the first picture's people."""
    raw = tmp_path_factory.mktemp("agora")
    return raw, *write(raw)


def test_agora(written, converted):
    raw, worlds, _ = written
    store = converted("agora", raw)
    rows = rows_of(store)
    # The second person is 60 % hidden and there is no detector that found it.
    assert [(r.sequence, r.person) for r in rows] == [("train_0", 0), ("validation_0", 0)]
    assert store.metadata["provenance"]["left_out"] == {"largely hidden and not detected": 1}
    for row, name in zip(rows, (FIXED, FREE), strict=True):
        for point, joint in zip(row.coords, store.skeleton.joint_names, strict=True):
            np.testing.assert_allclose(point, worlds[name][0][joint.rsplit("_", 1)[0]], atol=0.05, err_msg=joint)
        wrist = list(store.skeleton.joint_names).index("lwri_smplx")
        check_reprojection(row, joint=wrist, level=60 if name == FIXED else 80)
        np.testing.assert_allclose(row.camera.world_up, [0, -1, 0])
        np.testing.assert_allclose(row.camera.optical_center_mm / 1000, CAMERAS[name][1], atol=1e-6)
    assert 0.05 < masks.decode(rows[0].mask).mean() < 0.7 and rows[1].mask is None  # the red around people is none
    label = box_of_points(project(rows[0].camera, rows[0].coords))
    np.testing.assert_allclose(rows[0].box_ltwh_px, label, atol=8)
    assert store.skeleton.joint_names[24:] == get_skeleton("smplx").joint_names
    assert not verify(store.path).errors


def test_a_detection_brings_back_who_is_half_hidden(written, converted, tmp_path):
    raw, _, shown = written
    left, top, width, height = (int(v) for v in shown[1])
    found = [[left, top, width, height // 2, 0.9]]
    (tmp_path / "d.json").write_text(json.dumps({f"train_0/{FIXED[:-4]}_1280x720.png": found}))
    store = converted("agora", raw, detector=f"json:{tmp_path / 'd.json'}", limit=1)
    rows = rows_of(store)
    assert [r.person for r in rows] == [0, 1]
    label = box_of_points(project(rows[1].camera, rows[1].coords))
    assert rows[1].box_ltwh_px[3] == pytest.approx(label[3] / 2, rel=0.15)  # the box is of what is seen


def test_a_missing_mask_costs_one_mask_and_validation_is_found_where_it_unpacks(written, converted, tmp_path):
    raw = tmp_path / "raw"
    shutil.copytree(written[0], raw)
    next((raw / "train").rglob("*_00001_1280x720.png")).unlink()
    for model in ("SMPL", "SMPLX"):
        (raw / f"validation_{model}" / model).mkdir(parents=True)
        (raw / model / "validation_0_withjv.pkl").rename(raw / f"validation_{model}/{model}/validation_0_withjv.pkl")
    (raw / "validation_images_1280x720").mkdir()
    (raw / "validation").rename(raw / "validation_images_1280x720/validation")
    store = converted("agora", raw)
    rows = rows_of(store)
    assert [(r.sequence, r.person) for r in rows] == [("train_0", 0), ("validation_0", 0)]
    assert store.metadata["provenance"]["left_out"]["a person's mask is missing (the box is that of the joints)"] == 1
    label = box_of_points(project(rows[0].camera, rows[0].coords), agora.BOX_FACTOR)
    np.testing.assert_allclose(rows[0].box_ltwh_px, label, atol=8)
    assert rows[0].mask is not None


def test_backgrounds_are_black_or_pure_red():
    colors = np.array([[[0, 0, 0], [255, 0, 0], [200, 30, 20], [255, 90, 0], [0, 0, 200], [120, 0, 0]]], np.uint8)
    assert agora.colored(colors).tolist() == [[False, False, True, True, True, True]]


def test_the_lens_of_full_size_pictures():
    camera = agora.camera_of({}, 0, FIXED, (2160, 3840))
    np.testing.assert_allclose(camera.K, [[1920, 0, 1920], [0, 1920, 1080], [0, 0, 1]])
    np.testing.assert_allclose(
        agora.camera_of({}, 0, "ag_trainset_x_hdri_50mm_5_10_00001.png", (2160, 3840)).K[0, 0], 50 / 36 * 3840
    )


def test_missing_and_wrong_tables_are_named(tmp_path, converted):
    with pytest.raises(UserError, match="SMPL/train_0_withjv.pkl is missing"):
        converted("agora", tmp_path)
    row = row_of(FIXED, people_before(FIXED, 1), [0.0], [True])
    (tmp_path / "train_0").mkdir()
    write_table(tmp_path / "SMPL/train_0_withjv.pkl", {k: [v] for k, v in row[0].items()})
    write_table(tmp_path / "SMPLX/train_0_withjv.pkl", {k: [v] for k, v in row[0].items()})
    with pytest.raises(UserError, match="without 76 joints"):
        converted("agora", tmp_path)
