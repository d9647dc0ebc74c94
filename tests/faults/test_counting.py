"""What is counted is what was there: pictures, joints, people, units, names. Rows: fault, command or call, sentence."""

from __future__ import annotations

import json
import types

import h5py
import numpy as np
import pytest

from metrabs_acae import command_line
from metrabs_acae.acae import Acae, fit_acae, load_poses
from metrabs_acae.commands import evaluate, models
from metrabs_acae.config import Config
from metrabs_acae.data.examples import crop_coords, make_crop
from metrabs_acae.data.geometric_draw import GeometricDraw
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.store import CameraParams, PoseStore, PoseStoreWriter
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation import metrics
from metrabs_acae.evaluation.predict import predict_store
from metrabs_acae.evaluation.prediction_settings import PredictionSettings
from metrabs_acae.evaluation.predictions import Predictions, load_predictions
from metrabs_acae.evaluation.truth import truth_from_store
from metrabs_acae.geometry.body_size import UNITS_MM
from metrabs_acae.joint_names import read_names
from metrabs_acae.main import main
from metrabs_acae.skeletons import Skeleton
from metrabs_acae.training import checkpoints
from metrabs_acae.training.run_folder import RunFolder
from tests.small_stores import POSE_MM, write_store

POSE = np.array(list(POSE_MM.values()), float)
NAMES = tuple(f"{n}_a" for n in POSE_MM)
N = 10


class Network:
    """Sees the same pose everywhere."""

    distribute_strategy = types.SimpleNamespace(num_replicas_in_sync=1)

    def predict_on_batch(self, inputs):
        return np.tile(POSE + (0, 0, 4000), (len(inputs["image"]), 1, 1))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A store of 10 examples in each split, and a run whose network was trained on it."""
    store = write_store(tmp_path / "store", counts=dict.fromkeys(("train", "valid", "test"), N))
    (tmp_path / "run").mkdir()
    config = parse("--train", "--dataset3d", str(store))
    skeleton = Skeleton("toy", NAMES)
    monkeypatch.setattr(models, "find_run", lambda path: RunFolder(tmp_path / "run"))
    monkeypatch.setattr(models, "settings_of", lambda run: config)
    monkeypatch.setattr(models, "load_pose_model", lambda run: (Network(), skeleton, config))
    monkeypatch.setattr(checkpoints, "newest_step", lambda path: 1)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def parse(*arguments: str) -> Config:
    return command_line.parse_arguments([*arguments, "--preset", "tiny"], "metrabs")


def lose(folder, count: int, split: str) -> None:
    """Deletes pictures of a split."""
    for i in range(count):
        (folder / "store/images" / split / f"{i:04d}.jpg").unlink()


def rename(store, *names: str) -> None:
    """Gives a store's joints other names."""
    description = json.loads((store / "store.json").read_text())
    description["skeleton"] |= {"joint_names": names, "edges": []}
    (store / "store.json").write_text(json.dumps(description))


def write(store, column: str, value, split: str = "train") -> None:
    with h5py.File(store / "annotations.h5", "r+") as h5:
        h5[split][column][...] = value


def crops(folder, split: str) -> np.ndarray:
    """[N, J, 3] the labels in the frames of the crops' cameras."""
    store = PoseStore(folder / "store")
    rows = [store.row(split, i) for i in range(N)]
    return np.stack([crop_coords(row, store, make_crop(row, 64, GeometricDraw()))[0] for row in rows]).astype(float)


# Pictures that cannot be read


@pytest.mark.parametrize(
    "lost, arguments, sentence",
    [
        (9, ["--evaluate"], "of 10 examples are broken, more than --max-bad-fraction 1.0% (first: store test row"),
        (1, ["--evaluate"], "So far 1 of 10 examples are broken"),
        (2, ["--evaluate", "--max-bad-fraction", "0.1"], "So far 2 of 10 examples are broken"),
        (10, ["--evaluate", "--max-bad-fraction", "1"], "None of the 10 examples of split 'test'"),
        (9, ["--pseudo-labels", "--pseudo-label-on", "store:test"], "of 10 examples are broken"),
        (2, ["--pseudo-labels", "--pseudo-label-on", "store:test", "--max-bad-fraction", "0.1"], "So far 2 of 10"),
        (10, ["--pseudo-labels", "--pseudo-label-on", "store:test", "--max-bad-fraction", "1"], "No pose was kept"),
    ],
)
def test_too_many_lost_pictures_stop_every_verb(folder, capsys, lost, arguments, sentence):
    lose(folder, lost, "test")
    assert main(arguments) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert sentence in error and error.startswith("Error: ")


def test_poses_that_are_counted_are_poses_that_were_scored(folder, capsys):
    lose(folder, 9, "test")
    assert main(["--evaluate", "--max-bad-fraction", "0.9"]) == 0
    result = json.loads((folder / "run/evaluation.json").read_text())["store"]
    assert result["n_poses"] == 1 and result["n_broken"] == 9
    table = (folder / "run/evaluation.md").read_text()
    assert "| store     |     1 |" in table and "9 examples of store cannot be read." in table
    assert result["mpjpe"] == pytest.approx(metrics.mpjpe(POSE[None], crops(folder, "test")[9:], root=0))


@pytest.mark.parametrize("lost, sentence", [(1, None), (2, "So far 2 of 10 examples"), (10, "of 10 examples")])
def test_validation_scores_what_it_could_read(folder, lost, sentence):
    """Of a sample, one may always be lost: 1 of 10 says little about 1 % of the whole."""
    lose(folder, lost, "valid")
    config = parse("--train", "--dataset3d", "store")
    mixture = Mixture([Entry(PoseStore(folder / "store"), "train", 2)], seed=0)
    validator = evaluate.Validator(Network(), mixture, config, RunFolder(folder / "run", silent=True))
    if sentence:
        with pytest.raises(UserError, match=sentence):
            validator(1)
    else:
        expected = metrics.mpjpe(np.tile(POSE, (N - 1, 1, 1)), crops(folder, "valid")[1:], root=0)
        assert validator(1)["mpjpe"] == pytest.approx(expected)


def test_two_stores_of_one_name_have_two_rows(folder):
    other = write_store(folder / "others" / "store", counts={"train": 2, "test": 3})
    assert main(["--evaluate", "--test-on", "store", str(other)]) == 0
    results = json.loads((folder / "run/evaluation.json").read_text())
    assert [r["n_poses"] for r in results.values()] == [N, 3]


# Joints, roots and splits


def test_2d_joints_that_are_too_low_are_counted_in_the_table(tmp_path):
    """They do not count in training (MeTRAbs's rule), so the table of the mixture says how many they are."""
    for kind in ("3d", "2d"):
        write_store(tmp_path / kind, kind=kind, counts={"train": 12})
    coords = np.full((12, len(POSE), 2), 90.0)  # of 96 px pictures
    coords[:3, :4, 1] = 95.0  # below 0.95 x 96; 12 of 12 x 8 labels, of which 8 are missing
    coords[4] = np.nan
    write(tmp_path / "2d", "coords", coords)
    entries = [Entry(PoseStore(tmp_path / kind), "train", 2) for kind in ("3d", "2d")]
    lines = Mixture(entries, seed=0).describe(12).splitlines()
    assert lines[0].endswith("too low %")
    assert float(lines[3].split()[-1]) == round(100 * 12 / (96 - 8), 1) and lines[2].split()[-1] == "2.00"


COCO = ("nose", "left_shoulder", "right_shoulder", "left_knee", "right_knee", "neck", "left_wrist", "right_wrist")
OPENPOSE = ("MidHip", "LHip", "RHip", "LKnee", "RKnee", "Neck", "LWrist", "RWrist")


@pytest.mark.parametrize(
    "names, flags, note, root",
    [
        (COCO, (), "Poses of store are scored about the mean of their labelled joints", "mean"),
        (COCO, ("--root", "neck"), "", [5]),
        (COCO, ("--root", "left_shoulder,right_shoulder"), "", [1, 2]),
        (OPENPOSE, (), "", [0]),
        (("nose", *OPENPOSE[1:]), (), "", [1, 2]),
        (NAMES, ("--root", "mean"), "mean of their labelled joints", "mean"),
    ],
)
def test_skeletons_without_a_pelvis_are_scored_all_the_same(folder, capsys, names, flags, note, root):
    rename(folder / "store", *names)
    store = PoseStore(folder / "store")
    notes = evaluate.check_stores(parse("--train", "--dataset3d", "store", *flags), [store])
    assert (note in notes[0] and len(notes) == 1) if note else notes == []
    models.load_pose_model(None)[1].__init__("renamed", names)
    assert main(["--evaluate", *flags]) == 0
    assert note in capsys.readouterr().out
    result = json.loads((folder / "run/evaluation.json").read_text())["store"]
    true = crops(folder, "test")
    relative = true - (true.mean(1) if root == "mean" else true[:, root].mean(1))[:, None]
    pred = POSE - (POSE.mean(0) if root == "mean" else POSE[root].mean(0))
    assert result["mpjpe"] == pytest.approx(np.linalg.norm(relative - pred, axis=-1).mean())


@pytest.mark.parametrize(
    "damage, flags, sentence",
    [
        (lambda store: rename(store, *COCO), ("--root", "tail"), "no joint 'tail'"),
        (lambda store: [write(store, "coords", unrooted(store, s), s) for s in ("valid", "test")], (), "in none of 10"),
        (lambda store: write(store, "coords", unrooted(store, "test"), "test"), (), "examples of split 'test'"),
    ],
)
def test_roots_that_cannot_be_used_are_refused_before_the_first_step(folder, damage, flags, sentence, capsys):
    damage(folder / "store")
    flags = ("--preset", "tiny", "--dataset3d", "store", *flags, "--batch-size-2d", "0", "--logdir", "new")
    assert main(["--train", *flags]) == 2
    assert sentence in capsys.readouterr().err and not (folder / "new").exists()


def unrooted(store, split: str) -> np.ndarray:
    coords = PoseStore(store).column(split, "coords").copy()
    coords[:, 0] = np.nan
    return coords


def test_nothing_to_evaluate_is_said(folder, capsys):
    bare = write_store(folder / "bare", counts={"train": 4})
    config = parse("--train", "--dataset3d", str(bare))
    run = RunFolder(folder / "run")
    assert evaluate.evaluate_and_report(Network(), PoseStore(bare).skeleton, config, run) == {}
    assert "Nothing was evaluated" in capsys.readouterr().out
    assert "--test-on" in (folder / "run/evaluation.md").read_text()
    models.settings_of(None).__dict__["data"].__dict__["dataset3d"] = (str(bare),)
    assert main(["--evaluate"]) == 2
    assert "Nothing was evaluated" in capsys.readouterr().err
    mixture = Mixture([Entry(PoseStore(bare), "train", 2)], seed=0)
    assert evaluate.Validator(Network(), mixture, config, run).names == ()
    assert "No validation" in capsys.readouterr().out


def test_a_store_of_two_pelvises_is_not_validated(folder, capsys):
    """Its poses have no one root, which training found out at its first validation."""
    rename(folder / "store", "pelv_a", "pelv_b", *NAMES[2:])
    mixture = Mixture([Entry(PoseStore(folder / "store"), "train", 2)], seed=0)
    config = parse("--train", "--dataset3d", "store")
    validator = evaluate.Validator(Network(), mixture, config, RunFolder(folder / "run"))
    assert "mpjpe" not in validator.names and "No validation" in capsys.readouterr().out
    validator(1)
    config = parse("--train", "--dataset3d", "store", "--root", "pelv_b")
    assert evaluate.Validator(Network(), mixture, config, RunFolder(folder / "run"))(1)["mpjpe"] > 0


# People of a picture


def people(path, rows) -> PoseStore:
    """A store of (picture, sequence, frame, person)."""
    camera = CameraParams(np.eye(3), np.zeros(3), np.array([[300.0, 0, 47], [0, 300, 47], [0, 0, 1]]), None, (0, -1, 0))
    with PoseStoreWriter(path, name="people", skeleton=Skeleton("toy", NAMES), licence="CC0") as writer:
        for key, sequence, frame, person in rows:
            writer.add(
                "test",
                image_key=key,
                image=np.zeros((96, 96, 3), np.uint8),
                box_ltwh_px=(10, 10, 50, 60),
                camera=camera,
                coords=POSE + (0, 0, 4000),
                sequence=sequence,
                frame=frame,
                person=person,
            )
    return PoseStore(path)


@pytest.mark.parametrize(
    "rows, expected",
    [
        ([("a.jpg", "", 0, 0), ("a.jpg", "", 0, 0), ("b.jpg", "", 0, 0)], [0, 1, 0]),
        ([("a.jpg", "s", 0, 7), ("a.jpg", "s", 0, 7), ("b.jpg", "s", 1, 7), ("b.jpg", "s", 1, 3)], [0, 1, 7, 3]),
        ([("a.jpg", "s", 0, 5), ("a.jpg", "s", 0, 2)], [5, 2]),
    ],
)
def test_people_without_numbers_are_numbered(tmp_path, rows, expected):
    truth = truth_from_store(people(tmp_path / "store", rows))
    assert truth.person.tolist() == expected


@pytest.mark.parametrize("boxes, second", [("store", 0), ("detector", 1)])
def test_pictures_that_cannot_be_told_apart_are_refused_before_they_are_predicted(tmp_path, boxes, second):
    store = people(tmp_path / "store", [("a.jpg", "s", 3, 0), ("b.jpg", "s", 3, second)])
    estimator = types.SimpleNamespace(detect_poses_batched=None)
    settings = PredictionSettings(boxes=boxes)
    with pytest.raises(UserError, match="pictures a.jpg and b.jpg .* frame 3 of sequence 's'"):
        predict_store(estimator, NAMES, store, "test", tmp_path / "p.npz", settings=settings)
    assert not list(tmp_path.glob("p.npz*"))


# Units


@pytest.mark.parametrize("unit", UNITS_MM)
def test_files_in_other_units_are_refused_with_the_hint(tmp_path, unit):
    poses = (POSE + np.random.default_rng(0).normal(0, 30, (20, *POSE.shape)) + (0, 0, 4000)) / UNITS_MM[unit]
    names = np.array(NAMES)
    np.savez(tmp_path / "p.npz", poses3d_mm=poses, joint_names=names, sequence=["s"] * 20, frame=np.arange(20))
    hint = f"looks like {unit} .* multiply by {UNITS_MM[unit]:g}"
    with pytest.raises(UserError, match=hint):
        load_predictions(tmp_path / "p.npz")
    with pytest.raises(UserError, match=hint):
        fit_acae(poses, NAMES, n_latents=4, n_center_latents=2, steps=1, n_restarts=1)


def test_a_bad_models_small_people_are_millimetres_where_the_file_says_so(tmp_path):
    poses, rows = np.tile(POSE / 20, (4, 1, 1)), {"sequence": ["s"] * 4, "frame": np.arange(4)}
    for metadata in ({"unit": "mm"}, {"antialias_factor": 2}):  # the second: --predict before it noted the unit
        assert len(Predictions(poses, NAMES, **rows, metadata=metadata)) == 4
    noted = ('{"unit": "mm"}', 0), ('{"mirrored": true}', 0), ("{}", 2), ("{", 2)  # the second: pseudo-labels
    for provenance, code in noted:
        many = POSE / 20 + np.random.default_rng(0).normal(0, 3, (300, *POSE.shape)) + (0, 0, 4000)
        np.savez(tmp_path / "poses.npz", poses=many, joint_names=np.array(NAMES), provenance=provenance)
        flags = ["--poses-file", str(tmp_path / "poses.npz"), "--acae", str(tmp_path / "acae.npz")]
        flags += "--n-latents 4 --n-center-latents 2 --acae-steps 3 --n-restarts 1 --load-path".split()
        assert main(["--train-acae", *flags, str(tmp_path)]) == code
    for metadata, sentence in (({}, "multiply by"), ({"unit": "cm"}, "the unit is 'cm'; millimetres")):
        with pytest.raises(UserError, match=sentence):
            Predictions(poses, NAMES, **rows, metadata=metadata)


# Joint names


class Column:
    """A column of a table as pandas has it."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, object)

    def __iter__(self):
        return iter(self.values)

    def tolist(self):
        return list(self.values)

    def __repr__(self):
        return "a column"


@pytest.mark.parametrize(
    "spelled",
    [
        list(NAMES),
        np.array(NAMES, "S"),
        np.array(NAMES, object),
        np.array([n.encode() for n in NAMES], object),
        Column(NAMES),
        [b"pelv_a", *NAMES[1:]],
        ["\ufeffpelv_a", *NAMES[1:]],
        [b"\xef\xbb\xbfpelv_a", *NAMES[1:]],
        [f" {n}\r\n" for n in NAMES],
        [f"b'{n}'" for n in NAMES],
    ],
    ids=repr,
)
def test_joint_names_are_understood_in_every_form(tmp_path, spelled):
    assert read_names(spelled) == NAMES
    assert Skeleton("toy", spelled).mirror.tolist() == [0, 2, 1, 4, 3, 5, 7, 6]
    rows = {"sequence": Column(["s"]), "frame": np.array([1])}
    assert Predictions(POSE[None], spelled, **rows).joint_names == NAMES
    stored = np.array([n if isinstance(n, bytes) else n.encode() for n in spelled])
    np.savez(tmp_path / "poses.npz", poses=POSE[None], joint_names=stored)
    assert load_poses(tmp_path / "poses.npz").joint_names == NAMES
    with h5py.File(tmp_path / "poses.h5", "w") as file:
        file["poses"], file["joint_names"] = POSE[None], stored
    assert load_poses(tmp_path / "poses.h5").joint_names == NAMES
    poses = POSE + np.random.default_rng(0).normal(0, 60, (200, *POSE.shape)) + (0, 0, 4000)
    acae = fit_acae(poses, spelled, n_latents=4, n_center_latents=2, steps=2, n_restarts=1)
    assert isinstance(acae, Acae) and acae.joint_names == NAMES


@pytest.mark.parametrize(
    "value, sentence",
    [
        ("pelv,lhip", "one text"),
        (b"pelv", "one text"),
        ([1, 2], "holds 1, a int"),
        (["a", None], "holds None"),
        (["a", float("nan")], "holds nan"),
        (["a", ""], "name 1 is empty"),
        ([b"\xff\xfe"], "UTF-8"),
        (np.array([["a"], ["b"]]), "expected 2 texts"),
        (np.array("a"), "expected a list"),
        (5, "expected a list"),
    ],
    ids=repr,
)
def test_what_is_no_list_of_names_is_refused(value, sentence):
    for read in (read_names, lambda names: Skeleton("toy", names)):
        with pytest.raises(UserError, match=sentence):
            read(value)
