"""--model metro and model25d: trained, validated, evaluated and predicted with; and what they refuse."""

from __future__ import annotations

import json

import numpy as np
import pytest

import metrabs_acae.models
from metrabs_acae.commands import export, models
from metrabs_acae.main import main
from metrabs_acae.models.kinds import KINDS
from metrabs_acae.models.settings import NetworkSettings
from tests.commands.test_three_steps import small_backbone
from tests.small_stores import write_store


@pytest.fixture(autouse=True, scope="module")
def exported():
    """Kinds of the models that were to be exported; and a small backbone."""
    kinds = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrabs_acae.models, "build_backbone", small_backbone)
        patch.setattr(export, "export_run", lambda model, *a: kinds.append(model.name))
        yield kinds


@pytest.fixture(scope="module", params=["metro", "model25d"])
def run(request, tmp_path_factory):
    """(kind, folder with a trained run of it, the store it was trained on)."""
    folder = tmp_path_factory.mktemp(request.param)
    write_store(folder / "a", "a")
    flags = ["--preset", "tiny", "--training-steps", "2", "--validate-period", "2", "--dataset3d", str(folder / "a")]
    assert main(["--train", "--model", request.param, *flags, "--logdir", str(folder / "run")]) == 0
    return request.param, folder / "run", folder / "a"


def test_a_run_is_validated_evaluated_and_found_again(run, exported):
    kind, folder, store = run
    assert (folder / "metrics.csv").read_text().splitlines()[0].count("val_mpjpe") == 1
    before = json.loads((folder / "evaluation.json").read_text())["a"]
    assert np.isfinite(before["mpjpe"])
    assert main(["--evaluate", "--load-path", str(folder), "--test-on", str(store)]) == 0
    again = json.loads((folder / "evaluation.json").read_text())["a"]
    assert again["mpjpe"] == pytest.approx(before["mpjpe"], abs=0.01)  # bone lengths are kept to a micrometre
    assert exported.count(kind) == KINDS[kind].is_absolute


def test_places_in_space_are_predicted_or_refused(run, capsys):
    kind, folder, store = run
    code = main(["--predict", str(store), "--load-path", str(folder), "--predictions", str(folder / "p.npz")])
    assert code == (0 if KINDS[kind].is_absolute else 2)
    if not KINDS[kind].is_absolute:
        assert "--predict needs poses with a place in space, which --model metro does not" in capsys.readouterr().err
        for verb in ("--export", "--pseudo-labels"):
            assert main([verb, "--load-path", str(folder)]) == 2
            assert f"{verb} needs poses with a place" in capsys.readouterr().err


def test_a_checkpoint_has_no_other_model(run):
    kind, folder, _ = run
    pose_model, skeleton, settings = models.load_pose_model(models.find_run(str(folder)))
    assert settings.model == NetworkSettings(**vars(settings.model) | {"model": kind})
    assert pose_model.name == kind and pose_model.skeleton == skeleton


@pytest.mark.parametrize("flags", (["--variant", "hybrid", "--acae", "acae.npz"], ["--init-path", "runs/a"]))
def test_variants_and_warm_starts_are_for_metrabs(flags, capsys):
    assert main(["--train", "--model", "metro", *flags]) == 2
    assert "--model metro can neither have a --variant nor start from --init-path" in capsys.readouterr().err
