"""What is released: wheel and source archive are complete, one version everywhere, types for checkers."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

import metrabs_acae

setuptools = pytest.importorskip("setuptools")

ROOT = Path(__file__).parents[1]
PACKAGES = ("metrabs_acae/", "data_processing/", "experiments/")
NOT_INSTALLED = ("experiments/results/", "experiments/slurm/")
"""Of the packages' files: results of the project's own runs, and scripts to be read."""


def git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("needs the git repository")
    return done.stdout.split("\0" if "-z" in arguments else "\n")[:-1]


@pytest.fixture(scope="module")
def distribution():
    from setuptools.dist import distutils

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        found = distutils.core.run_setup("setup.py", stop_after="init")
        found.script_name = "setup.py"
        yield found


@pytest.fixture(scope="module")
def in_wheel(distribution) -> set[str]:
    build = distribution.get_command_obj("build_py")
    build.ensure_finalized()
    data = {f"{folder}/{name}" for _, folder, _, names in build.data_files for name in names}
    return {Path(p).as_posix() for p in data | {path for _, _, path in build.find_all_modules()}}


def test_every_file_of_the_packages_is_in_the_wheel(in_wheel):
    tracked = {p for p in git("ls-files", "-z", *PACKAGES) if not p.startswith(NOT_INSTALLED)}
    assert tracked - in_wheel == set()
    data = ("metrabs_acae/py.typed", "metrabs_acae/inference/viewer.html", "experiments/readings/small/introduction.md")
    assert in_wheel.issuperset(data)
    assert not any(p.startswith("tests/") for p in in_wheel)


def test_every_tracked_file_is_in_the_source_archive(distribution, in_wheel):
    from setuptools.command.egg_info import FileList

    archive = distribution.get_command_obj("sdist")
    archive.ensure_finalized()
    archive.filelist = FileList()
    archive.add_defaults()
    archive.read_template()
    archived = {Path(p).as_posix() for p in archive.filelist.files}
    assert in_wheel <= archived
    assert set(git("ls-files", "-z")) - archived <= {".gitignore", "MANIFEST.in"}


def test_one_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", metrabs_acae.__version__)
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.M)[1]
    assert newest in (metrabs_acae.__version__, "Unreleased")


def test_a_release_is_tagged_by_its_version():
    tags = [tag for tag in git("tag", "--points-at", "HEAD") if tag.startswith("v")]
    assert tags in ([], [f"v{metrabs_acae.__version__}"])
    if tags:
        assert "## Unreleased" not in (ROOT / "CHANGELOG.md").read_text()
