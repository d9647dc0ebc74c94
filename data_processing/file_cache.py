"""Keeps what was read from a file as long as the file stays the same."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path


def file_cache(maxsize: int) -> Callable:
    """Decorator of a function of one path: its last `maxsize` results, by path, time and size of the file."""

    def decorate(function: Callable) -> Callable:
        cached = functools.lru_cache(maxsize)(lambda path, stamp: function(Path(path)))

        @functools.wraps(function)
        def read(path):
            try:
                status = os.stat(path)
                stamp = (status.st_mtime_ns, status.st_size)
            except OSError:
                stamp = None
            return cached(str(path), stamp)

        return read

    return decorate
