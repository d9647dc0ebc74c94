"""Less jitter in the poses of tracked people, without waiting for later frames."""

from __future__ import annotations

import math

import numpy as np

DERIVATIVE_CUTOFF_HZ = 1.0


class OneEuroFilter:
    """A low-pass filter that lets fast motion through: Casiez, Roussel, Vogel: "1 Euro Filter", CHI 2012, algorithm 1.

    Each coordinate is filtered by itself. Steps in time may differ.

    Args:
        min_cutoff_hz: cut-off frequency at rest; lower: less jitter.
        beta: growth of the cut-off per unit of speed, Hz / (unit / s); higher: less lag.
    """

    def __init__(self, *, min_cutoff_hz: float = 1.0, beta: float = 0.004):
        self.min_cutoff_hz, self.beta = min_cutoff_hz, beta
        self.time_s = None
        self._value = self._speed = None

    def __call__(self, time_s: float, value: np.ndarray) -> np.ndarray:
        """The filtered value, of the shape of `value`; the first comes back as it is."""
        value = np.asarray(value, np.float64)
        if self.time_s is None:
            self.time_s, self._value, self._speed = time_s, value, np.zeros_like(value)
            return value
        step_s = time_s - self.time_s
        if step_s <= 0:
            return self._value
        speed = (value - self._value) / step_s  # from the filtered value, as in the paper
        self._speed = self._speed + _weight(step_s, DERIVATIVE_CUTOFF_HZ) * (speed - self._speed)
        cutoff_hz = self.min_cutoff_hz + self.beta * np.abs(self._speed)
        self._value = self._value + _weight(step_s, cutoff_hz) * (value - self._value)
        self.time_s = time_s
        return self._value


class PoseSmoother:
    """Filters the joints of each tracked person.

    With the default `beta` a joint that moves at 1 m/s has a cut-off above 5 Hz. A person who was away for more than
    `max_gap_s` starts afresh.
    """

    def __init__(self, *, min_cutoff_hz: float = 1.0, beta: float = 0.004, max_gap_s: float = 1.0):
        self._settings = {"min_cutoff_hz": min_cutoff_hz, "beta": beta}
        self._max_gap_s = max_gap_s
        self._filters: dict[int, OneEuroFilter] = {}

    def update(self, time_s: float, people: np.ndarray, poses3d_mm: np.ndarray) -> np.ndarray:
        """Smoothed poses [P, J, 3] of the people with the numbers [P]."""
        self._filters = {n: f for n, f in self._filters.items() if time_s - f.time_s <= self._max_gap_s}
        smooth = [
            self._filters.setdefault(int(n), OneEuroFilter(**self._settings))(time_s, pose)
            for n, pose in zip(people, poses3d_mm, strict=True)
        ]
        return np.stack(smooth).astype(poses3d_mm.dtype) if smooth else poses3d_mm


def _weight(step_s: float, cutoff_hz):
    """Of the new value: 1 / (1 + tau / step), tau = 1 / (2 pi cut-off)."""
    return 1 / (1 + 1 / (2 * math.pi * cutoff_hz * step_s))
