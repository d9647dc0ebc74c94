"""A run folder: everything about one training in one place, and which folder a training command means.

config.json, versions.json, skeleton.json, log.txt, metrics.csv, curves.png, tensorboard/, overlays/, checkpoints/,
evaluation.json, evaluation.md, model/ (the SavedModel with its card), bone_lengths.json (of the training stores),
poses.npz (pseudo-labels) and, of a fine-tuning, acae.npz.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from types import MappingProxyType

from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json, replacing
from metrabs_acae.settings import flag_of

PRETRAINED = "pretrained"
"""Stands for the path of the run folder that is installed with the project: the model in the box."""
BOX = Path(__file__).parents[1] / "pretrained"
RESULTS_OF_BOX = Path("runs", PRETRAINED)
_PACKAGES = ("metrabs_acae", "keras", "tensorflow", "jax", "numpy", "opencv-python", "deltacamera", "h5py", "scipy")


class RunFolder:
    """Paths and small files of one run.

    Args:
        silent: writes nothing and prints nothing: for the hosts of a multi-host training but the first.
        outputs: where results go; None: into the run folder itself.
    """

    def __init__(self, path: str | Path, *, silent: bool = False, outputs: str | Path | None = None):
        self.path = Path(path)
        self.silent = silent
        self.outputs = self.path if outputs is None else Path(outputs)
        self.checkpoints = self.path / "checkpoints"
        self.metrics_csv = self.path / "metrics.csv"
        self.curves_png = self.path / "curves.png"
        self.tensorboard = self.path / "tensorboard"
        self.overlays = self.outputs / "overlays"
        self.model = self.outputs / "model"
        self.poses = self.outputs / "poses.npz"

    @property
    def is_box(self) -> bool:
        """Whether it is the model in the box, into which nothing is written."""
        return self.path == BOX

    @property
    def exists(self) -> bool:
        return (self.path / "config.json").is_file()

    @property
    def finished(self) -> bool:
        return (self.path / "finished.json").is_file()

    def create(self, settings: dict) -> None:
        """Makes the folder, with the settings and the versions of everything that decides the result."""
        if self.silent:
            return
        if self.path.exists() and any(self.path.iterdir()):
            raise UserError(
                f"The folder {self.path} holds other files and no run (no config.json); give --logdir a new folder."
            )
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json("versions.json", versions())
        self.write_json("config.json", settings)

    def require_same_settings(
        self, settings: dict, *, defaults: Mapping = MappingProxyType({}), free: Collection[str] = ()
    ) -> None:
        """UserError naming what differs, if this run was begun with other settings.

        Args:
            settings: as `create` takes them.
            defaults: the same of no flags; a setting that did not exist when the run was begun had its default.
            free: names of settings that may differ.
        """
        now, given = by_name(json.loads(json.dumps(settings))), by_name(json.loads(json.dumps(dict(defaults))))
        before = {k: v for k, v in given.items() if k in now} | by_name(self.read_json("config.json"))
        different = [k for k in {**before, **now} if before.get(k) != now.get(k) and k not in free]
        if different:
            listed = ", ".join(f"{flag_of(k)} (was {before.get(k)}, now {now.get(k)})" for k in different[:3])
            raise UserError(
                f"The run in {self.path} was begun with other settings: {listed}. "
                "Use the same flags to go on with it, or give --logdir a new folder."
            )

    def write_json(self, name: str, data) -> None:
        """Writes atomically: the file is old or new, never half."""
        if self.silent:
            return
        with replacing(self.outputs / name) as temporary:
            temporary.write_text(json.dumps(data, indent=1) + "\n")

    def read_json(self, name: str):
        try:
            return load_json(self.path / name)
        except FileNotFoundError:
            raise UserError(f"{self.path} is not a complete run folder: {name} is missing in it.") from None
        except ValueError as error:
            raise UserError(f"{self.path / name} is not readable JSON ({error}).") from None

    def log(self, line: str) -> None:
        """Adds a line to log.txt and prints it."""
        if self.silent:
            return
        with open(self.path / "log.txt", "a") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {line}\n")
        print(line, flush=True)


def folder_of(path: str | Path) -> RunFolder:
    """The run folder at a path, or the model in the box where that is "pretrained"; there or not."""
    return RunFolder(BOX, outputs=RESULTS_OF_BOX) if path == PRETRAINED else RunFolder(path)


def open_run(path: str | Path, *, or_exported: bool = False) -> RunFolder | None:
    """`folder_of`, or UserError if there is no run.

    With `or_exported` the path may be that of an exported model: None.
    """
    run = folder_of(path)
    if run.is_box and not run.exists:
        raise UserError(f"No trained model is installed with this project ({BOX} has none): name a run folder.")
    if or_exported and not run.is_box and (run.path / "saved_model.pb").exists():
        return None
    if not run.exists:
        expected = "neither a run folder (no config.json) nor an exported model (no saved_model.pb)"
        raise UserError(f"{path} is {expected if or_exported else 'not a run folder: it has no config.json'}.")
    return run


def choose(root: Path, stem: str, settings: dict, **others) -> RunFolder:
    """The newest unfinished run `root/stem-N` of the same settings, else a new one with the next number.

    `others`: see `RunFolder.require_same_settings`.
    """
    numbers = sorted(
        int(match[1]) for p in root.glob(f"{stem}-*") if (match := re.fullmatch(rf"{re.escape(stem)}-(\d+)", p.name))
    )
    if numbers:
        last = RunFolder(root / f"{stem}-{numbers[-1]}")
        if last.exists and not last.finished:
            try:
                last.require_same_settings(settings, **others)
                return last
            except UserError:
                pass
    return RunFolder(root / f"{stem}-{numbers[-1] + 1 if numbers else 1}")


def newest_finished(root: Path) -> RunFolder:
    """The finished run in `root` that ended last; UserError if there is none."""
    ended = [(p.stat().st_mtime, p.parent) for p in root.glob("*/finished.json")]
    if not ended:
        raise UserError(f"There is no finished run in {root}/; train one with --train, or name one with --load-path.")
    return RunFolder(max(ended)[1])


def by_name(settings: Mapping) -> dict:
    """{"section": {"name": value}} -> {"name": value}."""
    found = {}
    for key, value in settings.items():
        found.update(by_name(value) if isinstance(value, Mapping) else {key: value})
    return found


def versions() -> dict:
    """Versions of Python, the packages and, in a git checkout, this project's revision."""
    found = {"python": platform.python_version(), "machine": platform.machine(), "processors": os.cpu_count()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    found["command"] = sys.argv[1:]
    revision = _git("rev-parse", "HEAD")
    if revision:
        found["git_revision"] = revision + ("-dirty" if _git("status", "--porcelain", "--untracked-files=no") else "")
    return found


def _git(*arguments: str) -> str:
    checkout = Path(__file__).parents[2]
    if not (checkout / "setup.py").exists():  # installed: a repository around it is somebody else's
        return ""
    try:
        done = subprocess.run(["git", "-C", str(checkout), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
