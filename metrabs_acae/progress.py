"""Progress of long work: a line that changes on a terminal, a line now and then on a pipe."""

from __future__ import annotations

import math
import sys
import time

EVERY_S = 15.0


class Progress:
    """Counts on standard error what is done, of `total` where that is known, with the time left.

    The rate, and so the time left, is that after the first call (which may hold a compilation), if there is another.

    Args:
        title: what is counted, e.g. ``"h36m: examples"``.
        start: how many were done before this program began.
        stream: default: standard error.
    """

    def __init__(self, title: str, total: int | None, *, start: int = 0, enabled: bool = True, stream=None):
        self.title, self.total, self.done, self.enabled = title, total, start, enabled
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._begun = (time.monotonic(), start)
        self._first: tuple[float, int] | None = None
        self._shown = -math.inf if self._terminal else self._begun[0]
        if start:
            self.say(f"{title}: {start} of {total} were done before")

    def step(self, n: int = 1, *, remark: str = "", note: str = "") -> None:
        """`n` more are done. The remark ends the line; the note is a line of its own, always said."""
        self.done += n
        if note:
            self.say(note)
        now = time.monotonic()
        rate, self._first = self.rate, self._first or (now, self.done)
        if self.done == self.total or now - self._shown >= (0.1 if self._terminal else EVERY_S):
            self._shown = now
            text = f"{self.title} {self.done}"
            if self.total is not None:
                text += f"/{self.total}, {clock((self.total - self.done) / rate if rate else math.inf)} left"
            self._write(f"{text}, {rate:.3g}/s" + (f", {remark}" if remark else ""), last=self.done == self.total)

    def to(self, done: int, total: int | None, *, remark: str = "") -> None:
        """As `step`, with what is done in all and the total."""
        self.total = total
        self.step(done - self.done, remark=remark)

    @property
    def rate(self) -> float:
        """Per second."""
        since, before = self._first if self._first and self.done > self._first[1] else self._begun
        return (self.done - before) / max(time.monotonic() - since, 1e-9)

    def say(self, text: str) -> None:
        self._write(text, last=True)

    def close(self) -> None:
        """Clears the line on a terminal if the work ended before its `total`."""
        if self.enabled and self._terminal and self.done != self.total:
            print("\r\033[K", end="", file=self._stream, flush=True)

    def _write(self, text: str, *, last: bool) -> None:
        if not self.enabled:
            return
        if self._terminal:
            print(f"\r{text:<79}", end="\n" if last else "", file=self._stream, flush=True)
        else:
            print(text, file=self._stream, flush=True)


def clock(seconds: float) -> str:
    """3725 -> '1:02:05'; not finite: '?'."""
    if not math.isfinite(seconds):
        return "?"
    minutes, s = divmod(round(seconds), 60)
    hours, m = divmod(minutes, 60)
    return f"{hours}:{m:02d}:{s:02d}" if hours else f"{m}:{s:02d}"
