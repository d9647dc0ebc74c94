"""The program as its user runs it, at its smallest size: train, be killed, go on, evaluate, export, pose a picture."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from metrabs_acae.commands import evaluate
from metrabs_acae.main import main
from tests.small_stores import write_store

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("program")
    write_store(folder / "a", "a")
    write_store(folder / "b", "b", seed=1)
    write_store(folder / "c", kind="2d", seed=2)
    cv2.imwrite(str(folder / "photo.jpg"), np.random.default_rng(0).integers(0, 255, (120, 160, 3), np.uint8))
    return folder


def training_flags(folder: Path, logdir: str, *more: str) -> list[str]:
    stores = ["--dataset3d", str(folder / "a"), str(folder / "b:7"), "--dataset2d", str(folder / "c")]
    return ["--train", "--preset", "tiny", *stores, "--logdir", str(folder / logdir), *more]


def start(arguments: list[str]) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-m", "metrabs_acae.main", *arguments],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.fixture(scope="module")
def finished(folder):
    """The run folder of an unbroken training."""
    process = start(training_flags(folder, "unbroken"))
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert err == ""  # nothing but results on a pipe
    assert "step 8/8" in out and "MPJPE" in out and "ratio" in out
    return folder / "unbroken"


def test_a_finished_run_has_everything_in_its_folder(finished):
    for name in (
        *("config.json", "versions.json", "skeleton.json", "log.txt", "curves.png", "tensorboard"),
        *("evaluation.md", "model/saved_model.pb", "model/model_card.md", "finished.json"),
    ):
        assert (finished / name).exists(), name
    rows = list(csv.DictReader((finished / "metrics.csv").open()))
    assert [int(r["step"]) for r in rows] == [2, 4, 6, 8]
    assert rows[1]["val_mpjpe"] and not rows[0]["val_mpjpe"]
    results = json.loads((finished / "evaluation.json").read_text())
    assert set(results) == {"a", "b"}
    for result in results.values():
        assert result["n_poses"] == 4
        assert result["ratio"] == pytest.approx(result["mpjpe"] / result["constant_pose_mpjpe"])
    pictures = sorted(p.name for p in (finished / "overlays").iterdir())
    assert pictures == ["step_0000004.png", "step_0000008.png", "test_a.png", "test_b.png"]
    assert cv2.imread(str(finished / "overlays" / "test_a.png")).std() > 10


@pytest.mark.parametrize("after", ["ckpt-00000002"])
def test_killed_and_started_again_it_ends_with_the_same_weights(folder, finished, after):
    """kill -9 as soon as a checkpoint stands; the last weights are bit-identical to the unbroken run's."""
    process = start(training_flags(folder, "killed"))
    deadline = time.monotonic() + 300
    while not (folder / "killed" / "checkpoints" / after).exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (folder / "killed" / "finished.json").exists()

    process = start(training_flags(folder, "killed"))
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, err
    assert "Going on from step" in out
    last = [dict(np.load(folder / r / "checkpoints/ckpt-00000008/variables.npz")) for r in ("unbroken", "killed")]
    assert last[0].keys() == last[1].keys()
    for name, value in last[0].items():
        np.testing.assert_array_equal(last[1][name], value, err_msg=name)
    rows = list(csv.DictReader((folder / "killed" / "metrics.csv").open()))
    assert [int(r["step"]) for r in rows] == [2, 4, 6, 8]


def test_other_settings_do_not_touch_a_run(folder, finished, capsys):
    before = (finished / "config.json").read_bytes()
    assert main(training_flags(folder, "unbroken", "--seed", "9")) == 2
    assert "other settings: --seed (was 1, now 9)" in capsys.readouterr().err
    assert (finished / "config.json").read_bytes() == before


def test_evaluate_export_and_demo_use_the_run(folder, finished, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    results = json.loads((finished / "evaluation.json").read_text())
    assert main(["--evaluate", "--load-path", str(finished), "--test-on", str(folder / "b")]) == 0
    again = json.loads((finished / "evaluation.json").read_text())
    assert again["b"]["mpjpe"] == pytest.approx(results["b"]["mpjpe"], abs=1e-3)
    assert not again["b"]["mirror_averaged"] and evaluate.MIRROR_NOTE not in capsys.readouterr().out

    mirrored = ["--evaluate", "--load-path", str(finished), "--test-on", str(folder / "b"), "--test-time-mirror-aug"]
    assert main(mirrored) == 0
    averaged = json.loads((finished / "evaluation.json").read_text())["b"]
    assert averaged["mirror_averaged"] and evaluate.MIRROR_NOTE in capsys.readouterr().out
    assert evaluate.MIRROR_NOTE in (finished / "evaluation.md").read_text()
    assert averaged["constant_pose_mpjpe"] == pytest.approx(again["b"]["constant_pose_mpjpe"])
    assert averaged["mpjpe"] != pytest.approx(again["b"]["mpjpe"], abs=1e-3)

    assert main(["--export", "--load-path", str(finished), "--export-file", "exported"]) == 0
    arguments = ["--load-path", "exported", "--boxes", "20,10,60,100;80,10,50,100", "--out-dir", "pictures"]
    assert main(["--demo", "photo.jpg", *arguments]) == 0
    poses = json.loads((folder / "pictures" / "photo.json").read_text())
    people = poses["frames"][0]["people"]
    assert np.array([p["pose3d"] for p in people]).shape == (2, len(poses["joint_names"]), 3)
    assert (folder / "pictures" / "photo.overlay.png").exists()

    # noise shows nobody: with the packaged detector that is a normal, empty result
    assert main(["--demo", "photo.jpg", "--load-path", "exported", "--out-dir", "empty"]) == 0
    assert json.loads((folder / "empty" / "photo.json").read_text())["frames"][0]["people"] == []

    capsys.readouterr()
    assert main(["--demo", "missing.jpg", *arguments]) == 2
    assert main(["--demo", "photo.jpg", "--load-path", "nowhere", "--boxes", "1,2,3,4"]) == 2
    assert main(["--evaluate", "--load-path", "nowhere"]) == 2
    assert capsys.readouterr().err.count("Error: ") == 3


def test_show_batches_draws_what_training_sees(folder, capsys, monkeypatch):
    monkeypatch.chdir(folder)
    arguments = training_flags(folder, "x")[1:-2]
    assert main(["--show-batches", "1", *arguments, "--out-dir", "seen"]) == 0
    assert cv2.imread(str(folder / "seen" / "batches.png")).std() > 10
    assert "in crop" in capsys.readouterr().out


@pytest.mark.parametrize(
    "change, message",
    [
        (["--dataset3d", "nowhere"], "nowhere does not exist"),
        (["--dataset3d", "{c}"], "2d pose store; name it with --dataset2d"),
        (["--batch-size", "7"], "too small"),
        (["--backbone", "resnet5"], "no backbone 'resnet5'"),
        (["--validate-on", "{c}"], "2D labels"),
    ],
)
def test_what_cannot_be_trained_on_is_said_before_training(folder, capsys, change, message):
    flags = training_flags(folder, "bad")
    change = [c.format(c=folder / "c") for c in change]
    if change[0] in flags:
        at = flags.index(change[0])
        flags[at : at + 3] = change
    else:
        flags += change
    assert main(flags) == 2
    err = capsys.readouterr().err
    assert re.search(message, err) and err.count("\n") == 1
    assert not (folder / "bad").exists()
