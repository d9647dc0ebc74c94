"""A training that makes no step any more says so, and where it hangs; for a supervisor it ends."""

from __future__ import annotations

import faulthandler
import os
import tempfile
import threading
import time
from collections.abc import Callable

import keras

SAID_AFTER_MINUTES = 10.0
EXIT_CODE = 75
"""EX_TEMPFAIL of sysexits.h: the same command may be tried again."""


class StallWatch(keras.callbacks.Callback):
    """Within it as a context, a step or validation that takes too long is reported with the stacks of all threads.

    The training goes on waiting: a file system or another host may come back.

    Args:
        report: what takes the message.
        said_after_minutes: without a step.
        exit_after_minutes: the process ends with code 75, and without tidying up; None: never.
    """

    def __init__(
        self,
        report: Callable[[str], object],
        *,
        said_after_minutes: float = SAID_AFTER_MINUTES,
        exit_after_minutes: float | None = None,
    ):
        super().__init__()
        self.report, self.exit_after_minutes = report, exit_after_minutes
        self.said_after_minutes = said_after_minutes
        self._last, self._said = time.monotonic(), False
        self._over = threading.Event()

    def __enter__(self) -> StallWatch:
        self._alive()
        threading.Thread(target=self._watch, name="stall watch", daemon=True).start()
        return self

    def __exit__(self, *exception) -> None:
        self._over.set()

    def on_train_begin(self, logs=None):
        self._alive()

    def on_train_batch_end(self, batch, logs=None):
        self._alive()

    def on_epoch_end(self, epoch, logs=None):
        self._alive()

    def _alive(self) -> None:
        self._last, self._said = time.monotonic(), False

    def _watch(self) -> None:
        limits = [m for m in (self.said_after_minutes, self.exit_after_minutes) if m]
        while not self._over.wait(min(5.0, min(limits) * 60 / 4)):
            minutes = (time.monotonic() - self._last) / 60
            if minutes >= self.said_after_minutes and not self._said:
                self._said = True
                self.report(f"No step has ended for {minutes:.3g} minutes; still waiting. What all threads do:")
                self.report(_stacks())
            if self.exit_after_minutes is not None and minutes >= self.exit_after_minutes:
                self.report(f"No step has ended for {minutes:.3g} minutes: ending (--stall-exit-minutes).")
                os._exit(EXIT_CODE)


def _stacks() -> str:
    with tempfile.TemporaryFile() as file:
        faulthandler.dump_traceback(file, all_threads=True)
        file.seek(0)
        return file.read().decode(errors="replace").rstrip()
