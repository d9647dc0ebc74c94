"""The filter against its theory, and people who come and go."""

import numpy as np
import pytest

from metrabs_acae.inference.smoothing import OneEuroFilter, PoseSmoother

STEP_S = 1 / 30


def weight(cutoff_hz, step_s=STEP_S):
    """Of the new value, from the filter's paper: r / (r + 1), r = 2 pi f T."""
    r = 2 * np.pi * cutoff_hz * step_s
    return r / (r + 1)


def run(values, step_s=STEP_S, **settings):
    smooth = OneEuroFilter(**settings)
    return np.array([smooth(i * step_s, np.array([v])) for i, v in enumerate(values)])[:, 0]


def test_step_response_without_speed_term():
    result = run([0] + [1000] * 20, min_cutoff_hz=1.0, beta=0.0)
    np.testing.assert_allclose(result, 1000 * (1 - (1 - weight(1.0)) ** np.arange(21)), rtol=1e-12)


def test_noise_at_rest_shrinks_as_theory_says():
    """The variance of white noise behind an exponential average is a / (2 - a) of it."""
    noise = np.random.default_rng(1).normal(0, 10, 50_000)
    result = run(noise, min_cutoff_hz=1.0, beta=0.0)[100:]
    a = weight(1.0)
    assert result.std() == pytest.approx(10 * np.sqrt(a / (2 - a)), rel=0.05)  # 50,000 correlated samples


def test_fast_motion_lags_less_with_the_speed_term():
    ramp = 1000 * STEP_S * np.arange(120)  # 1 m/s
    lags_mm = [ramp[-1] - run(ramp, beta=beta)[-1] for beta in (0.0, 0.004)]
    # Behind a ramp an exponential average lags by step (1 - a) / a. The speed is measured from the filtered value, so
    # it is the true one plus lag / step; this fixed point is found by bisection.
    lag_of = lambda cutoff: 1000 * STEP_S * (1 - weight(cutoff)) / weight(cutoff)  # noqa: E731
    low, high = 1.0, 1000.0
    for _ in range(100):
        cutoff = (low + high) / 2
        needed = 1.0 + 0.004 * (1000 + lag_of(cutoff) / STEP_S)
        low, high = (cutoff, high) if needed > cutoff else (low, cutoff)
    assert lags_mm[0] == pytest.approx(lag_of(1.0), rel=0.02)  # not quite settled after 4 s
    assert lags_mm[1] == pytest.approx(lag_of(cutoff), rel=0.02)
    assert lags_mm[1] < lags_mm[0] / 5


def test_uneven_times():
    smooth = OneEuroFilter(beta=0.0)
    smooth(0.0, np.zeros(1))
    assert smooth(0.1, np.ones(1)) == pytest.approx(weight(1.0, 0.1))
    assert smooth(0.1, np.full(1, 9.0)) == pytest.approx(weight(1.0, 0.1))  # no time has passed


def test_everybody_has_a_filter_of_their_own():
    smoother = PoseSmoother(beta=0.0, max_gap_s=1.0)
    poses = np.zeros((2, 3, 3), np.float32)
    poses[1] = 1000
    assert (smoother.update(0.0, [1, 2], poses) == poses).all()
    swapped = smoother.update(0.04, [2, 1], poses[::-1])
    np.testing.assert_allclose(swapped, poses[::-1])
    assert smoother.update(0.08, [], poses[:0]).shape == (0, 3, 3)
    moved = smoother.update(0.5, [1], poses[1:])
    assert 0 < moved.max() < 1000
    assert (smoother.update(2.0, [1], poses[1:]) == 1000).all()  # away for longer: starts afresh
