"""Published numbers: their internal agreement, beside ours in tables, and `check` of a run on the real datasets."""

from __future__ import annotations

import json

import pytest

from experiments import comparison, report
from experiments.__main__ import main
from experiments.published import COMPARISON, CONSISTENT
from experiments.registry import EXPERIMENTS
from experiments.scales import get_scale
from experiments.steps import Places

TOLERANCES = {"mm": 1.5, "%": 1.5}
PAPER = get_scale("paper")


def value(table, model, benchmark, metric):
    (found,) = [k.value for k in table if (k.model, k.benchmark, k.metric) == (model, benchmark, metric)]
    return found


def test_the_tables_agree_where_they_overlap():
    """Two pictures that were read apart: the comparison with prior work has the poster's regularized models."""
    for size in "SL":
        for benchmark, metric in (("3dpw", "mpjpe"), ("3dpw", "pa_mpjpe"), ("human36m", "mpjpe")):
            own = value(CONSISTENT, f"{size} regularization", benchmark, metric)
            assert own == value(COMPARISON, f"EfficientNetV2-{size}, 256 px, 400k steps", benchmark, metric)
    assert len(CONSISTENT) == 8 * 16 and len(COMPARISON) == 3 + 3 + 3 + 2 + 7 * 7
    best = "EfficientNetV2-L, 384 px, 800k steps, 5 crops"
    found = [
        value(COMPARISON, best, *of) for of in (("human36m", "mpjpe"), ("3dpw", "mpjpe"), ("mpi_inf_3dhp", "pck@150"))
    ]
    assert found == [35.5, 57.0, 97.6]


def test_the_papers_own_numbers_show_what_the_experiments_expect():
    """Every expected finding about accuracy or correct poses holds in the published table (of one training each)."""
    consistency = EXPERIMENTS["consistency"]
    values: dict = {}
    for label, model in consistency.same_as.items():
        for k in CONSISTENT:
            if k.model == model:
                of_group = values.setdefault(label, {}).setdefault(PAPER.benchmarks[k.benchmark], {})
                of_group[k.metric] = {1: k.value}
    collected = report.Collected(values, {}, [], 0)
    tested = 0
    for finding in consistency.findings(PAPER):
        statement = report.statement(finding, collected)
        if not statement.startswith("not run"):
            tested += 1
            assert ", in the expected direction" in statement or ", within 0.9 mm" in statement, statement
    assert tested == 15


def stored(folder, values: dict[str, dict]):
    """Results of the paper scale with these numbers by step."""
    steps = {s.name: s for e in EXPERIMENTS.values() for s in e.steps(PAPER, (1,))}
    folder.mkdir()
    for name, numbers in values.items():
        result = {
            **{"arguments": steps[name].arguments, "numbers": numbers, "machine": "m", "date": "2026-01-01"},
            **{"git_revision": "abc", "cpu_seconds": 1.0, "attempts": 1},
        }
        (folder / f"{name}.json").write_text(json.dumps(result))
    return Places(folder, folder, folder)


def test_cells_are_compared_with_a_tolerance(tmp_path, capsys):
    numbers = {"mpjpe": 83.3, "pa_mpjpe": 57.7, "pck@100": 70.9, "cps@200": 69.9}  # paper: 81.8 57.8 72.5 72.9
    protocol = {"mpjpe": 59.0, "pa_mpjpe": 41.4, "pck@50": 51.9}  # paper: 61.5 43.0 51.8
    results = {"regularize-s1": {"mupots": numbers}, "score-3dpw-of-regularize-s1": {"3dpw": protocol}}
    places = stored(tmp_path / "results", results)
    cells = comparison.check(EXPERIMENTS.values(), PAPER, places, TOLERANCES)
    run = {(c["experiment"], c["benchmark"], c["metric"]): c for c in cells if c["verdict"] != "not run"}
    assert [c["verdict"] for c in run.values()] == ["within", "within", "worse", "worse", "better", "better", "within"]
    assert run["consistency", "MuPoTS-3D", "PCK@100"]["difference"] == pytest.approx(-1.6)
    assert run["prior-work", "3DPW", "MPJPE"]["paper"] == 61.5
    assert {c["verdict"] for c in cells if c["row"] == "hybrid"} == {"not run"}

    command = ["check", "--scale", "paper", str(places.results)]
    assert main(command) == 1
    out = capsys.readouterr().out
    assert out.endswith(f"{len(cells) - 7} not run, 3 within, 2 worse, 2 better of {len(cells)} numbers.\n")
    assert main([*command, "--tolerance-percent", "3.1", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == len(cells)
    text = report.render(EXPERIMENTS["prior-work"], PAPER, places)
    assert "PCK@50, paper" in text and "51.8" in text and "PCK@150, paper" not in text


@pytest.mark.parametrize(
    "flags, message",
    [(["--scale", "small"], "only results of --scale paper can"), (["{tmp}"], "has no result of an experiment with")],
)
def test_what_cannot_be_compared_is_said(flags, message, capsys, tmp_path):
    assert main(["check", *(f.format(tmp=tmp_path) for f in flags)]) == 2
    assert message in capsys.readouterr().err


def test_small_tables_have_the_published_numbers_beside_ours():
    from experiments import results

    scale = get_scale("small-random-start")
    text = report.render(
        EXPERIMENTS["consistency"], scale, Places(results.ROOT, results.ROOT / scale.name, results.ROOT)
    )
    row = next(line for line in text.splitlines() if line.startswith("merged joints"))
    assert row.split()[-5:] == ["44.6", "34.2", "93.9", "89.8", "3"]
