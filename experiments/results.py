"""Stored results: one small JSON file per step, with machine, date, seed and revision."""

from __future__ import annotations

import datetime
import json
import math
import platform
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from experiments.steps import Step
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json, replacing
from metrabs_acae.machine import n_cores

_CHECKOUT = Path(__file__).parents[1]
HOME = _CHECKOUT if (_CHECKOUT / "setup.py").exists() else Path()
"""Where results, figures and their page go: the checkout; the working folder where the project is installed."""
ROOT = HOME / "experiments" / "results"


def path_of(folder: Path, step: Step) -> Path:
    return folder / f"{step.name}.json"


def read(folder: Path, step: Step) -> dict | None:
    """The step's result, or None if there is none; UserError for a file that is none of ours.

    A result of other settings (a scale changed since) has ``"stale": True``.
    """
    path = path_of(folder, step)
    try:
        result = load_json(path)
        numbers, arguments = result["numbers"], result["arguments"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"The result {path} cannot be read ({error}); delete it to run the step again.") from None
    assert isinstance(numbers, dict)
    return {**result, "stale": tuple(arguments) != step.arguments}


def more_seeds(folder: Path, seeds: Iterable[int]) -> list[int]:
    """Seeds of stored results other than these, in order."""
    found = {int(m[1]) for p in folder.glob("*.json") if (m := re.search(r"-s(\d+)$", p.stem))}
    return sorted(found - set(seeds))


def write(folder: Path, step: Step, numbers: Mapping, details: Mapping, cost: Mapping) -> None:
    """Writes the result whole or not at all."""
    from metrabs_acae.training.run_folder import versions

    found = versions()
    result = {
        "step": step.name,
        "kind": step.kind,
        "seed": step.seed,
        "arguments": list(step.arguments),
        "numbers": {g: {k: v for k, v in values.items() if math.isfinite(v)} for g, values in numbers.items()},
        "details": details,
        **cost,
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": machine(),
        "git_revision": found.pop("git_revision", "unknown"),
        "versions": {k: v for k, v in found.items() if k != "command"},
    }
    path = path_of(folder, step)
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(result, indent=1) + "\n")


def machine() -> str:
    """Architecture, usable cores and, where the system tells, the processor's model."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    except OSError:
        model = ""
    cores = n_cores()
    count = "1 core" if cores == 1 else f"{cores} cores"
    return f"{platform.machine()}, {count}" + (f", {model}" if model else "")
