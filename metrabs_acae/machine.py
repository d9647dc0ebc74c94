"""What this machine offers: processor cores, and a folder for compiled code."""

from __future__ import annotations

import os
from pathlib import Path


def n_cores() -> int:
    """How many cores this process may use; where the system cannot tell (macOS), how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_numba_cache() -> None:
    """Gives Numba a folder of this user's among the temporary files where the home folder cannot be written to.

    It would else refuse to compile what is to be kept on disk. Only counts before Numba is imported.
    """
    if "NUMBA_CACHE_DIR" in os.environ:
        return
    cache = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "numba").absolute()
    if os.access(next(p for p in (cache, *cache.parents) if p.exists()), os.W_OK | os.X_OK):
        return
    import tempfile

    folder = Path(tempfile.gettempdir(), f"metrabs_acae-numba-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():  # what lies there would be run
        folder = tempfile.mkdtemp(prefix="metrabs_acae-numba-")
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
