"""Programs that steps run as: started with a share of the cores, waited for, ended with this process."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from metrabs_acae.locks import held


@dataclass
class Program:
    """A started program.

    Attributes:
        cpu_seconds: that it and its own programs used, once it has ended.
    """

    process: subprocess.Popen
    cpu_seconds: float = 0.0

    def poll(self) -> int | None:
        """Its exit code (negative: the signal that ended it), or None while it works."""
        if self.process.returncode is None:
            pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
            if pid:
                self.process.returncode = os.waitstatus_to_exitcode(status)
                self.cpu_seconds = usage.ru_utime + usage.ru_stime
        return self.process.returncode

    def wait(self) -> int:
        while (code := self.poll()) is None:
            time.sleep(0.1)
        return code

    def terminate(self) -> None:
        """Asks it to end: trainings stop after the current step and keep a checkpoint."""
        if self.poll() is None:
            self.process.terminate()


def start(command: list[str], lock: int | None, *, cores: Sequence[int] = (), log: Path | None = None) -> Program:
    """Starts a command that shares the lock.

    Args:
        cores: that it may use; empty: all.
        log: file that its output is added to; None: this process's output.
    """
    kept = {"pass_fds": (lock,)} if lock is not None else {}
    prepare = functools.partial(_prepare, os.getpid(), cores) if sys.platform == "linux" else None
    with contextlib.ExitStack() as stack:
        if log is not None:
            log.parent.mkdir(parents=True, exist_ok=True)
            kept |= {"stdout": stack.enter_context(open(log, "a")), "stderr": subprocess.STDOUT}
        return Program(subprocess.Popen(command, preexec_fn=prepare, **kept))


def _prepare(parent: int, cores: Sequence[int]) -> None:
    """In the new process: asks Linux to end it with its parent, which may be killed without a chance to tell it."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # killed already
        os._exit(1)
    if cores:
        os.sched_setaffinity(0, cores)


def usable_cores() -> list[int]:
    """Numbers of the cores that this process may use."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def shares(jobs: int) -> list[list[int]]:
    """The usable cores in as many parts; empty ones, that stand for all cores, if there are fewer cores than jobs."""
    cores = usable_cores()
    return [cores[i::jobs] for i in range(jobs)] if 1 < jobs <= len(cores) else [[] for _ in range(jobs)]


def only_one(work: Path, *, wait_s: float = 30.0):
    """Holds a lock that the programs started here inherit; UserError if another process keeps it for `wait_s`.

    The program of a process that was killed needs a few seconds to stop in order; hence the wait.
    """
    busy = f"Another process is running experiments in {work} ({{holder}}); wait for it, or give another --work-dir."
    return held(work / ".lock", busy, wait_s=wait_s)
