"""The steps of all experiments at all scales, without running any: shared, in order, affordable, with known flags."""

from __future__ import annotations

import pytest

from data_processing.synthetic.datasets import TRAIN_2D, TRAIN_3D
from experiments import scales
from experiments.__main__ import main
from experiments.registry import EXPERIMENTS
from experiments.scales import get_scale
from experiments.steps import in_order
from metrabs_acae import command_line

ALL_SCALES = [get_scale(name) for name in scales.SCALES]


def every_step(scale, seeds=None):
    return in_order(s for e in EXPERIMENTS.values() for s in e.steps(scale, seeds or scale.seeds))


@pytest.mark.parametrize("scale", ALL_SCALES, ids=lambda s: s.name)
def test_steps_come_after_what_they_need_and_their_flags_exist(scale):
    done, parsed = set(), set()
    for step in every_step(scale):
        assert done.issuperset(needed.name for needed in step.needs), step.name
        done.add(step.name)
        flags = tuple(a for a in step.arguments if a.startswith("--"))
        if flags and flags not in parsed:  # parsing costs, and steps of the same flags differ in numbers only
            parsed.add(flags)
            config = command_line.parse_arguments(list(step.arguments), "metrabs_acae")
            assert config.verbs.chosen in ("train", "pseudo_labels", "train_acae", "predict", "evaluate")
            if step.kind == "train":
                assert not config.files.export_model and config.training.seed == step.seed
    assert len(done) > 30


def test_the_small_scale_is_as_cheap_as_promised():
    small = get_scale("small")
    assert len(small.seeds) == 3
    consistency = in_order(EXPERIMENTS["consistency"].steps(small, small.seeds))
    assert sum(s.cost_s for s in consistency) / small.jobs <= 2.5 * 3600
    assert sum(s.cost_s for s in every_step(small)) / small.jobs <= 10 * 3600
    batch = sum(count for _, count in (*TRAIN_3D, *TRAIN_2D))
    assert all(small.batch(m) == batch for m in small.mixtures)
    assert small.mixtures["full"] == TRAIN_3D and small.mixture_2d == TRAIN_2D


def test_the_paper_scale_has_the_papers_settings():
    paper = get_scale("paper")
    assert (paper.training_steps, paper.finetuning_steps, paper.n_latents) == (400_000, 40_000, 48)
    sizes = {m: (len(stores), sum(n for _, n in stores)) for m, stores in paper.mixtures.items()}
    assert sizes["full"] == (28, 96) and sizes["medium"] == (14, 96) and sizes["small"] == (3, 96)
    assert paper.batch("full") == 128


def test_experiments_share_their_trainings():
    small = get_scale("small")
    names = [s.name for s in every_step(small, (1,))]
    assert len(names) == len(set(names))
    assert names.count("train-full-s1") == 1 and names.count("hybrid-s1") == 1
    trainings = [n for n in names if n.startswith("train-")]
    assert len(trainings) == 16  # full, merged, small, medium, four single ones, eight shorter ones


def test_every_file_says_what_it_varies_what_the_paper_found_and_what_it_costs():
    import experiments.registry as registry

    for module in registry.MODULES:
        for word in ("Varies:", "Paper:", "Here:", "Cost"):
            assert word in module.__doc__, (module.__name__, word)
        findings = module.EXPERIMENT.findings(get_scale("small"))
        rows = module.EXPERIMENT.rows(get_scale("small"), 1)
        for finding in findings:
            assert {finding.first, finding.second} <= set(rows), finding


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["run", "nothing"], "no experiment 'nothing'; choose from many-datasets"),
        (["table", "consistency", "--scale", "huge"], "no scale 'huge'"),
        (["plot", "chirality", "--results-dir", "{tmp}"], "has been run at scale 'small'"),
        (["run", "consistency", "--seeds", "one"], "Error parsing --seeds"),
        (["run", "consistency", "--jobs", "0"], "--jobs must be at least 1; got 0"),
        (["frob"], "no command 'frob'; known ones: run, table"),
        (["run"], "Name experiments, or all"),
        ([], "There is no command"),
    ],
)
def test_bad_names_end_in_one_sentence(arguments, message, capsys, tmp_path):
    assert main([a.format(tmp=tmp_path) for a in arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("Error: ") and err.count("\n") == 1


def test_a_dry_run_lists_the_steps_and_runs_none(capsys, tmp_path):
    flags = ["--results-dir", str(tmp_path / "r"), "--work-dir", str(tmp_path / "w")]
    assert main(["run", "consistency", "--dry-run", *flags]) == 0
    out = capsys.readouterr().out
    assert "hybrid-s3" in out and "55 steps, 2 at a time, about" in out and not list(tmp_path.iterdir())
    assert main(["status", *flags]) == 0
    assert "consistency" in capsys.readouterr().out
