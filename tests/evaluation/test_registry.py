"""Protocols and metrics of one's own: one file each, found by name; nothing is imported because a file says so."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation import definitions, metrics, protocols
from metrabs_acae.evaluation.definitions import Metric
from metrabs_acae.evaluation.predictions import Predictions, save_predictions
from metrabs_acae.evaluation.protocols import generic
from metrabs_acae.evaluation.protocols.base import Protocol
from metrabs_acae.evaluation.truth import truth_from_store
from metrabs_acae.main import main
from tests.small_stores import write_store

MODULE = """
from metrabs_acae.evaluation.definitions import Metric, register
from metrabs_acae.evaluation.protocols import generic
from metrabs_acae.evaluation.protocols.base import Protocol

register(Metric("squared", "mm2", score=lambda distance: distance**2, alignment="none"))

def evaluate(predictions, truth, *, missing="refuse"):
    return generic.evaluate(predictions, truth, missing=missing, metrics=("mpjpe", "squared", "apck@10"))

MINE = Protocol("mine", "My benchmark", {"joints": "all"}, evaluate, aliases=("my-bench",))
WRONG = 5
"""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """A folder on the path with a module of a user, a store, and predictions of it that are 9 mm off."""
    monkeypatch.setattr(protocols, "_registered", {})
    monkeypatch.setattr(definitions, "FAMILIES", dict(definitions.FAMILIES))
    (tmp_path / "users_module.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_module", raising=False)
    store = PoseStore(write_store(tmp_path / "store"))
    truth = truth_from_store(store, "test")
    people = (truth.joint_names, truth.sequence, truth.frame, truth.person)
    for name, protocol, error in (("p", "generic", 9), ("q", "users_module:MINE", 9), ("r", "mine", 4)):
        noted = {"protocol": protocol, "store": f"{store.path}:test"}
        save_predictions(tmp_path / f"{name}.npz", Predictions(truth.poses3d_mm + error, *people, metadata=noted))
    return tmp_path


def test_a_protocol_of_ones_own_is_named_on_the_command_line(files, capsys):
    arguments = ["--protocol", "users_module:MINE", "--report-format", "csv"]
    assert main(["--evaluate", str(files / "p.npz"), *arguments]) == 0
    rows = dict(line.split(",", 1) for line in capsys.readouterr().out.splitlines()[1:])
    assert rows["SQUARED"].split(",")[:2] == ["mm2", "243.0"]  # 3 x 9^2, in the metric's own unit
    assert rows["APCK@10"].split(",")[0] == "%" and "PA-MPJPE" not in rows
    assert main(["--evaluate", str(files / "r.npz"), "--report-format", "csv"]) == 0  # now known by its name
    assert protocols.get_protocol("my-bench").name == "mine"


def test_files_do_not_decide_what_is_imported(files, capsys):
    for name in ("q", "r"):
        assert main(["--evaluate", str(files / f"{name}.npz")]) == 2
    assert "users_module" not in sys.modules
    error = capsys.readouterr().err
    assert error.count("There is no evaluation protocol") == 2 and "--protocol MODULE:NAME" in error


@pytest.mark.parametrize(
    "protocol, message",
    [
        ("nowhere:MINE", "--protocol nowhere:MINE cannot be imported (ModuleNotFoundError"),
        ("users_module:HERS", "expected MODULE:NAME"),
        ("users_module:WRONG", "WRONG of users_module is no Protocol but a int"),
        ("hers", "choose one of consistency, generic, human36m, mpi_inf_3dhp, mupots, 3dpw"),
    ],
)
def test_what_is_no_protocol_is_refused(files, protocol, message, capsys):
    assert main(["--evaluate", str(files / "p.npz"), "--protocol", protocol]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_names_are_unique(files):
    other = Protocol("other", "Other", {}, generic.evaluate, aliases=("h36m",))
    with pytest.raises(UserError, match="another evaluation protocol 'h36m'"):
        protocols.register(other)
    with pytest.raises(UserError, match="cannot be called 'pck'"):
        definitions.register(Metric("pck"))
    assert protocols.get_protocol("h36m").name == "human36m"


def test_a_metric_of_ones_own(files):
    definitions.register(Metric("within", score=lambda d, threshold_mm: 100.0 * (d <= threshold_mm), alignment="none"))
    true = np.zeros((2, 3, 3))
    pred = true + np.array([[30.0], [60.0], [90.0]])[None] * (1, 0, 0)
    found = metrics.standard_metrics(pred, true, root=0, metrics=["within@60", "a_mpjpe"])
    assert found == pytest.approx({"within@60": 200 / 3, "a_mpjpe": 60})
    units = {name: definitions.number(name).unit for name in ("within@60", "pa_mpjpe", "auc@150", "seconds")}
    assert units == {"within@60": "%", "pa_mpjpe": "mm", "auc@150": "%", "seconds": ""}


def test_files_are_compared_with_the_first(files, capsys):
    assert main(["--evaluate", str(files / "p.npz"), str(files / "p.npz")]) == 0
    printed = capsys.readouterr().out
    title = f"{files / 'p.npz'} less {files / 'p.npz'}"
    rows = printed[printed.index(title) :].splitlines()
    assert [r.split() for r in rows if r.startswith("A-MPJPE")] == [["A-MPJPE", "mm", "0.0", "[0.0,", "0.0]"]]
