"""What a pose store says must be possible; the usual mistakes of own data are refused where the store is closed."""

import dataclasses

import numpy as np
import pytest

from metrabs_acae.commands import stores
from metrabs_acae.data import store_checks
from metrabs_acae.data.settings import Data
from metrabs_acae.data.store import CameraParams, PoseStore, PoseStoreWriter
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import Skeleton

NAMES = ("pelvis", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle", "right_ankle", "neck", "nose")
POSE = np.array(  # a person who faces -y in a world with z up, mm: x is the person's left
    [
        (0, 0, 950),
        (120, 0, 940),
        (-120, 0, 940),
        (125, -20, 500),
        (-125, -20, 500),
        (130, 0, 80),
        (-130, 0, 80),
        (0, 0, 1500),
        (0, -100, 1620),
    ],
    float,
)
YAW = np.radians(5)
TO_CAMERA = np.array([[1.0, 0, 0], [0, 0, -1], [0, 1, 0]]) @ [  # looks along +y, turned a little
    [np.cos(YAW), -np.sin(YAW), 0],
    [np.sin(YAW), np.cos(YAW), 0],
    [0, 0, 1],
]
K = np.array([[300.0, 0, 79.5], [0, 300, 79.5], [0, 0, 1]])
PICTURE = np.full((160, 160, 3), 99, np.uint8)


def write(path, *, names=NAMES, change=lambda row: row, n=12, mask=None, allow=False, skeleton=None, **fields):
    """A store of people 4 m before a camera; `change` spoils each row's arguments."""
    skeleton = skeleton or Skeleton("own", names)
    center = np.array([0.0, -4000, 1000])
    writer = PoseStoreWriter(path, name=path.name, skeleton=skeleton, licence="x", allow_suspicious=allow)
    with writer:
        for i in range(n):
            world = POSE + (30.0 * (i % 5 - 2), 20 * i, 0)
            pixels = (world - center) @ TO_CAMERA.T @ K.T
            pixels = pixels[:, :2] / pixels[:, 2:]
            row = {
                "image_key": f"{i}.jpg",
                "image": PICTURE,
                "box_ltwh_px": [*pixels.min(0) - 5, *np.ptp(pixels, axis=0) + 10],
                "camera": CameraParams(TO_CAMERA, center, K),
                "coords": world,
                "mask": mask,
                **fields,
            }
            writer.add("train", **change(row))
    return writer


def with_coords(function):
    return lambda row: {**row, "coords": function(row["coords"])}


def with_camera(**changes):
    return lambda row: {
        **row,
        "camera": dataclasses.replace(row["camera"], **{k: f(row["camera"]) for k, f in changes.items()}),
    }


def only_some_at_zero(coords):
    coords = coords.copy()
    coords[4] = 0
    return coords


MISTAKES = {
    "metres": (with_coords(lambda c: c / 1000), "they look like metres"),
    "centimetres": (with_coords(lambda c: c / 10), "they look like centimetres"),
    "inches": (with_coords(lambda c: c / 25.4), "they look like inches"),
    "joints at zero": (with_coords(only_some_at_zero), "right_knee most often"),
    "one point": (with_coords(lambda c: np.broadcast_to(c[:1], c.shape)), "all joints are at the same point"),
    "behind": (with_coords(lambda c: c - (0, 9000, 0)), "stand behind their camera"),
    "outside": (with_coords(lambda c: c + (6000, 0, 0)), "outside the picture"),
    "beside the box": (lambda r: {**r, "box_ltwh_px": [0, 0, 20, 20]}, "lie in their person's box"),
    "shares of the picture": (
        lambda r: {**r, "box_ltwh_px": np.divide(r["box_ltwh_px"], 160)},
        "in shares of the picture",
    ),
    "sides": (with_coords(lambda c: c[Skeleton("own", NAMES).mirror]), "left and right are swapped"),
    "mirrored world": (with_coords(lambda c: c * (-1, 1, 1)), "left and right are swapped"),
    "R transposed": (with_camera(R=lambda c: c.R.T), "R is the rotation from camera to world"),
    "t for the position": (
        with_camera(optical_center_mm=lambda c: -c.R @ c.optical_center_mm),
        "the position given is t of x_camera = R x + t",
    ),
    "OpenGL axes": (with_camera(R=lambda c: np.diag([1, -1, -1]) @ c.R), "the axes are OpenGL's (y up, z back)"),
    "head down": (with_camera(world_up=lambda c: (0, 0, -1.0)), "on their head"),
    "empty masks": (lambda r: {**r, "mask": np.zeros((160, 160), bool)}, "nearly all masks are empty"),
    "full masks": (lambda r: {**r, "mask": np.ones((160, 160), bool)}, "nearly all masks are of the whole picture"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_labels_that_cannot_be_right_are_refused_where_the_store_is_closed(tmp_path, mistake):
    change, sentence = MISTAKES[mistake]
    with pytest.raises(UserError) as error:
        write(tmp_path / "own", change=change)
    assert sentence in str(error.value)
    assert not (tmp_path / "own").exists()
    assert PoseStore(tmp_path / "own.refused").splits == {"train": 12}  # nothing is lost


def test_right_labels_pass_and_their_pairs_are_said(tmp_path):
    assert write(tmp_path / "own").warnings == ()
    store = PoseStore(tmp_path / "own")
    assert store_checks.check_store(store).errors == []
    assert store_checks.sides_in_words(store.skeleton) == (
        "3 left-right pairs (left_hip - right_hip, left_knee - right_knee, left_ankle - right_ankle), "
        "3 joints in the middle (pelvis, neck, nose)"
    )


def test_poses_relative_to_a_root_joint_are_only_warned_of(tmp_path):
    center = np.array([0.0, -4000, 1000])

    def about_the_pelvis(row):
        pelvis = row["coords"][0]
        camera = dataclasses.replace(row["camera"], optical_center_mm=center - pelvis)
        return {**row, "coords": row["coords"] - pelvis, "camera": camera}

    assert write(tmp_path / "own", change=about_the_pelvis).warnings == ("train: pelvis is always at exactly zero",)


@pytest.mark.parametrize("mistake", ["metres", "sides", "empty masks"])
def test_a_training_looks_again_unless_told_not_to(tmp_path, mistake):
    writer = write(tmp_path / "own", change=MISTAKES[mistake][0], allow=True)
    assert any(MISTAKES[mistake][1] in w for w in writer.warnings)
    data = Data(dataset3d=(str(tmp_path / "own"),), batch_size=4, batch_size_2d=0)
    mixture = stores.training_mixture(data, data_dir="", seed=1)
    with pytest.raises(UserError, match="--allow-suspicious-data"):
        stores.look_at_own(mixture, data)
    said = stores.look_at_own(mixture, dataclasses.replace(data, allow_suspicious_data=True))
    assert any("is used although its labels look wrong" in line and MISTAKES[mistake][1] in line for line in said)


def test_sided_names_without_partner_are_refused_and_can_be_explained(tmp_path):
    names = ("pelvis", "left_hip", "right_hip", "left_knee", "rite_knee", "left_ankle", "right_ankle", "neck", "nose")
    with pytest.raises(UserError, match="left_knee, rite_knee read as left or right, but have no partner"):
        write(tmp_path / "own", names=names)
    told = Skeleton("own", names, mirror_pairs=(("left_knee", "rite_knee"),))
    write(tmp_path / "own", skeleton=told)
    assert PoseStore(tmp_path / "own").skeleton.mirror[3] == 4


def test_endings_of_few_joints_are_named(tmp_path):
    names = tuple(f"{n}_mine" for n in NAMES[:-1]) + ("nose_mine_2",)
    assert "the endings mine_2 of few joints" in write(tmp_path / "own", names=names).warnings[0]


@pytest.mark.parametrize(
    ("field", "sentence"),
    [
        ({"frame": 12.7}, "frame must be a whole number of up to 31 bits, not 12.7"),
        ({"frame": float("nan")}, "frame must be a whole number"),
        ({"frame": float("inf")}, "frame must be a whole number"),
        ({"frame": 2**40}, "frame must be a whole number"),
        ({"person": "anna"}, "person must be a whole number of up to 31 bits, not 'anna'"),
        ({"sequence": 3}, "sequence must be a text, not 3"),
        ({"activity": None}, "activity must be a text, not None"),
    ],
)
def test_numbers_and_texts_are_what_they_should_be(tmp_path, field, sentence):
    with pytest.raises(UserError, match=r"own, train row 0 \(0.jpg\): ") as error:
        write(tmp_path / "own", n=1, **field)
    assert sentence in str(error.value)


def test_whole_numbers_of_other_types_are_taken(tmp_path):
    write(tmp_path / "own", n=1, frame=np.float64(12.0), person=np.int64(3))
    row = PoseStore(tmp_path / "own").row("train", 0)
    assert (row.frame, row.person) == (12, 3)


def test_another_picture_under_a_used_key_is_refused(tmp_path):
    pictures = iter([PICTURE, PICTURE, PICTURE + 1])
    with pytest.raises(UserError, match="another picture has been stored under that key"):
        write(tmp_path / "own", n=3, change=lambda row: {**row, "image_key": "a.jpg", "image": next(pictures)})


def test_a_million_rows_are_checked_in_under_two_seconds(tmp_path):
    import time

    write(tmp_path / "own", n=40)
    store = PoseStore(tmp_path / "own")

    class Large:
        """The same store with its rows repeated."""

        skeleton, kind, splits = store.skeleton, store.kind, {"train": 1_000_000, "valid": 1_000_000}

        def row(self, split, i):
            return store.row("train", i % 40)

    store_checks.check_store(store)
    began = time.perf_counter()
    store_checks.check_store(Large())
    assert time.perf_counter() - began < 2
