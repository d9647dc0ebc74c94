"""Ctrl-C in the middle of long work: it ends where it can go on from, or with complete files."""

from __future__ import annotations

import contextlib
import signal


class Interruption:
    """Within it, the first SIGINT or SIGTERM only sets `requested`; a second one interrupts at once."""

    def __init__(self):
        self.requested = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interruption:
        with contextlib.suppress(ValueError):  # signals reach the main thread alone
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._request)
        return self

    def __exit__(self, *exception) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number, stack_frame) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
