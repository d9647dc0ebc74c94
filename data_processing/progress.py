"""Progress of long work: a bar with the time left on a terminal, a line now and then on a pipe."""

from __future__ import annotations

import sys
import time


class Progress:
    """Counts steps out of `total` on standard error."""

    def __init__(self, title: str, total: int, *, start: int = 0, enabled: bool = True, interval_s: float = 30.0):
        self.title, self.total, self.done, self.enabled = title, total, start, enabled
        self._begun, self._start, self._interval = time.monotonic(), start, interval_s
        self._told = 0.0
        self._terminal = sys.stderr.isatty()
        if start and enabled:
            self.say(f"{title}: {start} of {total} were done before")

    def step(self, note: str = "") -> None:
        self.done += 1
        if not self.enabled:
            return
        if note:
            self.say(note)
        now = time.monotonic()
        interval = 0.1 if self._terminal else self._interval
        if self.done == self.total or now - self._told >= interval:
            self._told = now
            left = (now - self._begun) / max(1, self.done - self._start) * (self.total - self.done)
            text = f"{self.title} {self.done}/{self.total}, {_duration(left)} left"
            if self._terminal:
                print(f"\r{text:<79}", end="\n" if self.done == self.total else "", file=sys.stderr, flush=True)
            else:
                print(text, file=sys.stderr, flush=True)

    def say(self, text: str) -> None:
        if self.enabled:
            print(f"\r{text:<79}" if self._terminal else text, file=sys.stderr, flush=True)


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}"
