"""Does the steps that have no result yet, one or several at a time; can be killed at any time and started again."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from experiments import library, programs, results
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


def missing(ordered: Sequence[Step], places: Places) -> list[Step]:
    """The steps without a result, and those with one whose output such a step needs and is not there: results travel
    with the project, runs do not."""
    found, needed = set(), set()
    for step in reversed(ordered):
        gone = step.name in needed and step.output and not Path(places.fill(step.output)).exists()
        if gone or state(step, places) != "done":
            found.add(step.name)
            needed.update(n.name for n in step.needs)
    return [s for s in ordered if s.name in found]


def run(
    steps: Sequence[Step], scale: Scale, places: Places, *, jobs: int = 1, report: Callable[[str], None] = print
) -> list[Step]:
    """Runs what is missing of the steps and of all that they need; the steps that were run.

    Args:
        jobs: steps at a time. With several, each has its share of the cores, and what it says goes to
            ``logs/STEP.log`` in the work folder.

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
    todo = missing(ordered, places)
    jobs = 1 if scale.in_process else jobs
    with programs.only_one(places.work) as lock:
        Crew(todo, scale, places, jobs, lock, report).work()
    return todo


@dataclass
class Job:
    """A step at work as a program of its own, its share of the cores, and the file of what it says."""

    step: Step
    program: programs.Program
    cores: list[int]
    log: Path | None
    attempts: int
    began: float


class Crew:
    """Works off `todo`, in which each step stands behind those that it needs."""

    def __init__(self, todo: Sequence[Step], scale: Scale, places: Places, jobs: int, lock, report):
        self.todo, self.scale, self.places, self.lock, self.report = list(todo), scale, places, lock, report
        self.free = programs.shares(jobs)
        self.n_jobs, self.n_steps = jobs, len(todo)
        self.jobs: list[Job] = []

    def work(self) -> None:
        try:
            while self.todo or self.jobs:
                step = self._next() if self.free else None
                if step is not None:
                    self._begin(step)
                else:
                    self._end(self._first_to_end())
        finally:
            for job in self.jobs:
                job.program.terminate()
            for job in self.jobs:
                job.program.wait()

    def _next(self) -> Step | None:
        """The first step that waits for no other."""
        missing = {s.name for s in (*self.todo, *(job.step for job in self.jobs))}
        return next((s for s in self.todo if missing.isdisjoint(n.name for n in s.needs)), None)

    def _begin(self, step: Step) -> None:
        left = sum(s.cost_s for s in (*self.todo, *(job.step for job in self.jobs))) / self.n_jobs
        self.report(
            f"[{self.n_steps - len(self.todo) + 1}/{self.n_steps}] {step.name}: about {minutes(step.cost_s)}; "
            f"all that is left: {minutes(left)}"
        )
        self.todo.remove(step)
        attempts, began = _attempt(step, self.places), time.monotonic()
        arguments = [self.places.fill(a) for a in step.arguments]
        if step.output:
            Path(self.places.fill(step.output)).parent.mkdir(parents=True, exist_ok=True)
        if step.kind in FUNCTION_KINDS or self.scale.in_process:
            cpu = _cpu_seconds()
            if step.kind in FUNCTION_KINDS:
                found = library.run_function(step, self.places)
            else:
                _check(step, _call_here(arguments))
                found = library.collect(step, self.places)
            self._store(step, found, attempts, began, _cpu_seconds() - cpu, len(programs.usable_cores()))
            return
        cores = self.free.pop(0)
        log = self.places.work / "logs" / f"{step.name}.log" if self.n_jobs > 1 else None
        command = [sys.executable, "-m", "metrabs_acae.main", *arguments]
        program = programs.start(command, self.lock, cores=cores, log=log)
        self.jobs.append(Job(step, program, cores, log, attempts, began))

    def _first_to_end(self) -> Job:
        while True:
            for job in self.jobs:
                if job.program.poll() is not None:
                    return job
            time.sleep(0.1)

    def _end(self, job: Job) -> None:
        self.jobs.remove(job)
        self.free.append(job.cores)
        _check(job.step, job.program.poll(), job.log)
        cores = len(job.cores or programs.usable_cores())
        found = library.collect(job.step, self.places)
        self._store(job.step, found, job.attempts, job.began, job.program.cpu_seconds, cores)

    def _store(self, step: Step, found, attempts: int, began: float, cpu_seconds: float, cores: int) -> None:
        cost = {
            "seconds": round(time.monotonic() - began, 1),
            "cpu_seconds": round(cpu_seconds, 1),
            "cores": cores,
            "attempts": attempts,
        }
        numbers, details = found
        results.write(self.places.results, step, numbers, details, cost)
        library.tidy(step, self.places)
        _attempts_file(step, self.places).unlink(missing_ok=True)


def _check(step: Step, code: int, log: Path | None = None) -> None:
    if code in (130, -2):
        raise KeyboardInterrupt
    if code:
        said = f"what {log} says at its end" if log else "what it says above"
        raise UserError(
            f"Step {step.name} ended with exit code {code}; mend {said} and start the same command again, it goes on "
            "from there."
        )


def _call_here(arguments: list[str]) -> int:
    import keras

    from metrabs_acae.main import main

    keras.backend.clear_session()
    return main(arguments)


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
    """Of this process and of its own that have ended and were waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def minutes(seconds: float) -> str:
    """``40 s``, ``12 min`` or ``2.4 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
