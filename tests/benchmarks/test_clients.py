"""What the table says of programs that find people, miss some, or fail; how video, pictures and model reach them."""

from __future__ import annotations

import re
import subprocess
import tarfile
import urllib.request

import cv2
import numpy as np
import pytest

from benchmarks import environments
from benchmarks.clients import command
from benchmarks.clients.command import CLIENTS, Settings
from metrabs_acae.errors import UserError


def write_video(path, pictures):
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"mp4v"), 10, pictures[0].shape[1::-1])
    for picture in pictures:
        writer.write(picture)
    writer.release()
    return path


@pytest.fixture
def flags(tmp_path):
    """Of a model that is none, and of a video of five black frames."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model/saved_model.pb").touch()
    video = write_video(tmp_path / "video.mp4", np.zeros((5, 64, 96, 3), np.uint8))
    return {"model": tmp_path / "model", "video": str(video), "folder": str(tmp_path / "environments")}


@pytest.mark.parametrize(
    ("people", "more", "problem"),
    [
        ([1, 1, 2], {"distance_mm": 20.2}, ""),
        ([1, 0, 1], {}, "frames without people"),
        ([], {}, "frames without people"),
        ([1], {"distance_mm": float("nan")}, "fitted joints are nan mm away"),
        (subprocess.CalledProcessError(139, "client"), {}, "exit code 139"),
    ],
)
def test_the_table_says_what_each_program_found(flags, tmp_path, monkeypatch, capsys, people, more, problem):
    def run_program(python, program, model, video, out, *, variables):
        assert program.exists() and model == flags["model"] and len(read(video)) == 3
        assert list((tmp_path / variables["SMPLFITTER_BODY_MODELS"] / "smpl").glob("*.pkl"))
        if isinstance(people, Exception):
            raise people
        return {"TensorFlow": "2.21.0", "NumPy": "2.4.6", "people": people, "seconds": 0.25, **more}

    monkeypatch.setattr(command, "environment", lambda folder, *packages: folder / packages[0])
    monkeypatch.setattr(command, "run_program", run_program)
    monkeypatch.setattr(command, "RESULTS", tmp_path / "table.md")
    settings = Settings(**flags, only=("smplfitter",), frames=3, write=True)
    assert command.run(settings) == int(bool(problem))
    text = (tmp_path / "table.md").read_text()
    row = text.splitlines()[-1]
    assert row in capsys.readouterr().out and "smplfitter 0.6.0" in row
    assert problem in row if problem else re.search(r"2\.21\.0 .* 3 \| +3 \| +4 \| +0\.25 \| fitted joints 20 mm", row)


def read(video):
    capture, frames = cv2.VideoCapture(str(video)), []
    while (frame := capture.read()[1]) is not None:
        frames.append(frame)
    return frames


def test_bad_paths_are_named(flags, tmp_path):
    with pytest.raises(UserError, match="not an exported model"):
        command.run(Settings(**flags | {"model": tmp_path}))
    (tmp_path / "text.mp4").write_text("no video")
    with pytest.raises(UserError, match="cannot be read as a video"):
        command.find_video(str(tmp_path / "text.mp4"), tmp_path, 3)


def test_pictures_must_show_people(tmp_path):
    pictures = np.full((4, 90, 160, 3), 200, np.uint8)
    pictures[:3, 30:60, 70:74] = 0
    write_video(tmp_path / "poseviz.mp4", pictures)
    assert command.judged_pictures({"people": [1, 1, 1]}, tmp_path) == "people change 0.8% of the picture"
    assert cv2.imread(str(tmp_path / command.PICTURE)).shape == (90, 160, 3)
    with pytest.raises(UserError, match="4 pictures were drawn"):
        command.judged_pictures({"people": [1, 1]}, tmp_path)
    write_video(tmp_path / "poseviz.mp4", pictures[[0, 0]])
    with pytest.raises(UserError, match="people change 0.00% of the picture"):
        command.judged_pictures({"people": [1]}, tmp_path)


def test_calls_that_fail_are_named():
    with pytest.raises(UserError, match="^world: AssertionError: far$"):
        command.judged_calls({"calls": 2, "failed": {"world": "AssertionError: far"}}, None)


def test_the_model_is_served_as_tensorflow_hub_loads_it(flags, tmp_path):
    with command.served(flags["model"], tmp_path) as address:
        urllib.request.urlretrieve(f"{address}?tf-hub-format=compressed", tmp_path / "got.tar.gz")
    assert address.endswith(".tar.gz") and tarfile.open(tmp_path / "got.tar.gz").getnames() == ["saved_model.pb"]
    assert not list(tmp_path.glob("*model*.tar.gz"))  # nothing is written beside the user's folder


def test_an_environment_that_was_left_half_made_is_gone_on_with(tmp_path, monkeypatch):
    ran = []

    def run(arguments, check):
        ran.append(arguments[-1])
        (tmp_path / "one").mkdir(exist_ok=True)
        if arguments[-1] == "b" and len(ran) == 2:
            raise subprocess.CalledProcessError(1, "pip")

    monkeypatch.setattr(environments.subprocess, "run", run)
    with pytest.raises(subprocess.CalledProcessError):
        environments.environment(tmp_path / "one", "a", "b")
    for _ in range(2):
        assert environments.environment(tmp_path / "one", "a", "b") == tmp_path / "one/bin/python"
    assert ran == [str(tmp_path / "one"), "b"] * 2  # the third time nothing


def test_a_program_sees_nothing_of_this_project_and_its_last_line_counts(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "mine")
    code = "import json, os, sys; print(1); print(json.dumps([os.getenv('PYTHONPATH'), os.getenv('A'), sys.argv[1]]))"
    told = environments.run_program(environments.sys.executable, "-c", code, "b", variables={"A": "a"})
    assert told == [None, "a", "b"]


@pytest.mark.slow
@pytest.mark.parametrize("name", CLIENTS)
def test_the_programs_find_people_in_real_frames(name, request, tmp_path_factory, tmp_path):
    """`python -m pytest tests/benchmarks --clients-video WHEEL`; minutes, and gigabytes of packages."""
    video = request.config.getoption("--clients-video", default=None)
    if not video:
        pytest.skip("needs --clients-video")
    model = tmp_path_factory.getbasetemp() / "box"
    if not model.exists():
        from metrabs_acae.main import main

        assert main(["--export", "--load-path", "pretrained", "--export-file", str(model)]) == 0
    folder = request.config.getoption("--clients-folder")
    assert (
        command.run(Settings(model=model, video=video, only=(name,), frames=4, folder=folder, out=str(tmp_path))) == 0
    )
