"""--variant MODULE:NAME: a variant and a loss term of one's own, named on the command line and nowhere else."""

import json

import numpy as np
import pytest
from keras import ops

import metrabs_acae.models
from metrabs_acae.commands import export
from metrabs_acae.main import main
from metrabs_acae.models import losses, variants
from metrabs_acae.models.losses import LOSS_TERMS, register_loss_term
from metrabs_acae.models.variants import VARIANTS, Variant
from tests.commands.test_three_steps import small_backbone
from tests.small_stores import write_store

register_loss_term("upright", lambda half: ops.mean(ops.abs(half.points["joints"][..., 0])) / 1000)
UPRIGHT = Variant(
    "upright",
    points=("joints",),
    losses=lambda weights, half: {"pose": 1.0, "upright": 0.1},
    needs_acae=False,
    learning_rates="main",
)
REGULARIZED = Variant("mine", points=("joints",), losses=lambda weights, half: {"pose": 1.0, "manifold": 2.0})


@pytest.fixture(autouse=True, scope="module")
def own():
    """No other test sees what is registered here; a small backbone, and no export."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(variants, "VARIANTS", dict(VARIANTS))
        patch.setattr(losses, "LOSS_TERMS", dict(LOSS_TERMS))
        patch.setattr(metrabs_acae.models, "build_backbone", small_backbone)
        patch.setattr(export, "export_run", lambda *_: None)
        yield
    LOSS_TERMS.pop("upright")


def test_it_trains_and_its_runs_need_the_flag_again(tmp_path, capsys, monkeypatch):
    store, run, name = write_store(tmp_path / "a", "a"), str(tmp_path / "run"), f"{__name__}:UPRIGHT"
    few = ["--preset", "tiny", "--training-steps", "2", "--dataset3d", str(store), "--logdir", run]
    assert main(["--train", "--variant", name, *few]) == 0
    assert json.loads((tmp_path / "run" / "config.json").read_text())["model"]["variant"] == name
    again = ["--evaluate", "--load-path", run, "--test-on", str(store)]
    monkeypatch.setattr(variants, "VARIANTS", dict(VARIANTS))  # another process
    capsys.readouterr()
    assert main(again) == 2
    assert f"runs only when the command names it: give --variant {name}" in capsys.readouterr().err
    assert main([*again, "--variant", name]) == 0
    assert np.isfinite(json.loads((tmp_path / "run" / "evaluation.json").read_text())["a"]["mpjpe"])


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--train", "--variant", f"{__name__}:REGULARIZED"], f"{__name__}:REGULARIZED needs --acae FILE"),
        (["--train", "--variant", f"{__name__}:np"], "is no Variant, but module"),
        (["--train", "--variant", f"{__name__}:NOTHING"], "cannot be imported"),
        (["--train", "--variant", "both"], "expected one of separate, regularize, latent, hybrid"),
        (["--evaluate", "--variant", "hybrid"], "The variant of a run stands in its config.json"),
    ],
)
def test_what_cannot_be_used_is_named(arguments, message, capsys):
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
