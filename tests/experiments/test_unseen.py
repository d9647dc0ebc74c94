"""Which models are measured by which joints, which rows get a mean, and what is said if nothing is there."""

from types import SimpleNamespace

import numpy as np
import pytest

from data_processing.synthetic.datasets import BENCHMARKS
from experiments import library, unseen
from experiments.report import Collected
from experiments.scales import get_scale
from experiments.steps import Places
from metrabs_acae.skeletons import Skeleton
from metrabs_acae.tables import PlusMinus

OWN = ("h36m", "3dhp", "muco", "surreal")


def test_a_row_has_a_mean_of_the_seeds_with_all_columns():
    small = {"a": {"mpjpe": {1: 10.0, 2: 30.0}}, "b": {"mpjpe": {1: 20.0}}}
    rows = unseen.table(Collected({"small": small, "full": {"b": {"mpjpe": {2: 5.0}}}}, {}, [], 0))
    assert rows[0] == {"": "small", "a": PlusMinus(20, pytest.approx(200**0.5)), "b": 20, "mean": 15, "seeds": 2}
    assert rows[1] == {"": "full", "b": 5, "seeds": 1}


def test_single_datasets_are_measured_by_their_own_joints(tmp_path, monkeypatch):
    """All joints but the root err by as many mm as the model's name has letters."""
    skeleton = Skeleton("all", tuple(dict.fromkeys(n for b in BENCHMARKS for n in b.joint_names)))
    roots = skeleton.indices([b.root for b in BENCHMARKS])

    def predicted(run, store, names):
        true, pred = np.zeros((2, skeleton.n_joints, 3)), np.full((2, skeleton.n_joints, 3), np.nan)
        pred[:, skeleton.indices(names)] = [len(run.name), 0, 0]
        pred[:, roots] = 0
        found = SimpleNamespace(pred_mm=pred, true_mm=true, valid=np.ones(true.shape[:2], bool))
        return SimpleNamespace(skeleton=skeleton), found

    runs = ["train-small-s1", *(f"train-single-{own}-s1" for own in OWN)]
    for run in [*runs, "train-full-s1"]:
        (tmp_path / run).mkdir()
    for run in runs:  # the full mixture's has not come to its end
        (tmp_path / run / "evaluation.json").write_text("{}")
    monkeypatch.setattr(library, "predicted", predicted)
    found = unseen.measure(get_scale("small"), Places(tmp_path, tmp_path, tmp_path))
    assert set(found.values) == {"small", "own training set"}
    for b, own in zip(BENCHMARKS, OWN, strict=True):
        share = 1 - 1 / len(b.joint_names)
        assert found.get("small", b.store, "mpjpe")[1] == pytest.approx(share * len("train-small-s1"))
        of_own = found.get("own training set", b.store, "mpjpe")
        assert of_own == {1: pytest.approx(share * len(f"train-single-{own}-s1"))}


def test_what_is_missing_is_said(tmp_path, capsys):
    assert unseen.main(["--scale", "small", "--work-dir", str(tmp_path)]) == 2
    assert "run many-datasets" in capsys.readouterr().err
    assert unseen.main(["--scale", "paper"]) == 2
    assert "no store with every skeleton's joints" in capsys.readouterr().err
