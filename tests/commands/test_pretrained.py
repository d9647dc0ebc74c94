"""`--pack`, and what it makes as the model in the box: `pretrained` in the place of a run folder."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from metrabs_acae.acae import load_poses
from metrabs_acae.commands import models, pack, warm_start
from metrabs_acae.config import Config
from metrabs_acae.data.store import PoseStore
from metrabs_acae.evaluation.predictions import load_predictions
from metrabs_acae.main import main
from metrabs_acae.settings import with_values
from metrabs_acae.training import checkpoints, packed, run_folder
from metrabs_acae.training.run_folder import RunFolder
from tests.small_stores import write_store

NETWORK = {
    "backbone": "blazepose-full",
    "backbone_weights": "pretrained",
    "trained_convolutions": 2,
    "proc_side": 64,
    "depth": 2,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A store, a run on it, and the run packed."""
    folder = tmp_path_factory.mktemp("pretrained")
    store = PoseStore(write_store(folder / "a", "a"))
    run = RunFolder(folder / "run")
    config = with_values(Config(), {**NETWORK, "dataset3d": (f"{store.path}:4",), "batch_size": 4, "batch_size_2d": 0})
    run.create(config.run_settings())
    run.write_json("skeleton.json", store.skeleton.to_dict())
    model = models.build_pose_model(config.model, store.skeleton)
    rng = np.random.default_rng(0)
    model.head.conv.set_weights([rng.normal(size=w.shape) * 0.03 for w in model.head.conv.get_weights()])
    (run.checkpoints / "ckpt-00000005").mkdir(parents=True)
    np.savez(run.checkpoints / "ckpt-00000005" / "variables.npz", **checkpoints.weights_of(model))
    assert main(["--pack", str(folder / "box"), "--load-path", str(run.path)]) == 0
    return folder


@pytest.fixture
def box(folder, monkeypatch, tmp_path):
    """The packed run is the model in the box; nothing may change in it."""
    box = folder / "box"
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder, "BOX", box)
    before = {p: p.stat().st_mtime_ns for p in box.rglob("*")}
    yield box
    assert {p: p.stat().st_mtime_ns for p in box.rglob("*")} == before


def test_pack_says_what_it_costs(folder, tmp_path, capsys):
    store = PoseStore(folder / "a")
    moved = pack.pack(RunFolder(folder / "run"), tmp_path / "box", [store])
    assert moved["n_poses"] == 4 and 0 < moved["mean_mm"] <= moved["p99_mm"] <= moved["largest_mm"] < 20
    assert json.loads((tmp_path / "box" / "packed.json").read_text()) == moved
    assert main(["--pack", str(tmp_path / "box"), "--load-path", str(folder / "run")]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert not list(tmp_path.glob(".box*"))


def test_packed_run_is_small_and_tells_nothing_of_the_machine(folder):
    whole = (folder / "run" / "checkpoints" / "ckpt-00000005" / "variables.npz").stat().st_size
    [part] = (folder / "box").rglob("weights-*.npz")
    assert part.stat().st_size < whole / 8  # half of what is not frozen
    assert RunFolder(folder / "box").read_json("config.json")["data"]["dataset3d"] == ["a:4"]
    [weights, rounded] = [checkpoints.read(folder / name / "checkpoints" / "ckpt-00000005") for name in ("run", "box")]
    assert weights.keys() == rounded.keys()
    for name, array in weights.items():
        np.testing.assert_allclose(rounded[name], array, atol=np.abs(array).max(initial=0) / 65000, err_msg=name)


def test_demo_takes_it_where_there_is_no_run(box, capsys):
    cv2.imwrite("photo.jpg", np.full((96, 96, 3), 127, np.uint8))
    Path("runs/unfinished").mkdir(parents=True)
    assert main(["--demo", "photo.jpg", "--boxes", "10,10,60,80", "--outputs", "json"]) == 0
    [frame] = json.loads(Path("demo/photo.json").read_text())["frames"]
    assert len(frame["people"]) == 1
    assert "photo.jpg: 1 person" in capsys.readouterr().out


def test_pseudo_labels_evaluation_and_prediction(box, folder):
    store = str(folder / "a")
    assert main(["--pseudo-labels", "--load-path", "pretrained", "--pseudo-label-on", store]) == 0
    assert load_poses("runs/pretrained/poses.npz").poses_mm.shape == (12, 8, 3)
    assert main(["--evaluate", "--load-path", "pretrained", "--test-on", store]) == 0
    assert json.loads(Path("runs/pretrained/evaluation.json").read_text())["a"]["n_poses"] == 4
    assert main(["--predict", store, "--load-path", "pretrained", "--boxes-from", "store"]) == 0
    assert len(load_predictions("runs/pretrained/predictions/a.npz")) == 4


def test_a_training_starts_from_it(box, folder):
    config = with_values(Config(), {**NETWORK, "init_path": "pretrained"})
    warm_start.check(config)
    model = models.build_pose_model(config.model, PoseStore(folder / "a").skeleton, weights="")
    assert warm_start.initialize(model, "pretrained") == ["Starting from step 5 of pretrained."]
    initial, _, _ = models.load_pose_model(RunFolder(box))
    for mine, theirs in zip(model.weights, initial.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    "command",
    (["--demo", "photo.jpg"], ["--export"], ["--pseudo-labels"], ["--evaluate"], ["--pack", "x"]),
)
def test_a_missing_box_is_one_sentence(command, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run_folder, "BOX", tmp_path / "none")
    assert main([*command, "--load-path", "pretrained"]) == 2
    assert "No trained model is installed with this project" in capsys.readouterr().err


def test_a_missing_box_cannot_be_trained_from(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(run_folder, "BOX", tmp_path / "none")
    assert main(["--train", "--init-path", "pretrained", "--logdir", str(tmp_path / "run")]) == 2
    assert "No trained model is installed with this project" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_real_box(tmp_path, monkeypatch):
    """Its size, what it holds, and that it poses a person."""
    monkeypatch.chdir(tmp_path)
    files = {p: p.stat().st_size for p in run_folder.BOX.rglob("*") if p.is_file()}
    assert sum(files.values()) <= 35e6 and max(files.values()) <= 15e6
    run = run_folder.open_run("pretrained")
    [(_, path)] = checkpoints.list_checkpoints(run.checkpoints)
    arrays = checkpoints.read(path)
    assert all(name.startswith("model/") for name in arrays)
    of_asset = json.loads((path / packed.INDEX).read_text())["of_asset"]
    assert len(of_asset) == 2 * 41  # kernels and biases of what was not trained
    assert not [name for part in path.glob("*.npz") for name in np.load(part).files if name in of_asset]
    assert "/" not in "".join(map(str, run_folder.by_name(run.read_json("config.json")).values()))
    assert json.loads((run_folder.BOX / "packed.json").read_text())["p99_mm"] < 0.5
    cv2.imwrite("photo.jpg", np.full((96, 96, 3), 127, np.uint8))
    assert main(["--demo", "photo.jpg", "--load-path", "pretrained", "--boxes", "10,10,60,80"]) == 0
