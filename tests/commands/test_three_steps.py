"""From separate heads to skeletons that agree: train, pseudo-labels, autoencoder, fine-tuning, at the smallest size."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest

import metrabs_acae.models
from metrabs_acae.acae import Acae, load_poses
from metrabs_acae.commands import export, models
from metrabs_acae.evaluation.predictions import load_predictions
from metrabs_acae.main import main
from metrabs_acae.training.run_folder import RunFolder
from tests.small_stores import write_store

J, LATENTS = 16, 5


def small_backbone(name, image_size, **_) -> keras.Model:
    """One convolution: what is tested here does not depend on the network, whose compilation costs most of the time."""
    image = keras.Input((image_size, image_size, 3))
    features = keras.layers.Conv2D(8, 3, strides=32, padding="same", activation="relu", name="conv")(image)
    return keras.Model(image, features, name=name)


@pytest.fixture(autouse=True, scope="module")
def cheap():
    """A small backbone, and no export but of the hybrid model."""
    export_run = export.export_run
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrabs_acae.models, "build_backbone", small_backbone)
        patch.setattr(export, "export_run", lambda model, *a: model.variant.name == "hybrid" and export_run(model, *a))
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three_steps")
    write_store(folder / "a", "a")
    write_store(folder / "b", "b", seed=1)
    write_store(folder / "c", kind="2d", seed=2)
    write_store(folder / "other", "other", seed=3)
    return folder


def store_flags(folder: Path) -> list[str]:
    return ["--dataset3d", str(folder / "a"), str(folder / "b:6"), "--dataset2d", str(folder / "c")]


@pytest.fixture(scope="module")
def initial(folder) -> Path:
    """The run of step 1: 20 steps, so that a fine-tuning has 2."""
    few = ["--training-steps", "20", "--validate-period", "20"]
    assert main(["--train", "--preset", "tiny", *store_flags(folder), *few, "--logdir", str(folder / "initial")]) == 0
    return folder / "initial"


@pytest.fixture(scope="module")
def acae_file(folder, initial) -> Path:
    """Steps 2a and 2b: poses.npz and acae.npz in the run folder."""
    where = ["--load-path", str(initial)]
    on = ["--pseudo-label-on", "a", "a:valid", str(folder / "b:test")]
    assert main(["--pseudo-labels", *where, *on, "--batch-size-test", "5"]) == 0
    small = ["--n-latents", str(LATENTS), "--n-center-latents", "1", "--acae-steps", "50", "--n-restarts", "1"]
    assert main(["--train-acae", *where, *small]) == 0
    return initial / "acae.npz"


def test_pseudo_labels_and_autoencoder_are_of_all_joints(initial, acae_file):
    poses = load_poses(initial / "poses.npz")
    assert poses.poses_mm.shape == (12 + 3 + 4, J, 3) and np.isfinite(poses.poses_mm).all()
    assert poses.provenance["sources"] == ["a:train", "a:valid", "b:test"] and poses.provenance["step"] == 20
    skeleton = json.loads((initial / "skeleton.json").read_text())
    assert list(poses.joint_names) == skeleton["joint_names"]
    acae = Acae.load(acae_file)
    assert acae.encoder.shape == (J, LATENTS) and acae.joint_names == poses.joint_names
    assert (initial / "acae-report" / "report.md").exists()


def finetune(folder: Path, initial: Path, acae_file: Path, variant: str, *more: str) -> tuple[int, Path]:
    logdir = folder / f"fine-{variant}"
    flags = ["--variant", variant, "--acae", str(acae_file), "--init-path", str(initial), "--logdir", str(logdir)]
    return main(["--train", *flags, *more]), logdir


@pytest.mark.parametrize("variant", ["regularize", "latent", "hybrid"])
def test_fine_tuning_starts_from_the_run_and_keeps_the_autoencoder(folder, initial, acae_file, variant, capsys):
    code, run = finetune(folder, initial, acae_file, variant, "--no-color-aug", "--scale-aug-up", "5")
    assert code == 0, capsys.readouterr().err
    settings = json.loads((run / "config.json").read_text())
    assert settings["training"]["training_steps"] == 2 and settings["training"]["decay_steps"] == 20
    assert settings["data"]["dataset3d"] == [str(folder / "a"), str(folder / "b:6")]
    assert f"Starting from step 20 of {initial}" in (run / "log.txt").read_text()
    assert set(json.loads((run / "evaluation.json").read_text())) == {"a", "b"}
    assert (run / "model" / "saved_model.pb").exists() == (variant == "hybrid")

    last = list(csv.DictReader((run / "metrics.csv").open()))[-1]
    assert float(last["learning_rate_backbone"]) == pytest.approx(1e-3 / 30 * 0.3)  # the schedule's end

    acae = Acae.load(acae_file)
    model, _, _ = models.load_pose_model(models.find_run(str(run)))
    np.testing.assert_allclose(model.encoder.matrix(), acae.encoder, atol=1e-7)
    np.testing.assert_allclose(model.decoder.matrix(), acae.decoder, atol=1e-7)
    # The two optimizers have no state for them: the arrays that Adam keeps have the shapes of kernels and biases.
    arrays = dict(np.load(run / "checkpoints/ckpt-00000002/variables.npz"))
    assert not any(v.ndim == 2 for k, v in arrays.items() if k.startswith("optimizer/"))

    at_first = dict(np.load(initial / "checkpoints/ckpt-00000020/variables.npz"))
    kernels = [n for n in at_first if n.startswith("model/") and n.endswith("kernel") and "head" not in n]
    moved = [np.abs(arrays[n] - at_first[n]).max() for n in kernels]
    assert moved and 0 < max(moved) < 1e-4  # two steps at no more than a thirtieth of the base rate of 1e-3


def test_a_fine_tuned_run_is_evaluated_like_any_other(folder):
    run = folder / "fine-hybrid"
    results = json.loads((run / "evaluation.json").read_text())
    assert main(["--evaluate", "--load-path", str(run)]) == 0
    again = json.loads((run / "evaluation.json").read_text())
    assert again["b"]["mpjpe"] == pytest.approx(results["b"]["mpjpe"], abs=1e-3)


def test_a_run_and_its_exported_model_predict_alike(folder, tmp_path, capsys):
    """Also where training changed crops less than the reference does: test-time augmentation then goes less far."""
    run, predicted = folder / "fine-hybrid", []
    for model in (run, run / "model"):
        file = str(tmp_path / f"{model.name}.npz")
        assert main(["--predict", str(folder / "b"), "--load-path", str(model), "--predictions", file]) == 0
        predicted.append(load_predictions(file))
    assert predicted[0].joint_names == predicted[1].joint_names and len(predicted[0]) == 4
    np.testing.assert_allclose(predicted[0].poses3d_mm, predicted[1].poses3d_mm, atol=0.1)  # float32, other graphs
    capsys.readouterr()
    assert main(["--evaluate", file]) == 0
    assert "Protocol generic" in capsys.readouterr().out
    report = json.loads((tmp_path / "model" / "report.json").read_text())
    assert report["counts"]["poses_scored"] == 4 and 0 < report["results"][0]["mpjpe"] < 5000


def test_a_training_on_other_joints_starts_from_those_of_the_run(folder, initial, tmp_path):
    """`a` keeps its joints; those of `other`, labelled in pictures of noise, begin as combinations."""
    stores = ["--dataset3d", str(folder / "other"), str(folder / "a")]
    flags = ["--init-path", str(initial), "--preset", "tiny", "--training-steps", "1", "--base-learning-rate", "1e-9"]
    assert main(["--train", *flags, *stores, "--weight-decay", "0", "--logdir", str(tmp_path / "run")]) == 0
    log = (tmp_path / "run" / "log.txt").read_text()
    assert "8 of the 16 joints have the weights of the initial model's joint of their name." in log
    assert "8 start as combinations of its joints (pelv_other: " in log
    (old, _, _), (new, _, _) = (models.load_pose_model(RunFolder(path)) for path in (initial, tmp_path / "run"))
    (old_kernel, _), (kernel, _) = (model.head.conv.get_weights() for model in (old, new))
    old_kernel, kernel = (k.reshape(-1, 9, J) for k in (old_kernel, kernel))
    where = [(model.skeleton.joint_names.index("lkne_a")) for model in (old, new)]
    np.testing.assert_allclose(kernel[..., where[1]], old_kernel[..., where[0]], atol=1e-6)
    others = new.skeleton.indices([n for n in new.skeleton.joint_names if n.endswith("_other")])
    low, high = old_kernel.min(-1, keepdims=True), old_kernel.max(-1, keepdims=True)
    assert ((low - 1e-6 <= kernel[..., others]) & (kernel[..., others] <= high + 1e-6)).all()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--variant", "hybrid", "--init-path", "{initial}"], "--variant hybrid needs --acae FILE"),
        (["--variant", "latent", "--acae", "{acae}"], "needs --init-path RUN"),
        (["--acae", "{acae}", "--init-path", "{initial}"], "--acae needs --variant"),
        (["--variant", "hybrid", "--acae", "{acae}", "--init-path", "{initial}", "--merge-joints"], "exclude each"),
        (["--variant", "hybrid", "--acae", "{acae}", "--init-path", "nowhere"], "nowhere is not a run folder"),
        (["--variant", "hybrid", "--acae", "nowhere.npz", "--init-path", "{initial}"], "no autoencoder file"),
        (["--variant", "hybrid", "--acae", "{turned}", "--init-path", "{initial}"], "in a different order"),
        (["--variant", "hybrid", "--acae", "{acae}", "--init-path", "{initial}", "--depth", "4"], "give --depth as"),
        (["--init-path", "{initial}", "--preset", "tiny", "--depth", "4"], "give --depth as"),
    ],
)
def test_combinations_that_cannot_work_are_refused_in_one_sentence(
    folder, initial, acae_file, flags, message, capsys, tmp_path
):
    turned = folder / "turned.npz"
    acae = Acae.load(acae_file)
    acae.reordered(acae.joint_names[::-1]).save(turned)
    places = {"initial": initial, "acae": acae_file, "turned": turned}
    flags = [f.format(**places) for f in flags]
    capsys.readouterr()
    assert main(["--train", *flags, "--logdir", str(tmp_path / "new")]) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("Error: ") and err.count("\n") == 1
    assert not (tmp_path / "new").exists()


def test_pseudo_labels_that_cannot_be_made_are_refused(folder, initial, capsys):
    for on, message in (
        ([], "is marked clean"),
        (["--pseudo-label-on", "a:nosplit"], "no examples in split 'nosplit'"),
        (["--pseudo-label-on", str(folder / "c")], "has 2D labels; a 3D pose store is needed"),
        (["--pseudo-label-on", "a", "--min-auc", "0.99"], "No pose was kept"),
    ):
        capsys.readouterr()
        assert main(["--pseudo-labels", "--load-path", str(initial), "--poses-file", str(folder / "x.npz"), *on]) == 2
        assert message in capsys.readouterr().err
    assert main(["--train-acae", "--poses-file", str(folder / "missing.npz")]) == 2
