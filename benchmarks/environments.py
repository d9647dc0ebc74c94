"""Python environments of their own, for programs that must not see this project."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path


def environment(folder: Path, *packages: str) -> Path:
    """The Python of an environment with the packages; made if it is not there, gone on with if it is not whole.

    Raises:
        subprocess.CalledProcessError: it cannot be made.
    """
    python, installed = folder / "bin" / "python", folder / "installed.txt"
    wanted = "\n".join(packages)
    if not installed.exists() or installed.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "-q", *packages], check=True)
        installed.write_text(wanted)
    return python


def run_program(python: Path, *arguments: str | Path, variables: Mapping[str, str] | None = None) -> dict:
    """What the program prints as its last line, JSON.

    Args:
        variables: more variables of its environment.

    Raises:
        subprocess.CalledProcessError: it fails.
    """
    held = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    held |= {"TF_CPP_MIN_LOG_LEVEL": "3", **(variables or {})}
    done = subprocess.run([str(python), *map(str, arguments)], env=held, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])
