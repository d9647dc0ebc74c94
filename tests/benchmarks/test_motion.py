"""Measures of motion on made-up people, and clips whose true feet do not slide."""

import numpy as np
import pytest

from benchmarks import motion, motion_clips

NAMES = ("lhip_smpl", "rhip_smpl", "lank_smpl", "rank_smpl", "neck_smpl")


def person(frames, poses, numbers=None):
    frames = np.array(frames)
    numbers = np.ones(len(frames), int) if numbers is None else np.array(numbers)
    return motion.Followed(frames, poses, poses + [10.0, 0, 0], poses, numbers)


def test_errors_of_known_motion():
    rng = np.random.default_rng(0)
    true = np.tile(rng.normal(0, 300, (1, 5, 3)) + [0, 0, 4000], (6, 1, 1))
    true[:, 4, 0] += 5 * np.arange(6) ** 2
    found = motion.errors(person([0, 1, 2, 3, 10, 11], true), true + [0, 30, 0], NAMES, 10.0)
    assert found["MPJPE"] == pytest.approx(0) and found["position"] == pytest.approx(30)
    assert found["acceleration"] == pytest.approx(0) and found["sliding"] == 0
    shaky = true.copy()
    shaky[2] += [0, 8, 0]  # second differences 8, -16 within the first four frames
    found = motion.errors(person([0, 1, 2, 3, 10, 11], true), shaky, NAMES, 10.0)
    assert found["acceleration"] == pytest.approx((8 + 16) / 2 * 100 / 1000)
    assert found["sliding"] == pytest.approx(10 * (0 + 8 + 8 + 0) / 4)


def test_switches_are_counted():
    poses = np.random.default_rng(0).normal(0, 300, (4, 5, 3)) + [0, 0, 4000]
    rows = motion.rows_of("clip", [person([0, 1, 2, 3], poses, [1, 1, 3, 1])], NAMES, 10.0, 3)
    assert [r["switches"] for r in rows] == ["2", "2"] and rows[0]["people"] == "3 of 1"


@pytest.mark.parametrize("name", ["walk", "dance"])
def test_the_lower_foot_stands(name):
    clip = next(c for c in motion_clips.CLIPS if c.name == name)
    times_s = np.arange(20) / 25
    _, points = motion_clips.moving(clip.walkers[0], times_s)
    feet = points[:, motion_clips.joints.all_joints().skeleton.indices(motion_clips.HEEL_TO_TOE)]
    speeds = np.linalg.norm(np.diff(feet[..., :2], axis=0), axis=-1) * 25
    assert np.median(speeds.min(axis=1)) < 60 < np.median(speeds.max(axis=1))
    assert np.abs(points[0, :, :2].mean(axis=0) - clip.walkers[0].start_mm).max() < 1
