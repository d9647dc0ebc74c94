"""One process at a time: a lock that says who holds it, and that the system frees when its holder dies."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

from metrabs_acae.errors import UserError


@contextlib.contextmanager
def held(path: str | Path, busy: str, *, wait_s: float = 0.0) -> Iterator[int | None]:
    """Holds the lock file `path`; where the system has no such locks, nothing is held.

    Args:
        busy: what to say if another process holds it; "{holder}" in it stands for that process.
        wait_s: how long to wait for that process; inf: as long as it takes.

    Yields:
        the file descriptor, for programs that should inherit the lock, or None.

    Raises:
        UserError: another process holds it.
    """
    try:
        import fcntl
    except ImportError:  # no POSIX system
        yield None
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a+") as file:
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError as error:
                if error.errno not in (errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK):
                    yield None  # a file system without locks
                    return
                if time.monotonic() >= until:
                    file.seek(0)
                    raise UserError(busy.format(holder=file.read().strip() or "another process")) from None
                time.sleep(0.2)
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
        file.flush()
        yield file.fileno()
