"""`verify` finds what is put wrong on purpose, and nothing else."""

import numpy as np
import pytest

from data_processing.__main__ import main
from data_processing.boxes import box_of_points
from data_processing.cameras import make_camera, project
from data_processing.verify import verify
from metrabs_acae.data.store import PoseStoreWriter
from metrabs_acae.data.store_checks import forwardness
from metrabs_acae.skeletons import Skeleton, dataset_skeletons, get_skeleton

from .people import camera, picture, pose

SIZE = (320, 240)


def make_store(path, *, n=12, change=lambda coords: coords, view=None, names="coco", image=None, box=None, twice=False):
    """People at random places before a camera; `change` spoils the labels after the pictures are made."""
    skeleton = get_skeleton(names)
    rng = np.random.default_rng(0)
    view = view or camera(20, size_wh=SIZE)
    writer = PoseStoreWriter(path, name="made", skeleton=skeleton, licence="none", allow_suspicious=True)
    with writer:
        for i in range(n):
            coords = pose(skeleton.joint_names, at=rng.uniform(-300, 300, 2), swing_mm=30 * i)
            points = project(view, coords)
            arguments = {
                "image_key": f"{i}.jpg",
                "image": picture(SIZE, 90, points) if image is None else image,
                "box_ltwh_px": box_of_points(points, 1.1) if box is None else box,
                "camera": view,
                "coords": change(coords),
            }
            writer.add("train", **arguments)
            if twice:
                writer.add("train", **arguments)
    return path


def test_a_good_store_passes_and_gets_a_page_with_pictures(tmp_path, capsys):
    store = make_store(tmp_path / "store")
    assert main(["verify", str(store), "--out", str(tmp_path / "reports")]) == 0
    page = (tmp_path / "reports" / "store.md").read_text()
    assert "# made: fine" in page and "Nothing to complain about." in page and "train 12" in page
    assert (tmp_path / "reports" / "store.jpg").stat().st_size > 10_000
    assert "fine, 0 warnings" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda c: c / 1000, "look like metres"),
        (lambda c: c / 10, "look like centimetres"),
        (lambda c: c[get_skeleton("coco").mirror], "left and right are swapped"),
        (lambda c: c * [-1, 1, 1], "left and right are swapped"),
        (lambda c: c + [0, 0, 3000], "the joints lie outside the picture"),
        (lambda c: c + [0, -20000, 0], "stand behind their camera"),
    ],
)
def test_wrong_labels_are_found(tmp_path, change, message, capsys):
    store = make_store(tmp_path / "store", change=change)
    assert main(["verify", str(store), "--out", str(tmp_path)]) == 1
    assert message in capsys.readouterr().out


def test_impossible_bones_are_found(tmp_path):
    def stretch(coords):
        coords = coords.copy()
        if coords[0, 0] > 200:
            coords[get_skeleton("coco").indices(["lwri_coco"])] += [2500, 0, 0]
        return coords

    report = verify(make_store(tmp_path / "store", n=30, change=stretch))
    assert any("bone of impossible length" in e for e in report.errors)


def test_unequal_sides_are_found(tmp_path):
    def stretch(coords):
        coords = coords.copy()
        coords[get_skeleton("coco").indices(["lwri_coco"])] += [300, 0, 0]
        return coords

    report = verify(make_store(tmp_path / "store", change=stretch))
    assert any("lelb_coco-lwri_coco" in w and "mirror image" in w for w in report.warnings)


def test_missing_and_unreadable_pictures_are_found(tmp_path):
    store = make_store(tmp_path / "store")
    (store / "images" / "3.jpg").unlink()
    data = (store / "images" / "5.jpg").read_bytes()
    (store / "images" / "5.jpg").write_bytes(data[:40])
    report = verify(store)
    assert report.broken
    assert any("1 examples lack their picture, e.g. 3.jpg" in e for e in report.errors)
    assert any("2 of 12 pictures are unreadable" in e for e in report.errors)


def test_duplicates_and_small_and_stray_boxes_are_warned_of(tmp_path):
    report = verify(make_store(tmp_path / "a", twice=True))
    assert not report.broken and "12 examples are there twice" in report.warnings[0]
    report = verify(make_store(tmp_path / "b", box=[-60, 100, 70, 30]))
    assert any("outside their picture" in w for w in report.warnings)


def test_a_camera_on_its_head_is_found(tmp_path):
    view = camera(20, size_wh=SIZE)
    flipped = make_camera(view.R, view.optical_center_mm, view.K, world_up=(0, 0, -1))
    assert any("on their head" in e for e in verify(make_store(tmp_path / "store", view=flipped)).errors)


def test_missing_labels_are_counted(tmp_path):
    def hide(coords):
        coords = coords.copy()
        coords[0] = np.nan
        return coords

    report = verify(make_store(tmp_path / "store", change=hide))
    assert report.nan_rates["neck_coco"] == 1.0
    assert any("never labelled: neck_coco" in w for w in report.warnings)


def test_2d_stores_are_checked_too(tmp_path):
    skeleton = Skeleton("mpii", ("lsho", "rsho", "lhip", "rhip"))
    with PoseStoreWriter(tmp_path / "s", name="flat", kind="2d", skeleton=skeleton, licence="x") as writer:
        coords = np.array([[60, 30], [40, 30], [60, 80], [40, 80.0]])
        writer.add(
            "train",
            image_key="a.jpg",
            image=picture(SIZE, 80),
            box_ltwh_px=[30, 20, 80, 90],
            camera=None,
            coords=coords,
        )
    assert not verify(tmp_path / "s").broken


@pytest.mark.parametrize("name", dataset_skeletons())
def test_sides_can_be_told_in_every_convention(name):
    skeleton = get_skeleton(name)
    coords = pose(skeleton.joint_names)[None]
    known = forwardness(coords, skeleton.joint_names)
    if known is None:
        return
    assert known == 1.0
    assert forwardness(coords[:, skeleton.mirror], skeleton.joint_names) == 0.0


def test_bad_input_is_explained(tmp_path, capsys):
    assert main(["verify", str(tmp_path / "none")]) == 2
    assert "does not exist" in capsys.readouterr().err
