"""The parts of the commands that try kills and mutants (docs/faults.md), at their smallest."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib

import numpy as np
import pytest

from metrabs_acae import command_line
from metrabs_acae.training import checkpoints
from tests.faults import kills, mutants

COUNTING = "import time\nfor i in range(1, 9): print(f'step {i}/8  loss', flush=True); time.sleep(0.2)"


@pytest.mark.parametrize("number, line, code", [(signal.SIGKILL, 3, -9), (signal.SIGINT, 2, 130), (0, -1, 0)])
def test_a_process_is_interrupted_between_two_lines(number, line, code):
    work = f"from metrabs_acae.exit_codes import exit_code\ndef work():\n exec({COUNTING!r})\n"
    command = [sys.executable, "-c", f"import sys\n{work}sys.exit(exit_code(work))"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    found, lines, errors = kills.run_until(process, line, 0.3, number)
    process.stdout.close(), process.stderr.close()
    assert found == code and kills.going_on(lines) == str(len(lines)) and "Traceback" not in errors
    assert len(lines) == (8 if line < 0 else line)


def test_where_a_training_stood():
    assert kills.going_on([]) == kills.going_on(["Run folder: a"]) == "start"
    assert kills.going_on(["Going on from step 12.", "First step done"]) == "12"


def test_trainings_are_compared_to_the_bit(tmp_path):
    arrays = {"a": np.array([1.0, np.nan, 0.0]), "b": np.arange(3)}
    assert kills.differing(arrays, {k: v.copy() for k, v in arrays.items()}) == []
    assert kills.differing(arrays, {"a": arrays["a"] * [1, 1, -1], "c": arrays["b"]}) == ["a", "b", "c"]
    (tmp_path / f"checkpoints/ckpt-{kills.STEPS:08d}").mkdir(parents=True)
    np.savez(checkpoints.list_checkpoints(tmp_path / "checkpoints")[0][1] / "variables.npz", **arrays)
    assert kills.differing(kills.final_state(tmp_path), arrays) == []


def test_its_trainings_have_flags_that_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kills.prepare(tmp_path)
    config = command_line.parse_arguments(kills.training("run", "--grad-accum-steps", "4"), "metrabs")
    assert config.training.training_steps == kills.STEPS and config.data.dataset3d == ("a",)


def test_annotations_are_no_places_for_mutants():
    source = "def f(a: int | None, *b: list[int]) -> str | int:\n    c: int = a | 1\n    return c\n"
    (a, b, c, d) = sorted(mutants.annotated_places(source))
    assert [place[0] for place in (a, b, c, d)] == [(1, 9), (1, 25), (1, 39), (2, 7)]
    assert not any(begin <= (2, 15) < end for begin, end in (a, b, c, d))  # the sum in the body


def test_every_module_that_is_changed_has_tests():
    modules = []
    for path in tomllib.loads(mutants.CONFIG.read_text())["cosmic-ray"]["module-path"]:
        path = mutants.ROOT / path
        modules += [p for p in (path.glob("*.py") if path.is_dir() else [path]) if p.name != "__init__.py"]
    assert len(modules) >= 17
    for module in modules:
        tests = mutants.tests_of(module.relative_to(mutants.ROOT))
        assert tests and all((mutants.ROOT / t).exists() for t in tests)
