"""Does the steps that have no result yet, one after the other; can be killed at any time and started again."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from experiments import library, results
from experiments.scales import Scale
from experiments.steps import Places, Step, in_order
from metrabs_acae.errors import UserError

FUNCTION_KINDS = ("data", "inconsistency")


def state(step: Step, places: Places) -> str:
    """``"done"``, ``"other settings"`` (a result of an older definition), ``"begun"`` or ``"waiting"``."""
    result = results.read(places.results, step)
    if result is not None:
        return "other settings" if result["stale"] else "done"
    return "begun" if _attempts_file(step, places).exists() else "waiting"


def run(steps: Sequence[Step], scale: Scale, places: Places, *, report: Callable[[str], None] = print) -> list[Step]:
    """Runs what is missing of the steps and of all that they need; the steps that were run.

    Raises:
        UserError: another process is at work here, a result of other settings stands in the way, or a step failed.
    """
    ordered = in_order(steps)
    stale = [s.name for s in ordered if state(s, places) == "other settings"]
    if stale:
        raise UserError(
            f"Results of other settings stand in the way: {', '.join(stale[:4])}{' ...' if len(stale) > 4 else ''}. "
            f"Delete their files in {places.results} and their runs in {places.work}, or give other folders."
        )
    todo = [s for s in ordered if state(s, places) != "done"]
    done = []
    with only_one(places.work) as lock:
        for i, step in enumerate(todo):
            left = sum(s.cost_s for s in todo[i:])
            report(
                f"[{i + 1}/{len(todo)}] {step.name}: about {minutes(step.cost_s)}; all that is left: {minutes(left)}"
            )
            _do(step, scale, places, lock)
            done.append(step)
    return done


def _do(step: Step, scale: Scale, places: Places, lock: int | None) -> None:
    attempts = _attempt(step, places)
    began, cpu = time.monotonic(), _cpu_seconds()
    if step.kind in FUNCTION_KINDS:
        numbers, details = library.run_function(step, places)
    else:
        arguments = [places.fill(a) for a in step.arguments]
        Path(places.fill(step.output)).parent.mkdir(parents=True, exist_ok=True)
        code = _call_here(arguments) if scale.in_process else _call_program(arguments, lock)
        if code in (130, -2):
            raise KeyboardInterrupt
        if code:
            raise UserError(
                f"Step {step.name} ended with exit code {code}; mend what it says above and start the same command "
                "again, it goes on from there."
            )
        numbers, details = library.collect(step, places)
    cost = {
        "seconds": round(time.monotonic() - began, 1),
        "cpu_seconds": round(_cpu_seconds() - cpu, 1),
        "attempts": attempts,
    }
    results.write(places.results, step, numbers, details, cost)
    library.tidy(step, places)
    _attempts_file(step, places).unlink(missing_ok=True)


def _call_here(arguments: list[str]) -> int:
    import keras

    from metrabs_acae.main import main

    keras.backend.clear_session()
    return main(arguments)


def _call_program(arguments: list[str], lock: int | None) -> int:
    """A program of its own: its memory is given back when it ends."""
    return call([sys.executable, "-m", "metrabs_acae.main", *arguments], lock)


def call(command: list[str], lock: int | None) -> int:
    """Runs a command to its end, or to that of this process; it shares the lock."""
    kept = {"pass_fds": (lock,)} if lock is not None else {}
    end_with_parent = functools.partial(_end_with_parent, os.getpid()) if sys.platform == "linux" else None
    process = subprocess.Popen(command, preexec_fn=end_with_parent, **kept)
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.terminate()  # trainings stop after the current step and keep a checkpoint
        process.wait()
        raise


def _end_with_parent(parent: int) -> None:
    """Asks Linux to end this process with its parent, which may be killed without a chance to tell it."""
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:  # killed already
        os._exit(1)


@contextlib.contextmanager
def only_one(work: Path, *, wait_s: float = 30.0):
    """Holds a lock that the programs started here inherit; UserError if another process keeps it for `wait_s`.

    The program of a process that was killed needs a few seconds to stop in order; hence the wait.
    """
    work.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:
        yield None
        return
    with open(work / ".lock", "w") as file:
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except OSError:
                if time.monotonic() >= until:
                    raise UserError(
                        f"Another process is running experiments in {work}; wait for it, or give another --work-dir."
                    ) from None
                time.sleep(0.5)
        yield file.fileno()


def _attempts_file(step: Step, places: Places) -> Path:
    return places.work / "attempts" / step.name


def _attempt(step: Step, places: Places) -> int:
    """Counts and notes how often the step was begun."""
    path = _attempts_file(step, places)
    path.parent.mkdir(parents=True, exist_ok=True)
    text = path.read_text() if path.exists() else ""
    count = int(text) + 1 if text.isdigit() else 1
    path.write_text(str(count))
    return count


def _cpu_seconds() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def minutes(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``2.4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
