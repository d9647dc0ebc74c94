"""What the table says of poses that are moved, and of other people; an environment that cannot load the model."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest

from benchmarks import tensorflow_versions
from benchmarks.tensorflow_versions import Settings, differences


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
def test_the_command_writes_a_table_and_removes_the_environments(tmp_path, monkeypatch, capsys, fails):
    def run_client(python, model, pictures):
        if fails and python.name != "reference":
            raise subprocess.CalledProcessError(3, "client")
        return poses(), {"TensorFlow": "2.21.0", "NumPy": "2.4.6"}

    def environment(folder, package):
        assert package == "tensorflow-cpu==2.19.*"
        folder.mkdir()
        return folder / "python"

    monkeypatch.setattr(tensorflow_versions.sys, "executable", "reference")
    monkeypatch.setattr(tensorflow_versions, "run_client", run_client)
    monkeypatch.setattr(tensorflow_versions, "environment", environment)
    monkeypatch.setattr(tensorflow_versions, "rendered_pictures", lambda count: {"boxes": np.zeros((count, 4))})
    monkeypatch.setattr(tensorflow_versions, "RESULTS", tmp_path / "table.md")
    flags = Settings(model=tmp_path, folder=tmp_path / "environments", versions=("2.19",), write=True)
    assert tensorflow_versions.run(flags) == int(fails)
    assert not list(flags.folder.iterdir())
    text = (tmp_path / "table.md").read_text()
    assert ("fails with exit code 3" if fails else "0.0000") in text and text.splitlines()[
        -1
    ] in capsys.readouterr().out
