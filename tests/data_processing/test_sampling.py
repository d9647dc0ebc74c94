import numpy as np

from data_processing.sampling import BufferedMotionSampler, MotionSampler


def poses(*x, joints=3):
    """Poses whose first joint is at x and whose others stay; NaN makes that joint missing."""
    result = np.zeros((len(x), joints, 3))
    result[:, 0, 0] = x
    return result


def kept(sampler, sequence):
    return [i for i, pose in enumerate(sequence) if sampler.keep(pose)]


def test_a_pose_is_kept_once_a_joint_has_moved_far_enough_from_the_last_kept_one():
    assert kept(MotionSampler(100), poses(0, 60, 99, 100, 150, 199, 210, 0)) == [0, 3, 6, 7]


def test_missing_joints_count_as_motion_unless_told_otherwise():
    sequence = poses(0, np.nan, 50, 60)
    assert kept(MotionSampler(100), sequence) == [0, 1, 2]
    assert kept(MotionSampler(100, nan_is_motion=False), sequence) == [0]


def test_with_validity_a_joint_that_appears_is_motion_and_one_that_vanishes_is_not():
    sampler = MotionSampler(100, check_validity=True)
    assert kept(sampler, poses(np.nan, np.nan, 5, np.nan, 50, 200)) == [0, 2, 5]


def test_the_first_pose_needs_a_label():
    sequence = np.full((3, 2, 3), np.nan)
    sequence[2] = 0
    assert kept(MotionSampler(100), sequence) == [2]
    assert kept(BufferedMotionSampler(100, 5), sequence) == [2]


def test_several_joints_may_be_required():
    sequence = np.zeros((3, 4, 3))
    sequence[1, :2] = 500
    sequence[2, :3] = 500
    assert kept(MotionSampler(100, min_joints=3), sequence) == [0, 2]


def test_the_buffer_refuses_poses_seen_before_and_forgets_the_oldest():
    assert kept(MotionSampler(100), poses(0, 200, 0, 200)) == [0, 1, 2, 3]
    assert kept(BufferedMotionSampler(100, 10), poses(0, 200, 0, 200, 400)) == [0, 1, 4]
    assert kept(BufferedMotionSampler(100, 2), poses(0, 200, 400, 0, 200)) == [0, 1, 2, 3, 4]


def test_a_kept_pose_passes_on_what_its_successor_lacks():
    first, second, third = poses(0, np.nan, 0)
    second[1, 1] = 300  # kept for its second joint; the first joint's value is inherited
    third[1, 1] = 300
    assert kept(BufferedMotionSampler(100, 10), np.array([first, second, third])) == [0, 1]


def test_with_validity_the_buffer_keeps_what_no_kept_pose_has():
    sequence = poses(np.nan, 0, 10)
    assert kept(BufferedMotionSampler(100, 10, check_validity=True), sequence) == [0, 1]


def test_the_buffer_grows_to_its_size():
    sequence = poses(*(200.0 * i for i in range(40)))
    assert kept(BufferedMotionSampler(100, 32), sequence) == list(range(40))
    assert kept(BufferedMotionSampler(100, 64), np.concatenate([sequence, sequence])) == list(range(40))
