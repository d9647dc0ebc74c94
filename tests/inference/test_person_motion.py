"""Motion of a made-up walker, seen with the errors of a single camera: sizes, bones and feet come right."""

import numpy as np
import pytest

from metrabs_acae.inference.bone_lengths import (
    bone_vectors,
    mean_lengths,
    mirrored_edges,
    with_lengths,
    without_scale_jitter,
)
from metrabs_acae.inference.foot_contacts import feet_of, standing
from metrabs_acae.inference.person_motion import refine_motion

NAMES = ("pelv", "neck", "lhip", "lkne", "lank", "rhip", "rkne", "rank")
EDGES = ((0, 1), (0, 2), (2, 3), (3, 4), (0, 5), (5, 6), (6, 7))
EDGE_ARRAY = np.array(EDGES)
STEP_S, STRIDE_MM = 0.5, 700.0


def walker(times_s):
    """[N, 8, 3] mm: one foot stands while the other swings past it; legs by the law of cosines."""
    phase, parity = times_s / STEP_S, np.floor(times_s / STEP_S).astype(int) % 2
    pelvis = np.stack([STRIDE_MM * phase - 1500, np.zeros_like(phase), np.full_like(phase, 4000)], axis=1)
    step, within = np.floor(phase), phase - np.floor(phase)
    eased = within - np.sin(2 * np.pi * within) / (2 * np.pi)
    standing_x = STRIDE_MM * (step + 0.5) - 1500
    swinging_x = standing_x - STRIDE_MM + 2 * STRIDE_MM * eased
    poses = np.zeros((len(times_s), len(NAMES), 3))
    poses[:, 0], poses[:, 1] = pelvis, pelvis + [0, -500, 0]
    for side, (hip, sign) in enumerate(((2, -1), (5, 1))):
        stands = parity == side
        x = np.where(stands, standing_x, swinging_x)
        lift = np.where(stands, 0, 120 * np.sin(np.pi * within) ** 2)
        poses[:, hip] = pelvis + [0, 0, 120 * sign]
        poses[:, hip + 2] = np.stack([x, 800 - lift, pelvis[:, 2] + 120 * sign], axis=1)
        leg = poses[:, hip + 2] - poses[:, hip]
        half = np.linalg.norm(leg, axis=1, keepdims=True) / 2
        bend = np.sqrt(np.maximum(460**2 - half**2, 0))
        forward = np.stack([-leg[:, 1], leg[:, 0], 0 * half[:, 0]], axis=1) / (2 * half)
        poses[:, hip + 1] = poses[:, hip] + leg / 2 - bend * forward
    return poses, parity


def seen(poses, times_s, *, seed=0):
    """With the errors of a camera: correlated in time, along the line of sight larger, and in size."""
    rng = np.random.default_rng(seed)
    share = np.exp(-np.diff(times_s, prepend=times_s[0] - 0.04) / 0.1)

    def errors(*shape):
        found = rng.standard_normal((len(times_s), *shape))
        for i in range(1, len(found)):
            found[i] = share[i] * found[i - 1] + np.sqrt(1 - share[i] ** 2) * found[i]
        return found

    noisy = poses + errors(len(NAMES), 3) * [15, 15, 40]
    noisy *= np.exp(0.04 * errors(1, 1))
    outliers = rng.random(poses.shape[:2]) < 0.02
    return noisy + 500 * rng.standard_normal(poses.shape) * outliers[..., np.newaxis]


@pytest.fixture(scope="module", params=[25, 60])
def walk(request):
    times_s = np.arange(0, 4, 1 / request.param)
    truth, parity = walker(times_s)
    raw = seen(truth, times_s)
    return times_s, truth, parity, raw, refine_motion(times_s, raw, np.zeros(raw.shape[:2]), NAMES, EDGES)


def error(poses, truth):
    return np.linalg.norm(poses - truth, axis=-1).mean()


def test_nearer_the_truth(walk):
    _, truth, _, raw, refined = walk
    assert error(refined, truth) < 0.6 * error(raw, truth)
    bound = lambda p: np.percentile(np.linalg.norm(p - truth, axis=-1), 99.5)  # noqa: E731
    assert bound(refined) < 300 < 0.5 * bound(raw)  # no outlier is left


def test_accelerations(walk):
    times_s, truth, _, raw, refined = walk
    rate = 1 / (times_s[1] - times_s[0])
    found = [error(np.diff(p, n=2, axis=0), np.diff(truth, n=2, axis=0)) * rate**2 / 1000 for p in (raw, refined)]
    assert found[1] < 0.15 * found[0] and found[1] < 12


def test_bones_have_one_length_each(walk):
    _, _, _, _, refined = walk
    lengths = np.linalg.norm(bone_vectors(refined, EDGE_ARRAY), axis=-1)
    assert np.ptp(lengths, axis=0).max() < 1
    np.testing.assert_allclose(lengths.mean(axis=0)[[1, 2, 3]], lengths.mean(axis=0)[[4, 5, 6]], atol=0.2)
    np.testing.assert_allclose(lengths.mean(axis=0)[[2, 3]], 460, rtol=0.05)


def test_feet_that_stand_do_not_slide(walk):
    times_s, _, parity, raw, refined = walk
    step = np.diff(times_s)

    def sliding(poses):
        speeds = np.linalg.norm(np.diff(poses[:, [4, 7]], axis=0), axis=-1) / step[:, np.newaxis]
        still = (parity[:-1] == parity[1:])[:, np.newaxis] & (parity[1:, np.newaxis] == [0, 1])
        inner = still & np.roll(still, 3, axis=0) & np.roll(still, -3, axis=0)
        return speeds[inner].mean()

    assert sliding(refined) < 300 < 0.15 * sliding(raw)


def test_what_cannot_be_refined_stays():
    times_s = np.arange(3) * 0.04
    poses = walker(times_s)[0].astype(np.float32)
    np.testing.assert_array_equal(refine_motion(times_s[:1], poses[:1], np.zeros((1, 8)), NAMES, EDGES), poses[:1])
    unknown = np.full_like(poses, np.nan)
    np.testing.assert_array_equal(refine_motion(times_s, unknown, np.zeros((3, 8)), NAMES, EDGES), unknown)
    poses[1] = np.nan
    refined = refine_motion(times_s, poses, np.zeros((3, 8)), NAMES, ())
    assert refined.dtype == np.float32 and np.isfinite(refined).all()


def test_lengths_by_side_and_edges():
    assert mirrored_edges(EDGE_ARRAY, NAMES).tolist() == [0, 4, 5, 6, 1, 2, 3]
    poses = walker(np.arange(10) * 0.1)[0]
    lengths = mean_lengths(poses, EDGE_ARRAY, NAMES)
    np.testing.assert_allclose(lengths[[1, 2, 3]], lengths[[4, 5, 6]])


def test_certain_joints_stay_when_lengths_are_set():
    poses = walker(np.arange(5) * 0.1)[0]
    sigma = np.full(poses.shape[:2], 50.0)
    sigma[:, 4] = 0.01
    found = with_lengths(poses, EDGE_ARRAY, np.array([520, 130, 430, 480, 130, 430, 480.0]), sigma)
    np.testing.assert_allclose(
        np.linalg.norm(bone_vectors(found, EDGE_ARRAY), axis=-1), [[520, 130, 430, 480, 130, 430, 480]] * 5, atol=0.5
    )
    np.testing.assert_allclose(found[:, 4], poses[:, 4], atol=0.1)


def test_size_and_distance_go_together():
    poses = walker(np.arange(6) * 0.1)[0]
    factors = np.array([1, 1.1, 0.8, 1, 1, 1.0])[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(
        without_scale_jitter(poses * factors, EDGE_ARRAY), without_scale_jitter(poses, EDGE_ARRAY)
    )
    np.testing.assert_allclose(without_scale_jitter(poses, EDGE_ARRAY), poses, rtol=0.03)


def test_feet():
    assert feet_of(("lank_smpl", "rtoe", "rank", "lwri", "lhee_coco")) == [[0, 4], [1, 2]]
    times_s, sight = np.arange(40) / 20, np.tile([0, 0, 1.0], (40, 1))
    velocities = np.zeros((40, 3))
    velocities[:10, 0], velocities[30, 0], velocities[35:, 2] = 1000, 2000, 450
    assert standing(times_s, velocities, sight).tolist() == [False] * 10 + [True] * 30
