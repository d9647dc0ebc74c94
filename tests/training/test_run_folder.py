"""Run folders: which one a command means, and what it refuses."""

from __future__ import annotations

import pytest

from metrabs_acae.config import Config
from metrabs_acae.errors import UserError
from metrabs_acae.training.run_folder import RunFolder, choose, newest_finished

SETTINGS = {"model": {"depth": 8}, "training": {"seed": 1}}


def test_an_unfinished_run_of_the_same_settings_is_gone_on_with(tmp_path):
    first = choose(tmp_path, "default", SETTINGS)
    assert first.path.name == "default-1"
    first.create(SETTINGS)
    assert choose(tmp_path, "default", SETTINGS).path == first.path
    assert choose(tmp_path, "default", {**SETTINGS, "training": {"seed": 2}}).path.name == "default-2"
    first.write_json("finished.json", {})
    assert choose(tmp_path, "default", SETTINGS).path.name == "default-2"
    assert newest_finished(tmp_path).path == first.path


def test_other_settings_are_named(tmp_path):
    run = RunFolder(tmp_path / "r")
    run.create(SETTINGS)
    run.require_same_settings(SETTINGS)
    with pytest.raises(UserError, match=r"--depth \(was 8, now 9\)"):
        run.require_same_settings({**SETTINGS, "model": {"depth": 9}})
    run.require_same_settings({**SETTINGS, "model": {"depth": 9}}, free={"depth"})
    run.require_same_settings({"network": {"depth": 8}, "training": {"seed": 1}})  # only the names count
    assert "python" in run.read_json("versions.json")


def test_a_run_of_an_older_version_had_the_defaults_of_settings_that_are_new(tmp_path):
    run = RunFolder(tmp_path / "r")
    settings = Config().run_settings()
    run.create({**settings, "data": {k: v for k, v in settings["data"].items() if k != "batch_size"}})
    run.require_same_settings(settings, defaults=settings)
    with pytest.raises(UserError, match=r"--batch-size \(was 28, now 9\)"):
        run.require_same_settings({**settings, "data": {**settings["data"], "batch_size": 9}}, defaults=settings)


def test_a_folder_with_other_files_is_not_touched(tmp_path):
    (tmp_path / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="holds other files"):
        RunFolder(tmp_path).create(SETTINGS)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_damaged_or_missing_files_are_named(tmp_path):
    with pytest.raises(UserError, match="skeleton.json is missing"):
        RunFolder(tmp_path).read_json("skeleton.json")
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="not readable JSON"):
        RunFolder(tmp_path).read_json("config.json")
    with pytest.raises(UserError, match="no finished run"):
        newest_finished(tmp_path)
