"""What the table says of poses that are moved, and of other people; an environment that cannot load the model."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from benchmarks import runtime_versions
from benchmarks.runtime_versions import RUNTIMES, Settings, differences


def poses(shift=(0.0, 0, 0), people=(1, 0)):
    given = np.zeros((2, 4, 3))
    given[1, 2] += shift
    return {"given": given, "detected": given[:1] + shift, "people": np.array(people)}


def test_differences_are_the_largest_distance_of_a_joint():
    row = differences(poses((3, 0, 4)), poses())
    assert row == {"given boxes, largest mm": 5.0, "people detected": 1, "detected, largest mm": 5.0}


def test_other_people_are_noted():
    assert differences(poses(people=(0, 1)), poses())["note"] == "[1, 0] people detected by the reference"


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize(
    "runtime, version, packages",
    [
        ("tensorflow", "tensorflow-cpu 2.19", ("tensorflow-cpu==2.19.*",)),
        ("onnx", "onnxruntime 1.15", ("onnxruntime==1.15.*", "numpy<2")),
    ],
)
def test_the_command_writes_a_table_and_removes_the_environments(
    tmp_path, monkeypatch, capsys, fails, runtime, version, packages
):
    def run_client(python, program, model, pictures, suppress):
        expected = RUNTIMES["tensorflow" if python.name == "reference" else runtime].program
        assert program == expected and suppress == (runtime == "tensorflow")
        if fails and python.name != "reference":
            raise subprocess.CalledProcessError(3, "client")
        return poses(), {"version": "TensorFlow 2.21.0", "NumPy": "2.4.6"}

    def environment(folder, *wanted):
        assert wanted == packages
        folder.mkdir()
        return folder / "python"

    monkeypatch.setattr(runtime_versions.sys, "executable", "reference")
    monkeypatch.setattr(runtime_versions, "run_client", run_client)
    monkeypatch.setattr(runtime_versions, "environment", environment)
    monkeypatch.setattr(runtime_versions, "rendered_pictures", lambda count: {"boxes": np.zeros((count, 4))})
    monkeypatch.setattr(runtime_versions, "RESULTS", tmp_path)
    flags = Settings(model=tmp_path, folder=tmp_path / "environments", runtime=runtime, versions=(version,), write=True)
    assert runtime_versions.run(flags) == int(fails)
    assert not list(flags.folder.iterdir())
    text = (tmp_path / f"{runtime}_versions.md").read_text()
    assert ("fails with exit code 3" if fails else "0.0000") in text and f"--runtime {runtime}" in text
    assert text.splitlines()[-1] in capsys.readouterr().out
