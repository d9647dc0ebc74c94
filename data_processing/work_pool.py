"""Pieces of work in several processes, few at a time, ended cleanly however the program ends."""

from __future__ import annotations

import concurrent.futures
import contextlib
import multiprocessing
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from metrabs_acae.errors import UserError
from metrabs_acae.interruption import Interruption

Item = TypeVar("Item")
Result = TypeVar("Result")
_PATIENCE_S = 0.2
"""Until a wait looks whether it is interrupted."""


def in_processes(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None
) -> Iterator[tuple[Item, Result]]:
    """(item, function(item)), in the order in which they are done.

    Args:
        function: must be picklable, as items and results.
        workers: processes; None for one per core, 0 for this process alone.

    Raises:
        UserError: a process was killed.
    """
    workers = (os.cpu_count() or 1) if workers is None else workers
    if workers == 0 or len(items) <= 1:
        yield from ((item, function(item)) for item in items)
        return
    context = multiprocessing.get_context("spawn")
    n_workers = min(workers, len(items))
    with concurrent.futures.ProcessPoolExecutor(n_workers, mp_context=context, initializer=_start_worker) as pool:
        try:
            yield from _results(pool, function, iter(items), 2 * workers)
        except concurrent.futures.process.BrokenProcessPool:
            raise UserError(
                "A worker process was killed (often: out of memory); start the same command again with fewer --workers."
            ) from None
        except BaseException:
            for process in list(pool._processes.values()):  # what they were doing will be done anew
                process.terminate()
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def ordered_results(pool, function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """As `pool.map`, but Ctrl-C comes between the pool's functions only."""
    with _interrupted_afterwards():
        futures = deque(pool.submit(function, item) for item in items)
    while futures:
        with _interrupted_afterwards() as interruption:
            while not (futures[0].done() or interruption.requested):
                concurrent.futures.wait([futures[0]], timeout=_PATIENCE_S)
            result = None if interruption.requested else futures.popleft().result()  # what was given is not kept
        yield result


def _results(pool, function, waiting: Iterable, at_once: int) -> Iterator:
    running = {}
    while True:
        finished = set()
        with _interrupted_afterwards() as interruption:
            for item in waiting:
                running[pool.submit(function, item)] = item
                if len(running) >= at_once:
                    break
            while running and not (finished or interruption.requested):
                finished, _ = concurrent.futures.wait(running, timeout=_PATIENCE_S, return_when="FIRST_COMPLETED")
            results = [(running.pop(future), future.result()) for future in finished]
        if not results:
            return
        yield from results


@contextlib.contextmanager
def _interrupted_afterwards() -> Iterator[Interruption]:
    """Ctrl-C in here comes at the end: inside of a pool's functions it could leave a lock taken for ever."""
    with Interruption() as interruption:
        yield interruption
    if interruption.requested:
        raise KeyboardInterrupt


def _start_worker() -> None:
    """One thread per process: the processes already use every core."""
    import signal

    import cv2

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    cv2.setNumThreads(1)
    for name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ[name] = "1"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
