import json
import pickle
import sqlite3

import numpy as np
import pytest
import rlemasklib

from metrabs_acae.data.images import image_size_wh
from metrabs_acae.data.store import CameraParams, Lens, PoseStore, PoseStoreWriter
from metrabs_acae.errors import UserError
from tests.data.stores import skeleton, toy_row, write_toy_store


def new_writer(path, **settings):
    return PoseStoreWriter(path, **{"name": "toy", "skeleton": skeleton("_a"), "licence": "CC0", **settings})


@pytest.fixture
def row():
    return {"image_key": "a/0.jpg", **toy_row(np.random.default_rng(0), "3d", 160, 120, (0.1, 0, 0, 0, 0))}


def test_rows_come_back_as_written(tmp_path, row):
    row["coords"][3] = np.nan
    with new_writer(tmp_path / "store", color_fix={"gamma": 0.67}, clean=True) as writer:
        writer.add("train", **row, sequence="Walk ü", frame=7, activity="walking", person=2)
        without = {**row, "mask": None, "image": None}
        without["camera"] = CameraParams(**{**row["camera"].__dict__, "lens": None})
        writer.add("train", **without)
        writer.add("test", **row)
    store = pickle.loads(pickle.dumps(PoseStore(tmp_path / "store")))
    assert store.splits == {"train": 2, "test": 1}
    assert store.kind == "3d" and store.clean and store.color_fix == {"gamma": 0.67}
    assert store.skeleton == skeleton("_a")
    example = store.row("train", 0)
    assert (example.sequence, example.frame, example.activity, example.person) == ("Walk ü", 7, "walking", 2)
    np.testing.assert_array_equal(example.coords, row["coords"].astype(np.float32))
    np.testing.assert_allclose(example.box_ltwh_px, row["box_ltwh_px"], rtol=1e-6)
    np.testing.assert_array_equal(rlemasklib.decode(example.mask), row["mask"])
    for name in ("R", "optical_center_mm", "K", "world_up"):
        np.testing.assert_allclose(getattr(example.camera, name), getattr(row["camera"], name), rtol=1e-6)
    assert tuple(example.image_size_wh) == (160, 120)
    assert image_size_wh(example.image_path.read_bytes()) == (160, 120)
    second = store.row("train", 1)
    assert second.mask is None and second.camera.lens == Lens()
    assert not store.column("train", "coords").flags.writeable


def test_nothing_appears_before_close(tmp_path, row):
    with pytest.raises(RuntimeError):
        with new_writer(tmp_path / "store") as writer:
            writer.add("train", **row)
            assert not (tmp_path / "store").exists()
            raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UserError, match="no example"):
        new_writer(tmp_path / "store").close()
    with new_writer(tmp_path / "store") as writer:
        writer.add("train", **row)
    with pytest.raises(UserError, match="exists already"):
        new_writer(tmp_path / "store")


def broken_camera(**changes):
    good = {"R": np.eye(3), "optical_center_mm": np.zeros(3), "K": np.diag([100.0, 100, 1])}
    return {"camera": CameraParams(**(good | changes))}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"box_ltwh_px": [0, 0, 0, 5]}, "no area"),
        ({"box_ltwh_px": [0, 0, np.nan, 5]}, "finite"),
        ({"box_ltwh_px": [500, 0, 5, 5]}, "outside the image of 160 x 120"),
        ({"coords": np.zeros((3, 3))}, r"shape \(3, 3\), expected \(12, 3\)"),
        ({"coords": np.full((12, 3), np.nan)}, "all joints"),
        ({"coords": np.full((12, 3), np.inf)}, "infinite"),
        ({"camera": None}, "needs a camera"),
        (broken_camera(R=np.full((3, 3), np.nan)), "R is not finite"),
        (broken_camera(R=-np.eye(3)), "not a rotation"),
        (broken_camera(K=np.zeros((3, 3))), "not an intrinsic matrix"),
        (broken_camera(world_up=np.zeros(3)), "world_up is zero"),
        ({"mask": np.ones((5, 5), bool)}, "mask has size"),
        ({"image": np.zeros((5, 5), np.uint8)}, "uint8"),
        ({"image": b"no picture"}, "not a JPEG or PNG"),
        ({"image": None}, "none under that key"),
        ({"image_key": "../escape.jpg"}, "relative path"),
        ({"image_key": "/etc/passwd"}, "relative path"),
    ],
)
def test_writer_refuses_bad_rows_and_names_them(tmp_path, row, change, message):
    writer = new_writer(tmp_path / "store")
    writer.add("train", **row)
    with pytest.raises(UserError, match=message) as error:
        writer.add("train", **{**row, "image_key": "a/1.jpg", **change})
    assert "toy, train row 1" in str(error.value)
    writer.add("train", **row)  # a refused row leaves no trace
    writer.close()
    assert PoseStore(tmp_path / "store").splits == {"train": 2}


def test_reader_says_what_is_wrong(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        PoseStore(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a pose store"):
        PoseStore(tmp_path)
    store = write_toy_store(tmp_path / "store", n=3)
    with pytest.raises(UserError, match="has no split 'test'; it has train, valid"):
        store.row("test", 0)
    with pytest.raises(IndexError, match="no row 3"):
        store.row("train", 3)
    description = store.path / "store.json"
    good = json.loads(description.read_text())
    for change, message in (
        ({"schema_version": 99}, "schema version 99"),
        ({"format": "x"}, "another program"),
        ({"splits": {"train": 4}}, "cannot be read"),
    ):
        description.write_text(json.dumps({**good, **change}))
        with pytest.raises(UserError, match=message):
            PoseStore(store.path)
    description.write_text("{")
    with pytest.raises(UserError, match="cannot be read"):
        PoseStore(store.path)
    description.write_text(json.dumps(good))
    annotations = store.path / "annotations.h5"
    annotations.write_bytes(annotations.read_bytes()[:1000])
    with pytest.raises(UserError, match="annotations"):
        PoseStore(store.path)


def test_columns_are_contiguous_in_the_file(tmp_path):
    import h5py

    write_toy_store(tmp_path / "store", n=3)
    with h5py.File(tmp_path / "store" / "annotations.h5") as file:
        assert all(d.chunks is None and d.compression is None for d in file["train"].values())


def test_png_header():
    import cv2

    png = cv2.imencode(".png", np.zeros((7, 9, 3), np.uint8))[1].tobytes()
    assert image_size_wh(png) == (9, 7)


def test_images_in_a_barecat_archive(tmp_path):
    barecat = pytest.importorskip("barecat")
    store = write_toy_store(tmp_path / "store", n=3)
    expected = store.images.read("train/0.jpg")
    try:
        archive = barecat.Barecat(str(store.path / "images.barecat"), readonly=False)
    except sqlite3.OperationalError:
        pytest.skip("this build of SQLite lacks the mathematical functions that barecat writes with")
    with archive:
        archive["train/0.jpg"] = expected
    archived = PoseStore(store.path)
    assert archived.images.read("train/0.jpg") == expected
    with pytest.raises(OSError):
        archived.images.read("train/1.jpg")
