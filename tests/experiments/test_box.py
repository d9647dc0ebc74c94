import pytest

from experiments import box, error_map
from metrabs_acae.command_line import parse_arguments
from metrabs_acae.flags import parse


def test_each_step_is_a_command_of_this_project(tmp_path):
    steps = {what: command for what, _, command in box.commands(box.Box(work_dir=tmp_path))}
    assert list(steps) == [
        "test data",
        "data",
        "separate heads",
        "pseudo-labels",
        "autoencoder",
        "output regularization",
        "packing",
        "errors to expect",
    ]
    programs = [command for command in steps.values() if command[0] == "metrabs_acae.main"]
    for command in programs:
        parse_arguments(command[1:], "main")
    program, *flags = steps["errors to expect"]
    assert program == "experiments.error_map" and parse(error_map.Settings, flags, program).people == error_map.PEOPLE


def test_a_batch_has_32_examples():
    assert sum(box.SHARES.values()) == 32


@pytest.mark.parametrize("done", range(9))
def test_goes_on_where_it_was_stopped(tmp_path, monkeypatch, done):
    """The first `done` steps have left their results: only the others run, and a failure ends it with its exit code."""
    settings = ["--work-dir", str(tmp_path), "--benchmarks", str(tmp_path / "tests"), "--out", str(tmp_path / "box")]
    steps = box.commands(box.Box(work_dir=tmp_path, benchmarks=tmp_path / "tests", out=tmp_path / "box"))
    for _, result, _ in steps[:done]:
        result.parent.mkdir(parents=True, exist_ok=True)
        result.mkdir()
    ran = []

    class Done:
        returncode = 0

    monkeypatch.setattr(box.subprocess, "run", lambda command: ran.append(command[2:]) or Done)
    assert box.main(settings) == 0
    assert ran == [command for _, _, command in steps[done:]]
    Done.returncode = 75
    assert box.main(settings) == (75 if done < len(steps) else 0)
