"""All kinds of steps on toy stores: results, tables, figures, kills, changed settings."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import metrabs_acae.models
from experiments import library, page, plots, programs, questions, recipes, report, results, runner
from experiments.experiment import CONSISTENCY, Experiment, Figure, Finding
from experiments.registry import EXPERIMENTS
from experiments.scales import Costs, Scale, get_scale
from experiments.steps import Places, Step, in_order
from metrabs_acae.data.store import CameraParams, PoseStoreWriter
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import Skeleton, union
from tests.commands.test_three_steps import small_backbone
from tests.small_stores import POSE_MM, write_store

ROOT = Path(__file__).parents[2]

TOY = Scale(
    name="toy",
    seeds=(1,),
    training_steps=4,
    finetuning_steps=2,
    mixtures={"full": (("a", 6), ("b", 4))},
    mixture_2d=(("c", 2),),
    tests={"full": ("a", "b", "both")},
    benchmarks={"generic": "b"},
    costs=Costs(20, 60, 1, 1, 1, 0, "any machine"),
    all_joints_store="both",
    pseudo_labels_on=("a", "b:test"),
    n_latents=4,
    latent_counts=(4,),
    training_flags=("--preset", "tiny"),
    acae_flags=("--acae-steps", "30", "--n-restarts", "1"),
    in_process=True,
)


def rows(scale, seed):
    separate, hybrid = recipes.train(scale, seed), recipes.finetune(scale, seed, "hybrid")
    return {
        "separate heads": (separate, recipes.score(scale, separate, "generic")),
        "hybrid": (hybrid, recipes.inconsistency(scale, hybrid)),
        "4 latents": (recipes.fit(scale, seed),),
    }


FINDING = Finding("hybrid is more consistent", "hybrid", "separate heads", CONSISTENCY, "disagreement_mm")
EXPERIMENT = Experiment(
    name="toy",
    title="Toy",
    varies="nothing",
    paper="nothing",
    reach="nothing",
    rows=rows,
    findings=lambda scale: (FINDING,),
    figure=Figure("bars", ("mpjpe",)),
)
STEPS = [
    "train-full-s1", "predict-generic-of-train-full-s1", "score-generic-of-train-full-s1", "poses-s1",
    "acae-4-affine-image-s1", "hybrid-s1", "inconsistency-of-hybrid-s1",
]  # fmt: skip


def write_both(path):
    """A store with the joints of both toy skeletons."""
    skeleton = union([Skeleton(c, tuple(f"{n}_{c}" for n in POSE_MM)) for c in "ab"], "both")
    rng = np.random.default_rng(5)
    K = np.array([[300.0, 0, 47.5], [0, 300, 47.5], [0, 0, 1]])
    with PoseStoreWriter(path, name="both", kind="3d", skeleton=skeleton, licence="CC0") as writer:
        for i in range(3):
            pose = np.array([*POSE_MM.values()] * 2, float) + rng.normal(0, 30, (16, 3)) + (0, 0, 4000)
            image = rng.integers(0, 255, (96, 96, 3), dtype=np.uint8)
            camera = CameraParams(np.eye(3), np.zeros(3), K, None, (0, -1, 0))
            writer.add(
                "test", image_key=f"{i}.jpg", image=image, box_ltwh_px=[5, 5, 80, 80], camera=camera, coords=pose
            )


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    folder = tmp_path_factory.mktemp("experiments")
    for i, name in enumerate("ab"):
        write_store(folder / "stores" / name, name, seed=i)
    write_store(folder / "stores" / "c", kind="2d", seed=2)
    write_both(folder / "stores" / "both")
    return Places(folder / "work", folder / "results", folder / "stores")


@pytest.fixture(scope="module")
def ran(places):
    """What a run reports that is killed once, before a result is written, and then started again: (first, second)."""
    write, killed = results.write, []

    def die_once(folder, step, *rest):
        if step.kind == "fit" and not killed:
            killed.append(step.name)
            raise KeyboardInterrupt
        write(folder, step, *rest)

    lines: tuple[list[str], list[str]] = ([], [])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(metrabs_acae.models, "build_backbone", small_backbone)
        patch.setattr(results, "write", die_once)
        steps = EXPERIMENT.steps(TOY, (1,))
        with pytest.raises(KeyboardInterrupt):
            runner.run(steps, TOY, places, report=lines[0].append)
        runner.run(steps, TOY, places, report=lines[1].append)
        assert runner.run(steps, TOY, places, report=lines[1].append) == []
    return lines


def test_a_killed_run_goes_on_with_what_is_missing(places, ran):
    def steps_of(lines):
        return [line.split()[1].rstrip(":") for line in lines]

    first, second = ran
    assert steps_of(first) == STEPS[:5] and steps_of(second) == STEPS[4:]
    assert {p.stem for p in places.results.iterdir()} == set(STEPS)
    stored = {name: json.loads((places.results / f"{name}.json").read_text()) for name in STEPS}
    assert {name: result["attempts"] for name, result in stored.items()} == {**dict.fromkeys(STEPS, 1), STEPS[4]: 2}
    stored = stored["hybrid-s1"]
    assert stored["seed"] == 1
    assert stored["machine"] and stored["date"] and stored["git_revision"] and stored["versions"]["keras"]
    assert set(stored["numbers"]) == {"a", "b", CONSISTENCY}
    assert not any(str(places.work) in a for a in stored["arguments"])


def test_results_without_their_runs_are_made_again_where_they_are_needed(places, ran, tmp_path):
    """As in a clone, which has the project's results, but no run folders."""
    clone = Places(tmp_path / "work", tmp_path / "results", places.stores)
    shutil.copytree(places.results, clone.results)
    ordered = in_order(EXPERIMENT.steps(TOY, (1,)))
    assert runner.missing(ordered, clone) == []
    (clone.results / "hybrid-s1.json").unlink()
    assert [s.name for s in runner.missing(ordered, clone)] == [STEPS[0], *STEPS[3:6]]
    clone = dataclasses.replace(clone, work=places.work)
    assert [s.name for s in runner.missing(ordered, clone)] == ["hybrid-s1"]


def test_the_tables_have_what_was_stored(places, ran):
    text = report.render(EXPERIMENT, TOY, places)
    stored = json.loads((places.results / "train-full-s1.json").read_text())["numbers"]["b"]["mpjpe"]
    assert f"{stored:.1f}" in text and "one seed, so no confidence" in text and "4 latents" in text
    assert "7 results" not in text and "5 results" in text  # those of the rows; predictions and poses have no numbers
    for fmt in ("markdown", "latex"):
        assert "hybrid" in report.render(EXPERIMENT, TOY, places, fmt)
    values = json.loads(report.render(EXPERIMENT, TOY, places, "json"))
    row = next(r for r in values if r["group"] == "b" and r["row"] == "separate heads")
    assert row["MPJPE"] == pytest.approx(stored)
    generic = json.loads((places.results / "score-generic-of-train-full-s1.json").read_text())
    assert generic["numbers"]["generic"]["poses"] == 4


def test_skeletons_have_a_table_where_they_were_measured(places, ran):
    shown = dataclasses.replace(EXPERIMENT, by_skeleton=True)
    stored = json.loads((places.results / "inconsistency-of-hybrid-s1.json").read_text())
    row = {r["skeleton"]: r for r in stored["details"]["skeletons"]}
    assert row == {}  # the toys' joints are of no convention of the package
    assert "by skeleton" not in report.render(shown, TOY, places)


def test_seeds_beyond_the_scales_count_where_they_are_there(places, ran, tmp_path):
    more = dataclasses.replace(places, results=tmp_path)
    for name in ("train-full-s1", "hybrid-s1"):
        shutil.copy(places.results / f"{name}.json", tmp_path)
    for seed, disagreement in ((5, 90.0), (7, 80.0)):
        step = recipes.finetune(TOY, seed, "hybrid")
        skeletons = [{"skeleton": "h36m", "joints": 25, "off_mm": disagreement / 2, "agreed_cps@100": 40.0}]
        numbers = {CONSISTENCY: {"disagreement_mm": disagreement}}
        results.write(tmp_path, step, numbers, {"skeletons": skeletons}, {"attempts": 1, "cpu_seconds": 1})
    assert results.more_seeds(tmp_path, (1,)) == [5, 7]
    collected = report.collect(EXPERIMENT, TOY, more)
    found = collected.get("hybrid", CONSISTENCY, "disagreement_mm")
    assert set(found) == {1, 5, 7} and found[5] == 90
    assert (len(collected.provenance), collected.n_steps) == (4, 7)  # of seed 1 five, and two more
    table = report.skeleton_table(dataclasses.replace(EXPERIMENT, by_skeleton=True), collected, "markdown")
    assert "| h36m | 42 / 40 |" in table
    assert set(report.collect(EXPERIMENT, TOY, more, seeds=(1,)).get("hybrid", CONSISTENCY, "disagreement_mm")) == {1}


def test_a_run_is_asked_for_the_joints_that_it_has(places, ran, monkeypatch):
    monkeypatch.setattr(metrabs_acae.models, "build_backbone", small_backbone)
    run, both = places.work / "train-full-s1", places.stores / "both"
    store, whole = library.predicted(run, both)
    there = [9, 2]
    _, some = library.predicted(run, both, [store.skeleton.joint_names[i] for i in there])
    np.testing.assert_array_equal(some.pred_mm[:, there], whole.pred_mm[:, there])
    assert np.isnan(np.delete(some.pred_mm, there, axis=1)).all() and some.true_mm.shape == whole.true_mm.shape


def test_questions_are_answered_with_a_sentence_of_people(places, ran, tmp_path):
    asked = dataclasses.replace(EXPERIMENT, findings=lambda s: (dataclasses.replace(FINDING, question="agreement"),))
    reasons = tmp_path / "questions.md"
    assert questions.answers([EXPERIMENT], TOY, places, reasons) == ""  # its finding answers no question
    answered = questions.answers([asked], TOY, places, reasons)
    assert answered.startswith(f"**{questions.QUESTIONS['agreement']}**\n\n- hybrid is more consistent (disagreement, ")
    assert "one seed, so no confidence" in answered
    reasons.write_text("agreement: Nobody knows.\n")
    assert "fine-tuning with the autoencoder?** Nobody knows.\n" in questions.answers([asked], TOY, places, reasons)


@pytest.mark.parametrize("scale", ["small", "small-random-start"])
def test_every_question_that_the_projects_results_answer_has_its_sentence(scale):
    stored = Places(Path(), results.ROOT / scale, Path())
    reasons = page.READINGS / scale / "questions.md"
    answered = questions.answers(EXPERIMENTS.values(), get_scale(scale), stored, reasons)
    headings = [line for line in answered.splitlines() if line.startswith("**")]
    assert len(headings) == len(questions.read_reasons(reasons)) > 3
    assert not [h for h in headings if h.endswith("**")]


@pytest.mark.parametrize("kind, groups", [("bars", ()), ("split bars", (CONSISTENCY,)), ("lines", ("autoencoder",))])
def test_figures_are_drawn(places, ran, tmp_path, kind, groups):
    import cv2

    metric = {"bars": "mpjpe", "split bars": "disagreement_depth_mm", "lines": "error_2d_mm"}[kind]
    drawn = dataclasses.replace(EXPERIMENT, figure=Figure(kind, (metric,), groups))
    plots.draw(drawn, TOY, places, tmp_path / "x.png")
    assert cv2.imread(str(tmp_path / "x.png")).std() > 10


def test_a_person_and_latents_are_drawn(places, ran, tmp_path):
    def of(step, kind):
        return dataclasses.replace(EXPERIMENT, rows=lambda *_: {"x": (step,)}, figure=Figure(kind, ("mpjpe",)))

    person = of(recipes.inconsistency(TOY, recipes.finetune(TOY, 1, "hybrid")), "people")
    plots.draw(person, TOY, places, tmp_path / "person.png")
    plots.draw(of(recipes.fit(TOY, 1), "latents"), TOY, places, tmp_path / "latents.png")
    assert len(list(tmp_path.glob("*.png"))) == 2


def test_other_settings_of_a_scale_are_noticed(places, ran):
    longer = dataclasses.replace(TOY, acae_flags=("--acae-steps", "31"))
    step = recipes.fit(longer, 1)
    assert runner.state(step, places) == "other settings"
    with pytest.raises(UserError, match="Results of other settings stand in the way: acae-4"):
        runner.run([step], longer, places)
    assert report.collect(dataclasses.replace(EXPERIMENT, rows=lambda *_: {"x": (step,)}), longer, places).empty


def test_broken_results_and_failing_steps_are_named(tmp_path):
    places = Places(tmp_path / "work", tmp_path / "results", tmp_path / "stores")
    step = Step("bad", "fit", 1, ("--train-acae", "--poses-file", "{work}/missing.npz"), "{work}/bad.npz")
    with pytest.raises(UserError, match="Step bad ended with exit code 2"):
        runner.run([step], TOY, places)
    assert runner.state(step, places) == "begun"
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "bad.json").write_text("{")
    with pytest.raises(UserError, match="bad.json cannot be read"):
        runner.state(step, places)


def start_python(code_of, begun):
    """In place of `programs.start`: runs the code for the step instead, and notes the step and its cores."""
    start = programs.start

    def starts(command, lock, *, cores=(), log=None):
        name = command[command.index("--name") + 1]
        begun.append((name, tuple(cores)))
        return start([sys.executable, "-c", code_of(name)], lock, cores=cores, log=log)

    return starts


def toy_steps():
    """Two independent ones, one that needs both, one that needs the first."""
    a, b = (Step(n, "predict", 1, ("--name", n), cost_s=10) for n in "ab")
    c, d = (Step(n, "predict", 1, ("--name", n), needs=needs, cost_s=10) for n, needs in (("c", (a, b)), ("d", (a,))))
    return [c, d]


def several_at_a_time(tmp_path, monkeypatch, code_of, begun, report=lambda line: None):
    monkeypatch.setattr(programs, "start", start_python(code_of, begun))
    places = Places(tmp_path / "work", tmp_path / "results", tmp_path / "stores")
    runner.run(toy_steps(), dataclasses.replace(TOY, in_process=False), places, jobs=2, report=report)


def test_steps_run_several_at_a_time_after_those_they_need(tmp_path, monkeypatch):
    wait = """
import pathlib, time
sum(range(10_000_000))  # takes some processor time
folder, until = pathlib.Path({folder!r}), time.monotonic() + 30
(folder / "{name}").touch()
while time.monotonic() < until and not (folder / "{other}").exists(): time.sleep(0.01)
print("{name} met {other}:", (folder / "{other}").exists())
"""

    def code_of(name):  # a waits until b is at work and b until d is, which waits for a alone
        return wait.format(folder=str(tmp_path), name=name, other={"a": "b", "b": "d"}.get(name, name))

    begun, lines = [], []
    several_at_a_time(tmp_path, monkeypatch, code_of, begun, lines.append)
    assert [name for name, _ in begun] == ["a", "b", "d", "c"]
    assert lines[0] == "[1/4] a: about 10 s; all that is left: 20 s"
    assert (tmp_path / "work" / "logs" / "a.log").read_text() == "a met b: True\n"
    assert (tmp_path / "work" / "logs" / "b.log").read_text() == "b met d: True\n"
    if len(programs.usable_cores()) > 1:
        assert not set(begun[0][1]) & set(begun[1][1])
    for name in "abcd":
        result = json.loads((tmp_path / "results" / f"{name}.json").read_text())
        assert result["cores"] >= 1 and 0 < result["cpu_seconds"] < 30


def test_a_failing_step_ends_the_others_and_names_its_log(tmp_path, monkeypatch):
    def code_of(name):
        return "raise SystemExit(3)" if name == "b" else "import time; time.sleep(300)"

    began = time.monotonic()
    with pytest.raises(UserError, match=r"Step b ended with exit code 3; mend what .*b.log says at its end"):
        several_at_a_time(tmp_path, monkeypatch, code_of, [])
    assert time.monotonic() - began < 60
    assert not list((tmp_path / "results").glob("*"))


def test_two_runs_do_not_work_in_one_folder(tmp_path):
    with programs.only_one(tmp_path / "work"):
        with pytest.raises(UserError, match="Another process is running experiments"):
            with programs.only_one(tmp_path / "work", wait_s=0):
                pass


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a program outlives its killed parent")
def test_a_program_ends_with_its_killed_parent_and_gives_the_lock_back(tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\nfrom experiments import programs\n"
        f"with programs.only_one(Path({str(tmp_path)!r})) as lock:\n"
        "    print('locked', flush=True)\n"
        "    programs.start([sys.executable, '-c', 'import time; time.sleep(300)'], lock).wait()\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert parent.stdout.readline() == "locked\n"
    children = f"/proc/{parent.pid}/task/{parent.pid}/children"
    deadline = time.monotonic() + 60
    while not Path(children).read_text().strip() and time.monotonic() < deadline:
        time.sleep(0.05)
    parent.kill()
    parent.wait()
    with programs.only_one(tmp_path, wait_s=60):
        pass


def test_numbers_are_taken_from_evaluations():
    evaluation = {
        "bench": {"mpjpe": 100.0, "pck@100": 50.0, "apck@150": 1.0, "n_poses": 3, "ratio": 0.5},
        "all": {"n_poses": 3, "n_points": 9, "disagreement_mm": 7.0, "bone_length_spread_mm": 2.0},
    }
    assert library.training_numbers(evaluation) == {
        "bench": {"mpjpe": 100.0, "pck@100": 50.0, "n_poses": 3, "ratio": 0.5},
        CONSISTENCY: {"disagreement_mm": 7.0, "bone_length_spread_mm": 2.0},
    }
