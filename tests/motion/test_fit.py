"""The skeleton fitted to a person: known bones come out, directions are exact, gaps and odd steps of time."""

import dataclasses

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from metrabs_acae.motion import fit
from metrabs_acae.motion.rotations import bone_rotations, rotations_between, shortest_rotations
from tests.motion.people import walker


def fitted(tree, times, joints, uncertainty=None):
    uncertainty = np.zeros(joints.shape[:2]) if uncertainty is None else uncertainty
    return fit.fit_motion(tree, 1, np.arange(len(times)), times, joints, uncertainty)


@pytest.mark.parametrize("name", ["h36m_17", "smpl_24", "smpl+head_30"])
def test_a_person_of_constant_bones_is_met_exactly(name):
    tree, times, joints = walker(name=name)
    motion = fitted(tree, times, joints)
    # The prior of 1e-4 bends directions by less than a mm at the ends of chains.
    np.testing.assert_allclose(motion.fitted_mm, joints, atol=1.0)
    again = fit.forward_kinematics(tree, motion.root_mm, motion.offsets_mm, motion.rotations)
    np.testing.assert_allclose(again, motion.fitted_mm, atol=2e-3)
    np.testing.assert_allclose(
        motion.rotations @ np.swapaxes(motion.rotations, -1, -2),
        np.tile(np.eye(3), (40, len(tree.parents), 1, 1)),
        atol=1e-5,
    )
    knee = tree.joint_names.index(next(n for n in tree.joint_names if n.startswith("lkne")))
    thigh = motion.offsets_mm[knee] / np.linalg.norm(motion.offsets_mm[knee])
    np.testing.assert_allclose(thigh, [0, -1, 0], atol=1e-6)  # at rest it hangs


def test_turning_and_moving_the_person_turns_and_moves_the_skeleton():
    tree, times, joints = walker()
    noisy = joints + np.random.default_rng(1).normal(0, 15, joints.shape)
    turn, shift = Rotation.from_euler("xyz", [0, 1.0, 0]).as_matrix(), np.array([100, 50, 3000])
    first, second = fitted(tree, times, noisy), fitted(tree, times, noisy @ turn.T + shift)
    np.testing.assert_allclose(second.fitted_mm, first.fitted_mm @ turn.T + shift, atol=0.05)
    lengths = np.linalg.norm(first.fitted_mm[:, 1:] - first.fitted_mm[:, list(tree.parents[1:])], axis=-1)
    assert lengths.std(axis=0).max() < 1e-3
    residual = np.linalg.norm(first.free_mm - first.fitted_mm, axis=-1)
    assert 5 < residual.mean() < 25


def test_lengths_are_medians_that_count_by_certainty():
    tree, times, joints = walker()
    knee, ankle = (tree.joint_names.index(n) for n in ("lkne", "lank"))
    length = np.linalg.norm(joints[0, ankle] - joints[0, knee])
    bad = joints.copy()
    bad[:30, ankle] += (
        joints[:30, ankle] - joints[:30, knee]
    )  # most frames have it twice as long, with little certainty
    uncertainty = np.zeros(joints.shape[:2])
    uncertainty[:30, ankle] = 200
    assert np.linalg.norm(fitted(tree, times, bad, uncertainty).offsets_mm[ankle]) == pytest.approx(length, abs=0.1)
    assert np.linalg.norm(fitted(tree, times, bad).offsets_mm[ankle]) == pytest.approx(2 * length, rel=0.01)
    assert fit.weighted_median(np.array([3.0, 1, 2]), np.array([1.0, 1, 1])) == 2


def test_gaps_are_interpolated_and_ends_held():
    tree, times, joints = walker()
    lost = joints.copy()
    lost[10:13] = np.nan
    lost[:2, 3] = np.nan
    motion = fitted(tree, times, lost)
    assert motion.observed.tolist() == [i not in (10, 11, 12) for i in range(40)]
    np.testing.assert_allclose(motion.free_mm[11], (joints[9] + joints[13]) / 2, rtol=1e-6)
    np.testing.assert_allclose(motion.free_mm[0, 3], joints[2, 3], rtol=1e-6)
    assert np.abs(motion.fitted_mm[10:13] - joints[10:13]).max() < 15


def test_one_frame():
    tree, times, joints = walker(1)
    motion = fitted(tree, times, joints)
    np.testing.assert_allclose(motion.fitted_mm, joints, atol=1.0)
    assert fit.even_times(motion)[1] is motion


def test_uneven_times_are_made_even():
    tree, times, joints = walker()
    motion = fitted(tree, times, joints)
    kept = np.array([i for i in range(40) if i not in (7, 20, 21)])
    uneven = fit.fit_motion(tree, 1, kept, times[kept], joints[kept], np.zeros((len(kept), joints.shape[1])))
    even, filled = fit.even_times(uneven)
    np.testing.assert_allclose(even, times, atol=1e-9)
    np.testing.assert_allclose(filled.fitted_mm, motion.fitted_mm, atol=8)
    np.testing.assert_allclose(filled.fitted_mm[kept], uneven.fitted_mm, atol=0.01)
    jittered = dataclasses.replace(motion, times_s=times + 0.0005 * np.sin(np.arange(40)))
    assert fit.even_times(jittered)[1] is jittered  # milliseconds of a container


def test_rotations_of_sets_and_what_the_prior_decides():
    rng = np.random.default_rng(0)
    turns, eyes = Rotation.random(20, rng=1).as_matrix(), np.tile(np.eye(3), (20, 1, 1))
    points = rng.normal(0, 100, (4, 3))
    np.testing.assert_allclose(rotations_between(points, points @ np.swapaxes(turns, 1, 2), eyes), turns, atol=1e-2)
    line = points[:1]  # one point: the twist is that of the smallest turn
    found = rotations_between(line, line @ np.swapaxes(turns, 1, 2), eyes)
    unit = points[0] / np.linalg.norm(points[0])
    smallest = shortest_rotations(np.tile(unit, (20, 1)), turns @ unit)
    np.testing.assert_allclose(found, smallest, atol=0.02)
    np.testing.assert_allclose(np.linalg.det(found), 1)


def test_the_twist_of_a_bone_is_smooth_where_the_smallest_turn_leaps():
    rest, angle = np.array([0, -1.0, 0]), np.radians(np.linspace(100, 260, 60))  # over straight up, a little aside
    directions = np.stack([np.full(60, 0.02), -np.cos(angle), np.sin(angle)], axis=1)
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)

    def largest_step(rotations):
        steps = Rotation.from_matrix(np.swapaxes(rotations[:-1], 1, 2) @ rotations[1:])
        return np.degrees(steps.magnitude()).max()

    smooth = bone_rotations(rest, directions, np.arange(60) / 60)
    np.testing.assert_allclose(smooth @ rest, directions, atol=1e-6)
    assert largest_step(shortest_rotations(np.tile(rest, (60, 1)), directions)) > 90
    assert largest_step(smooth) < 15
    opposite = shortest_rotations(rest[np.newaxis], -rest[np.newaxis])
    np.testing.assert_allclose(opposite[0] @ rest, -rest, atol=1e-12)
