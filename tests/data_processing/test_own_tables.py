"""`from-csv` and `from-coco`: pose stores from files as people have them."""

import json

import cv2
import numpy as np
import pytest

from data_processing.__main__ import main
from data_processing.own_tables import read_table
from metrabs_acae.data.camera_files import decompose, read_cameras
from metrabs_acae.data.store import PoseStore

NAMES = ("Pelvis", "Left Hip", "Right Hip", "Left Knee", "Right Knee", "Neck", "Nose")
POSE_M = np.array(
    [(0, 0, 0.95), (0.12, 0, 0.94), (-0.12, 0, 0.94), (0.12, 0, 0.5), (-0.12, 0, 0.5), (0, 0, 1.5), (0, -0.1, 1.62)]
)
R = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]])
POSITION = np.array([0.0, -4.0, 1.0])
K = np.array([[300.0, 0, 79.5], [0, 300, 79.5], [0, 0, 1]])


@pytest.fixture
def folder(tmp_path):
    """Twelve pictures and a camera, written as t in metres."""
    (tmp_path / "pictures" / "walk").mkdir(parents=True)
    for i in range(12):
        picture = np.full((160, 160, 3), 10 * i, np.uint8)
        cv2.imwrite(str(tmp_path / "pictures" / "walk" / f"{i}.png"), picture)
    t = -R @ POSITION
    (tmp_path / "cameras.json").write_text(json.dumps({"front": {"K": K.tolist(), "R": R.tolist(), "t": t.tolist()}}))
    return tmp_path


def table(
    folder, *, delimiter=",", decimal=".", bom="", quote="", change=lambda cells: cells, header=None, twice=False
):
    header = header or ["image", "camera", *(f"{n} {a}" for n in NAMES for a in "XYZ")]
    lines = [delimiter.join(f"{quote}{h}{quote}" for h in header)]
    for i in range(12):
        for k in range(1 + twice):
            numbers = [f"{v:.4f}".replace(".", decimal) for v in (POSE_M + (0.1 * k, 0.02 * i, 0)).ravel()]
            lines.append(delimiter.join(change([f"walk/{i}.png", "front", *numbers])))
    (folder / "points.csv").write_bytes((bom + "\r\n".join(lines) + "\r\n").encode())
    return folder / "points.csv"


def run(folder, *flags, source="points.csv", command="from-csv"):
    given = ["--cameras", str(folder / "cameras.json"), "--units", "m"] if command == "from-csv" else []
    what = "--table" if command == "from-csv" else "--annotations"
    where = [what, str(folder / source), "--images", str(folder / "pictures"), "--out", str(folder / "mine")]
    return main([command, *where, *given, *flags])


@pytest.mark.parametrize(
    "style",
    [
        {},
        {"delimiter": ";", "decimal": ",", "bom": "\ufeff", "quote": '"'},
        {"delimiter": "\t"},
        {"header": ["image", "camera", *(f"{a}_{n}" for n in NAMES for a in "xyz")]},
        {"header": ["File", "Cam", *(f"{n}[{a}]" for n in NAMES for a in "xyz")]},
    ],
)
def test_tables_as_people_have_them(folder, style, capsys):
    table(folder, **style)
    assert run(folder, "--edges", "Neck-Pelvis-Left Hip-Left Knee") == 0, capsys.readouterr().err
    store = PoseStore(folder / "mine")
    assert store.skeleton.joint_names[:2] == ("Pelvis_mine", "Left_Hip_mine")
    assert list(store.skeleton.mirror) == [0, 2, 1, 4, 3, 5, 6] and len(store.skeleton.edges) == 5
    assert sum(store.splits.values()) == 12
    row = store.row("train", 0)
    i = int(row.image_key.split("/")[1].split(".")[0])
    np.testing.assert_allclose(row.coords, 1000 * (POSE_M + (0, 0.02 * i, 0)), atol=1e-3)
    np.testing.assert_allclose(row.camera.optical_center_mm, 1000 * POSITION)
    assert 0 <= row.box_ltwh_px[0] < 80 and row.box_ltwh_px[3] > 80
    said = capsys.readouterr().out
    assert "2 left-right pairs (Left_Hip_mine - Right_Hip_mine" in said and "--show-batches 1 --dataset3d" in said


def test_several_people_in_a_picture_are_numbered(folder):
    table(folder, twice=True)
    assert run(folder, "--valid-fraction", "0") == 0
    store = PoseStore(folder / "mine")
    people = [(r.image_key, r.person) for r in (store.row("train", i) for i in range(24))]
    assert len(set(people)) == 24 and {p for _, p in people} == {0, 1}


def test_a_projection_matrix_and_camera_coordinates(folder):
    P = K @ np.concatenate([R, -(R @ POSITION)[:, None]], axis=1)
    of_any_scale = {"P": (-2.5 * P).tolist()}
    (folder / "cameras.json").write_text(json.dumps({"front": of_any_scale}))
    (found,) = read_cameras(folder / "cameras.json", unit="m")
    camera = found.camera
    np.testing.assert_allclose(camera.K, K, atol=1e-9)
    np.testing.assert_allclose(camera.R, R, atol=1e-9)
    np.testing.assert_allclose(camera.optical_center_mm, 1000 * POSITION, atol=1e-6)
    with pytest.raises(ValueError, match="singular"):
        decompose(np.zeros((3, 4)))
    table(folder)
    assert run(folder) == 0
    (folder / "cameras.json").write_text(json.dumps(of_any_scale))  # the only one, for a table without cameras
    world = PoseStore(folder / "mine").row("train", 0)
    in_camera = (world.coords / 1000 - POSITION) @ R.T
    header = ["image", *(f"{n}_{a}" for n in NAMES for a in "xyz")]
    lines = [",".join(header), ",".join([world.image_key, *map(str, in_camera.ravel())])]
    (folder / "points.csv").write_text("\n".join(lines))
    where = ["--images", str(folder / "pictures"), "--cameras", str(folder / "cameras.json"), "--units", "m"]
    flags = ["--table", str(folder / "points.csv"), *where, "--out", str(folder / "b"), "--frame", "camera"]
    assert main(["from-csv", *flags, "--valid-fraction", "0"]) == 0
    np.testing.assert_allclose(PoseStore(folder / "b").row("train", 0).coords, world.coords, atol=0.01)


@pytest.mark.parametrize(
    ("style", "flags", "sentence"),
    [
        ({}, ["--units", "mm"], "give the unit of the file's places"),
        ({"change": lambda c: [c[0], "back", *c[2:]]}, [], "line 2: there is no camera 'back'; there are front."),
        ({"change": lambda c: ["no.png", *c[1:]]}, [], "line 2: "),
        ({"change": lambda c: c[:-1]}, [], "line 2: it has 22 cells, the header 23."),
        ({"change": lambda c: [*c[:-1], "high"]}, [], "column 'Nose Z' should hold a number, not 'high'."),
        ({"header": ["photo", "camera", *["a"] * 21]}, [], "no column with the pictures' names"),
        ({"header": ["image", "camera", *[f"c{i}" for i in range(21)]]}, [], "no columns of joints"),
        ({}, ["--edges", "Neck-Hip"], "name joints that are not there: Hip"),
        ({}, ["--mirror", "Neck"], "'Neck' is no pair of joints"),
        ({}, ["--mirror", "Neck=Chin"], "There is no joint Chin"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence_and_no_store_is_made(folder, style, flags, sentence, capsys):
    table(folder, **style)
    assert run(folder, *flags) == 2
    error = capsys.readouterr().err
    assert sentence in error and "Traceback" not in error
    assert not (folder / "mine").exists()


def test_pictures_of_another_size_than_the_calibrated_ones_are_refused(folder, capsys):
    """The joints would lie beside the people, and in the picture all the same."""
    table(folder)
    camera = json.loads((folder / "cameras.json").read_text())["front"]
    for size, code in (([176, 176], 2), ([160, 162], 0)):
        (folder / "cameras.json").write_text(json.dumps({"front": {**camera, "size": size}}))
        assert run(folder) == code
    assert "has 160 x 160 pixels, its labels or camera are of one with 176 x 176" in capsys.readouterr().err


def test_2d_joints_in_shares_of_the_picture_are_refused(folder, capsys):
    shares = (coco(folder) / 160).ravel().tolist()
    header = ["image", *(f"{n}_{a}" for n in NAMES for a in "xy")]
    lines = [header, *([f"walk/{i}.png", *map(str, shares)] for i in range(12))]
    (folder / "points.csv").write_text("\n".join(map(",".join, lines)))
    assert run(folder) == 2
    assert "in shares of the picture" in capsys.readouterr().err


def test_an_empty_cell_is_a_joint_without_label(folder):
    table(folder, change=lambda c: [*c[:-3], "", "", ""])
    assert np.isnan(read_table(folder / "points.csv").coords(0)[-1]).all()
    assert run(folder) == 0


def coco(folder, *, visibility=2, **changes):
    pixels = (POSE_M - POSITION) @ R.T @ K.T
    pixels = pixels[:, :2] / pixels[:, 2:]
    names = [n.lower().replace(" ", "_") for n in NAMES]
    keypoints = np.concatenate([pixels, np.full((len(NAMES), 1), visibility)], axis=1)
    keypoints[-1] = 0
    data = {
        "images": [{"id": i, "file_name": f"walk/{i}.png", "width": 160, "height": 160} for i in range(12)],
        "categories": [
            {"id": 1, "name": "dog"},
            {"id": 7, "name": "athlete", "keypoints": names, "skeleton": [[1, 2], [1, 3], [2, 4], [1, 6]]},
        ],
        "annotations": [
            {"id": 100 + i, "image_id": i, "category_id": 7, "keypoints": keypoints.ravel().tolist()} for i in range(12)
        ]
        + [{"id": 1, "image_id": 0, "category_id": 1}],
    } | changes
    (folder / "coco.json").write_text("\ufeff" + json.dumps(data), encoding="utf-8")
    return pixels


@pytest.mark.parametrize("visibility", [1, 2])
def test_coco_files_of_any_keypoints_with_either_kind_of_visibility(folder, visibility, capsys):
    pixels = coco(folder, visibility=visibility)
    assert run(folder, source="coco.json", command="from-coco") == 0, capsys.readouterr().err
    store = PoseStore(folder / "mine")
    assert store.kind == "2d" and store.skeleton.joint_names[1] == "left_hip" and sum(store.splits.values()) == 12
    row = store.row("train", 0)
    np.testing.assert_allclose(row.coords[:-1], pixels[:-1], atol=1e-3)
    assert np.isnan(row.coords[-1]).all() and row.person >= 100


def test_coco_labels_of_pictures_of_another_size_are_refused(folder, capsys):
    coco(folder, images=[{"id": i, "file_name": f"walk/{i}.png", "width": 320, "height": 320} for i in range(12)])
    assert run(folder, source="coco.json", command="from-coco") == 2
    assert "has 160 x 160 pixels, its labels or camera are of one with 320 x 320" in capsys.readouterr().err
    assert run(folder, "--allow-suspicious-data", source="coco.json", command="from-coco") == 0


def test_coco_files_without_people_or_of_another_kind_are_explained(folder, capsys):
    coco(folder, annotations=[])
    assert run(folder, source="coco.json", command="from-coco") == 2
    assert "has no people with keypoints" in capsys.readouterr().err
    coco(folder, categories=[{"id": 1, "name": "dog"}])
    assert run(folder, source="coco.json", command="from-coco") == 2
    assert "which category?" in capsys.readouterr().err
    (folder / "coco.json").write_text("[]")
    assert run(folder, source="coco.json", command="from-coco") == 2
