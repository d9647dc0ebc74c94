"""The smoothed path is the solution of the dense equations, and the same whatever the frame rate."""

import numpy as np
import pytest

from metrabs_acae.inference.trajectories import smooth_path

DENSITY = 5e4


def test_the_dense_solution():
    rng = np.random.default_rng(0)
    n = 9
    times_s, places = np.sort(rng.uniform(0, 2, n)), rng.normal(0, 100, (n, 3))
    factors = rng.normal(0, 0.03, (n, 3, 3))
    precisions = factors @ factors.transpose(0, 2, 1) + 1e-4 * np.eye(3)
    still = np.where(np.arange(n) > 5, 1e-3, 0.0)
    matrix, right = np.zeros((6 * n, 6 * n)), np.zeros(6 * n)
    for i in range(n):
        rows = slice(6 * i, 6 * i + 3)
        matrix[rows, rows] += precisions[i]
        right[rows] = precisions[i] @ places[i]
        rows = slice(6 * i + 3, 6 * i + 6)
        matrix[rows, rows] += still[i] * np.eye(3)
    for i, h in enumerate(np.diff(times_s)):
        covariance = DENSITY * np.kron([[h**3 / 3, h**2 / 2], [h**2 / 2, h]], np.eye(3))
        step = np.zeros((6, 6 * n))
        step[:, 6 * i : 6 * i + 6] = -np.kron([[1, h], [0, 1]], np.eye(3))
        step[:, 6 * i + 6 : 6 * i + 12] = np.eye(6)
        matrix += step.T @ np.linalg.inv(covariance) @ step
    expected = np.linalg.solve(matrix, right).reshape(n, 6)
    found = smooth_path(times_s, places, precisions, acceleration=DENSITY, stillness=still, robust=False)
    np.testing.assert_allclose(found[0], expected[:, :3], atol=1e-3)
    np.testing.assert_allclose(found[1], expected[:, 3:], atol=1e-2)


def wave(times_s):
    return np.stack([200 * np.sin(2 * times_s), 300 * np.cos(times_s), 3000 + 100 * times_s], axis=1)


def smoothed(times_s, noise=0.0, **settings):
    rng = np.random.default_rng(1)
    places = wave(times_s) + noise * rng.standard_normal((len(times_s), 3))
    precisions = np.tile(np.eye(3) / 20**2, (len(times_s), 1, 1))
    return smooth_path(times_s, places, precisions, acceleration=1e6, correlation_s=0.1, **settings)


def test_the_frame_rate_does_not_matter():
    slow, fast = np.arange(0, 4, 1 / 25), np.arange(0, 4, 1 / 100)
    bump = np.exp(-(((fast - 2) / 0.1) ** 2))[:, np.newaxis] * 50
    precisions = np.eye(3)[np.newaxis] / 20**2
    settings = {"acceleration": 1e6, "correlation_s": 0.1}
    of_fast = smooth_path(fast, bump * np.ones(3), np.repeat(precisions, len(fast), 0), **settings)[0]
    of_slow = smooth_path(slow, bump[::4] * np.ones(3), np.repeat(precisions, len(slow), 0), **settings)[0]
    np.testing.assert_allclose(of_slow[5:-5], of_fast[::4][5:-5], atol=0.3)


def test_noise_goes_and_motion_stays():
    times_s = np.sort(np.random.default_rng(2).uniform(0, 5, 200))
    places, velocities, _ = smoothed(times_s, noise=20.0)
    assert np.sqrt(np.square(places - wave(times_s)).mean()) < 10
    expected = np.stack([400 * np.cos(2 * times_s), -300 * np.sin(times_s), np.full(200, 100.0)], axis=1)
    assert np.sqrt(np.square(velocities - expected).mean()) < 80
    places, _, weights = smoothed(times_s)
    np.testing.assert_allclose(places, wave(times_s), atol=2.5)
    assert weights.min() > 0.95


def test_outliers_and_gaps_are_bridged():
    times_s = np.arange(0, 4, 0.04)
    places = wave(times_s)
    places[40:43] += 800
    places[70:75] = np.nan
    precisions = np.tile(np.eye(3) / 20**2, (len(times_s), 1, 1))
    found, _, weights = smooth_path(times_s, places, precisions, acceleration=1e6, correlation_s=0.1)
    np.testing.assert_allclose(found, wave(times_s), atol=15)
    assert weights[40:43].max() < 0.05 and (weights[70:75] == 0).all()


@pytest.mark.parametrize("n", [1, 2])
def test_few_measurements_stay(n):
    times_s = np.arange(n) * 0.04
    np.testing.assert_allclose(smoothed(times_s)[0], wave(times_s), atol=1.0)
