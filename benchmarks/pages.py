"""What pages of results say of how they were made."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import date
from pathlib import Path


def made_by(program: str, arguments: Sequence[str]) -> str:
    """The command, with the names of files alone, the date and the machine."""
    command = " ".join([program, *(Path(a).name if Path(a).is_absolute() else a for a in arguments)])
    return f"`{command}`, {date.today()}, {os.cpu_count()} cores, {platform.machine()}, no GPU"
