"""What this machine offers: processor cores, and a folder for compiled code."""

from __future__ import annotations

import os
from pathlib import Path


def n_cores() -> int:
    """How many cores this process may use; where the system cannot tell (macOS), how many there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def find_numba_cache() -> bool:
    """Gives Numba a folder of this user's among the temporary files where the home folder cannot be written to.

    It would else refuse to compile what is to be kept on disk. Only counts before Numba is imported.

    Returns: whether there is a place at all; without one, compiled code must not ask to be kept (`cache=False`).
    """
    given = os.environ.get("NUMBA_CACHE_DIR")
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if given or _can_be_made(Path(home, "numba")):
        return not given or _can_be_made(Path(given))
    import tempfile

    try:
        folder = Path(tempfile.gettempdir(), f"metrabs_acae-numba-{os.getuid()}")
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():  # what lies there would be run
            folder = tempfile.mkdtemp(prefix="metrabs_acae-numba-")
    except OSError:
        return False
    os.environ["NUMBA_CACHE_DIR"] = str(folder)
    return True


def _can_be_made(folder: Path) -> bool:
    """Whether files can be made in a folder, which need not be there yet."""
    folder = folder.absolute()
    return os.access(next(p for p in (folder, *folder.parents) if p.exists()), os.W_OK | os.X_OK)
