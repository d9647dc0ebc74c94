"""Files as other systems and editors make them: names that are not UTF-8, texts that begin with a mark (BOM)."""

from __future__ import annotations

import json
import os

import cv2
import numpy as np
import pytest

from data_processing import json_files
from data_processing.__main__ import main as data_processing
from data_processing.detection import JsonDetections
from metrabs_acae import command_line
from metrabs_acae.data import loading
from metrabs_acae.data.augmentation import pictures
from metrabs_acae.data.bones import BoneStatistics
from metrabs_acae.data.camera_files import read_cameras
from metrabs_acae.data.images import write_image
from metrabs_acae.data.loading import BatchLoader
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.store import CameraParams, PoseStore, PoseStoreWriter
from metrabs_acae.files import load_json
from metrabs_acae.inference import demo, demo_inputs
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.skeletons import Skeleton
from metrabs_acae.training.run_folder import RunFolder
from tests.data.test_camera_files import own, panoptic, write_opencv, write_toml
from tests.inference.test_demo import load_once, model  # noqa: F401 (fixtures)
from tests.small_stores import EDGES, POSE_MM, write_store

NAME = os.fsdecode(b"Stra\xdfe.png")
"""A name in Latin-1, as Python shows it."""
NOISE = np.random.default_rng(0).integers(0, 255, (96, 96, 3), np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Pictures of which two have names that are not UTF-8."""
    folder = tmp_path / "pictures"
    for name in (NAME, os.fsdecode(b"\xfe/\xff.png"), "plain.png"):
        write_image(folder / name, NOISE)
    return folder


# Names that are not UTF-8


def store_of(folder, path) -> PoseStore:
    """A store whose keys are the names of the pictures."""
    pose = np.array(list(POSE_MM.values()), float) + (0, 0, 4000)
    camera = CameraParams(np.eye(3), np.zeros(3), np.array([[300.0, 0, 47], [0, 300, 47], [0, 0, 1]]), None, (0, -1, 0))
    skeleton = Skeleton("toy", tuple(f"{n}_a" for n in POSE_MM), EDGES)
    with PoseStoreWriter(path, name="names", skeleton=skeleton, licence="CC0") as writer:
        for picture in sorted(folder.rglob("*.png")):
            key = picture.relative_to(folder).as_posix()
            row = {"box_ltwh_px": (10, 10, 60, 70), "camera": camera, "coords": pose, "sequence": key}
            writer.add("train", image_key=key, image=picture.read_bytes(), **row)
    return PoseStore(path)


def test_a_store_keeps_them(folder, tmp_path, capsys):
    store = store_of(folder, tmp_path / "store")
    rows = [store.row("train", i) for i in range(3)]
    assert {r.image_key for r in rows} == {r.sequence for r in rows} >= {NAME}
    loader = BatchLoader(Mixture([Entry(store, "train", 3)], seed=0), image_size=32, max_bad_fraction=0.0)
    batches = loader.batches()
    assert len(next(batches)["image"]) == 3 and loader.health.n_bad == 0
    batches.close()
    assert data_processing(["verify", str(store.path), "--out", str(tmp_path / "report")]) == 0, capsys.readouterr()


def test_a_broken_picture_of_such_a_name_is_named(folder, tmp_path, monkeypatch):
    said = []  # not caplog: reports of tests that run in several processes cannot hold such a name
    monkeypatch.setattr(loading.log, "warning", lambda text, *values: said.append(text % values))
    store = store_of(folder, tmp_path / "store")
    (store.path / "images" / NAME).write_bytes(b"")
    loader = BatchLoader(Mixture([Entry(store, "train", 3)], seed=0), image_size=32, max_bad_fraction=1.0)
    batches = loader.batches()
    next(batches)
    batches.close()
    assert loader.health.n_bad and "Stra\udcdfe.png" in said[0]
    run = RunFolder(tmp_path / "run")
    run.create({})
    run.log(f"Broken: {NAME}")  # in a log that is UTF-8
    assert "Stra\\udcdfe.png" in (run.path / "log.txt").read_text()


def test_the_demo_poses_them(folder, tmp_path, model):  # noqa: F811
    lines = []
    results = demo.run_demo(
        model, [folder], out_dir=tmp_path / "out", settings=Demo(boxes="10,10,60,70"), log=lines.append
    )
    assert len(results) == 2 and lines[0].startswith("Stra\ufffde.png: 1 person")
    assert json.loads((tmp_path / "out/Stra\ufffde.json").read_text())["frames"][0]["people"]


def test_people_are_detected_in_them_and_the_file_is_read_again(folder, tmp_path, capsys):
    out = tmp_path / "boxes.json"
    flags = ["detect", "--root", str(folder), "--out", str(out), "--detector", "none"]
    assert data_processing(flags) == 0, capsys.readouterr()
    assert set(JsonDetections(str(out)).boxes) == {NAME, os.fsdecode(b"\xfe/\xff.png"), "plain.png"}


def test_occluders_and_backgrounds_have_them(folder, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert len(pictures.load_backgrounds(str(folder), 32)) == 3
    done, data = cv2.imencode(".png", np.dstack([NOISE, NOISE[..., :1]]))
    (folder / NAME).write_bytes(data)
    assert len(pictures.load_occluders(str(folder))) == 1


# Texts with a mark


def marked(path):
    """The file with a mark before its text."""
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().removeprefix(b"\xef\xbb\xbf"))
    return path


@pytest.mark.parametrize(
    "name, write",
    [
        ("a.json", own),
        ("b.json", panoptic),
        ("c.yml", lambda path: write_opencv(path)),
        ("d.xml", lambda path: write_opencv(path)),
        ("e.toml", lambda path: write_toml(path)),
    ],
)
def test_camera_files(tmp_path, name, write):
    write(tmp_path / name)
    unit = {"b.json": "cm", "e.toml": "m"}.get(name, "mm")
    (plain,) = read_cameras(tmp_path / name, unit=unit)
    (found,) = read_cameras(marked(tmp_path / name), unit=unit)
    np.testing.assert_array_equal(found.camera.K, plain.camera.K)
    np.testing.assert_array_equal(found.camera.optical_center_mm, plain.camera.optical_center_mm)


def test_boxes_detections_bones_and_large_arrays(tmp_path):
    boxes = tmp_path / "boxes.json"
    boxes.write_text('{"a.jpg": [[1, 2, 3, 4]]}')
    assert demo_inputs.parse_boxes(str(marked(boxes)))["a.jpg"].tolist() == [[1, 2, 3, 4]]
    assert JsonDetections(str(boxes))(None, "a.jpg")[0, :4].tolist() == [1, 2, 3, 4]
    bones = BoneStatistics((("a", "b"),), np.ones(1), np.ones(1), np.ones(1, int))
    bones.save(tmp_path / "bones.json")
    assert BoneStatistics.load(marked(tmp_path / "bones.json")).joint_pairs == (("a", "b"),)
    large = tmp_path / "large.json"
    large.write_text('{"annotations": [1, 2]}')
    assert list(json_files.iterate_array(marked(large), "annotations")) == [1, 2]


def test_stores_and_runs(tmp_path):
    store = write_store(tmp_path / "store")
    description = marked(store / "store.json")
    assert load_json(description)["kind"] == PoseStore(store).kind == "3d" and PoseStore(store).splits["train"] == 12
    run = RunFolder(tmp_path / "run")
    run.create(command_line.parse_arguments(["--train", "--preset", "tiny"], "metrabs").run_settings())
    marked(run.path / "config.json")
    values = command_line.starting_values(["--acae", "a.npz", "--init-path", str(run.path)])
    assert values.training.decay_steps == 8
