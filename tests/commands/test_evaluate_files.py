"""--evaluate FILE: which protocol, truth and options count, and what is written."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from metrabs_acae.commands import evaluate_files
from metrabs_acae.config import Config, Verbs
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predictions import Predictions, save_predictions
from metrabs_acae.evaluation.protocols import get_protocol
from metrabs_acae.evaluation.settings import Benchmark
from metrabs_acae.evaluation.truth import truth_from_store
from metrabs_acae.main import main
from tests.small_stores import write_store


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A store, a prediction file 9 mm off along x, and one without metadata."""
    folder = tmp_path_factory.mktemp("files")
    store = PoseStore(write_store(folder / "store"))
    truth = truth_from_store(store, "test")
    people = (truth.joint_names, truth.sequence, truth.frame, truth.person)
    noted = {"protocol": "generic", "store": f"{store.path}:test"}
    save_predictions(folder / "p.npz", Predictions(truth.poses3d_mm + (9, 0, 0), *people, metadata=noted))
    save_predictions(folder / "bare.npz", Predictions(truth.poses3d_mm, *people).rows(np.arange(2)))
    return folder


def test_a_file_of_predict_needs_no_further_flags(files, capsys):
    assert main(["--evaluate", str(files / "p.npz")]) == 0
    out = capsys.readouterr().out
    assert "Protocol generic" in out and "A-MPJPE" in out and "Per joint" in out and "predicted people: 4" in out
    report = json.loads((files / "p" / "report.json").read_text())
    assert report["results"][0]["a_mpjpe"] == pytest.approx(9) and report["results"][0]["mpjpe"] == pytest.approx(0)
    written = {p.name for p in (files / "p").iterdir()}
    assert {"report.md", "report.tex", "report.json", "overall.csv", "per_joint.csv"} <= written
    assert (files / "p" / "per_joint.csv").read_text().startswith("joint,")


def test_other_files_name_the_truth_and_options_of_the_protocol(files, capsys):
    bare, store = str(files / "bare.npz"), str(files / "store")
    assert main(["--evaluate", bare]) == 2
    assert main(["--evaluate", bare, "--truth", store]) == 2
    skip = ["--evaluate", bare, "--truth", f"{store}:test", "--protocol-options", "missing=skip"]
    captured = capsys.readouterr()
    assert captured.err.count("Error: ") == 2 and captured.err.count("\n") == 2
    assert "--truth" in captured.err and "2 of 4 labelled people have no prediction" in captured.err
    where = ["--report-dir", str(files / "tables"), "--report-format", "csv"]
    assert main([*skip, *where]) == 0
    assert capsys.readouterr().out.startswith("metric,unit,all")
    assert json.loads((files / "tables" / "report.json").read_text())["counts"]["missing_skipped"] == 2


def test_reports_of_files_of_one_name_do_not_replace_each_other(files, tmp_path):
    paths = [tmp_path / run / "p.npz" for run in ("first", "second")]
    for path in paths:
        path.parent.mkdir()
        shutil.copyfile(files / "p.npz", path)
    assert main(["--evaluate", *map(str, paths), "--report-dir", str(tmp_path / "tables")]) == 0
    assert sorted(p.parent.name for p in tmp_path.glob("tables/*/report.json")) == ["p", "p_2"]


@pytest.mark.parametrize(
    "protocol, texts, expected",
    [
        ("3dpw", ("joints=14", "association=tracks"), {"joints": 14, "association": "tracks"}),
        ("human36m", ("subjects=S9,S11",), {"subjects": ("S9", "S11")}),
        ("mpi_inf_3dhp", ("universal=true",), {"universal": True}),
        ("generic", ("root=neck_a", "metrics=mpjpe,pck@100"), {"root": "neck_a", "metrics": ("mpjpe", "pck@100")}),
    ],
)
def test_options_have_the_types_of_the_protocol(protocol, texts, expected):
    assert evaluate_files.parse_options(get_protocol(protocol), texts) == expected


@pytest.mark.parametrize("text", ["joints=many", "speed=3", "missing"])
def test_options_that_do_not_exist_or_fit_are_refused(text):
    with pytest.raises(UserError, match=text.partition("=")[0]):
        evaluate_files.parse_options(get_protocol("3dpw"), (text,))


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--evaluate", "nowhere.npz"], "no prediction file 'nowhere.npz'"),
        (["--evaluate", "{p}", "--truth", "nowhere"], "nowhere does not exist"),
        (["--evaluate", "{p}", "--truth", "{store}:valley"], "no examples in split 'valley'"),
        (["--evaluate", "{p}", "--protocol", "h37m"], "h37m"),
        (["--evaluate", "{p}", "--protocol", "mupots"], "htop_3dhp"),
        (["--predict", "nowhere"], "nowhere does not exist"),
        (["--predict", "{store}", "--load-path", "nowhere"], "neither a run folder"),
        (["--predict", "{store}", "--num-aug", "0"], "greater than zero"),
    ],
)
def test_what_cannot_be_scored_is_refused_in_one_sentence(files, arguments, message, capsys):
    assert main([a.format(p=files / "p.npz", store=files / "store") for a in arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("Error: ") and err.count("\n") == 1


def test_flags_count_before_what_the_file_says(files):
    result = evaluate_files.score_file(
        files / "p.npz", Benchmark(protocol="generic", truth=str(files / "store"), protocol_options=("root=neck_a",))
    )
    assert result.statement["root"] == "neck_a"


def test_tables_are_written_where_nobody_reads_the_printed_ones(files, monkeypatch):
    def broken_print(*_, **__):
        raise BrokenPipeError

    monkeypatch.setattr(evaluate_files, "print", broken_print, raising=False)
    folder = files / "piped"
    config = Config(verbs=Verbs(evaluate=(str(files / "p.npz"),)), benchmark=Benchmark(report_dir=str(folder)))
    with pytest.raises(BrokenPipeError):
        evaluate_files.run(config)
    assert (folder / "report.json").exists() and (folder / "overall.csv").exists()
