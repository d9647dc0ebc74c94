"""The likeliest path of a point through noisy measurements of its place: robust, non-causal, for any time steps.

The path's acceleration is white noise, so the path is a cubic smoothing spline (Wahba, "Improper priors, spline
smoothing", 1978) and its place and velocity at the times of the measurements have independent Gaussian steps (Särkkä,
"Bayesian Filtering and Smoothing", 2013, sec. 12.3). All of them are found at once by one banded solution. Errors with
the heavier tails of Student's t distribution are had by weighting anew (IRLS).
"""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded

DEGREES_OF_FREEDOM = 4.0
N_WEIGHTINGS = 5
_STATE = 6
"""Numbers at a time: place and velocity."""


def smooth_path(
    times_s: np.ndarray,
    places_mm: np.ndarray,
    precisions: np.ndarray,
    *,
    acceleration: float,
    correlation_s: float = 0.0,
    stillness: np.ndarray | None = None,
    robust: bool = True,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Places and velocities of one point.

    Errors of successive frames are alike: within `correlation_s` all measurements together count as one, so that the
    result depends on times and not on the number of frames a second.

    Args:
        times_s: [N], growing.
        places_mm: [N, 3]; a row with NaN is no measurement.
        precisions: [N, 3, 3] 1 / mm^2, inverse covariances of the measurements.
        acceleration: spectral density of the acceleration, mm^2 / s^3.
        correlation_s: how long errors last.
        stillness: [N] s^2 / mm^2, inverse variance of the velocity about zero; 0: it may move.
        robust: whether outliers lose their weight.

    Returns:
        places [N, 3] mm, velocities [N, 3] mm / s, weights [N] from 0 (an outlier) to 1.
    """
    steps = np.maximum(np.diff(times_s), 1e-4)
    share = _share_of_time(steps, correlation_s) if len(steps) else np.ones(1)
    known = np.isfinite(places_mm).all(axis=1)
    places = np.where(known[:, np.newaxis], places_mm, 0.0)
    precisions = np.where(known[:, np.newaxis, np.newaxis], precisions, 0.0)
    band = _prior(steps, acceleration)
    if stillness is not None:
        band[0].reshape(-1, _STATE)[:, 3:] += (stillness * share)[:, np.newaxis]
    weights = np.ones(len(times_s))
    for _ in range(N_WEIGHTINGS if robust else 1):
        state = _solve(band, places, precisions * (share * weights)[:, np.newaxis, np.newaxis])
        if robust:
            off = places - state[:, :3]
            square = np.einsum("ni,nij,nj->n", off, precisions, off)
            weights = (DEGREES_OF_FREEDOM + 3) / (DEGREES_OF_FREEDOM + square)
    return state[:, :3], state[:, 3:], np.minimum(weights, 1.0) * known


def _share_of_time(steps, correlation_s: float) -> np.ndarray:
    """[N] how many independent measurements each one is worth, at most one."""
    padded = np.concatenate([steps[:1], steps, steps[-1:]])
    return np.minimum((padded[:-1] + padded[1:]) / 2 / max(correlation_s, 1e-9), 1.0)


def _prior(steps, acceleration: float) -> np.ndarray:
    """The precision matrix [12, 6 N], its lower band, of places and velocities that nothing was measured of."""
    n = len(steps) + 1
    # Of the difference between a state and the one before, moved on at its velocity: inverse of
    # q [[h^3 / 3, h^2 / 2], [h^2 / 2, h]].
    h, q = steps, acceleration
    a, b, c = 12 / (q * h**3), -6 / (q * h**2), 4 / (q * h)
    band = np.zeros((2 * _STATE, _STATE * n))
    columns = band.reshape(2 * _STATE, n, _STATE)
    for axis in range(3):
        v = axis + 3
        # Of the earlier state, with F = [[1, h], [0, 1]]: F' Q^-1 F, and - Q^-1 F beneath it.
        columns[0, :-1, axis] += a
        columns[3, :-1, axis] += a * h + b
        columns[0, :-1, v] += a * h**2 + 2 * b * h + c
        columns[_STATE, :-1, axis] -= a
        columns[_STATE - 3, :-1, v] -= a * h + b
        columns[_STATE + 3, :-1, axis] -= b
        columns[_STATE, :-1, v] -= b * h + c
        columns[0, 1:, axis] += a
        columns[3, 1:, axis] += b
        columns[0, 1:, v] += c
    return band


def _solve(prior, places, precisions) -> np.ndarray:
    """[N, 6] the likeliest states."""
    n = len(places)
    band = prior.copy()
    columns = band.reshape(2 * _STATE, n, _STATE)
    columns[0] += 1e-12  # a single measurement says nothing of the velocity
    for row in range(3):
        for column in range(row + 1):
            columns[row - column, :, column] += precisions[:, row, column]
    right = np.zeros((n, _STATE))
    right[:, :3] = np.einsum("nij,nj->ni", precisions, places)
    return solveh_banded(band, right.ravel(), lower=True, overwrite_ab=True, check_finite=False).reshape(n, _STATE)
