"""Poses: rotations, mirroring, heading, held-out frames."""

import numpy as np
import pytest

from data_processing.synthetic import body, joints, poses
from data_processing.synthetic.motions import ALL, DAILY, PROCEDURAL, Motions


def sample(seed, motions=ALL, held_out=False):
    return poses.sample_pose(np.random.default_rng(seed), motions, held_out=held_out)


def test_poses_are_rotations():
    for seed in range(30):
        pose, _ = sample(seed)
        np.testing.assert_allclose(pose @ np.swapaxes(pose, 1, 2), np.tile(np.eye(3), (13, 1, 1)), atol=1e-5)
        assert (np.linalg.det(pose) > 0.99).all()


def test_global_and_local_are_inverses():
    pose, _ = sample(3)
    np.testing.assert_allclose(poses.to_global(poses.to_local(pose)), pose, atol=1e-5)


def test_mirroring_twice_changes_nothing():
    pose, _ = sample(4)
    np.testing.assert_array_equal(poses.mirrored(poses.mirrored(pose)), pose)


def test_the_mirrored_pose_moves_the_joints_to_the_mirror_image():
    model, regressor = body.load_body(), joints.all_joints()
    person = model.shaped(np.zeros(24))
    pose, _ = sample(5)
    points = regressor(*model.posed(*person, pose))
    mirrored = regressor(*model.posed(*person, poses.mirrored(pose)))
    expected = points[regressor.skeleton.mirror] * (-1, 1, 1)
    # The mean body is symmetric to 2 mm.
    assert np.abs(mirrored - expected).max() < 5


def test_poses_face_the_front():
    for seed in range(20):
        pose, _ = sample(seed, DAILY)
        forward = -pose[0][:, 1]
        if np.hypot(*forward[:2]) > 0.3:
            assert forward[1] < 0 and abs(forward[0]) < 1e-5


def test_held_out_frames_are_never_drawn_for_training():
    drawn = {}
    for held_out in (False, True):
        rng = np.random.default_rng(0)
        frames = [poses._clip_frame(rng, "walk", held_out) for _ in range(200)]
        drawn[held_out] = {f.tobytes() for f in frames}
    assert not drawn[False] & drawn[True]


@pytest.mark.parametrize("kind", PROCEDURAL)
def test_procedural_poses_are_upright_and_varied(kind):
    model, regressor = body.load_body(), joints.all_joints()
    person = model.shaped(np.zeros(24))
    head, pelvis = regressor.skeleton.indices(["head_smpl", "pelv_smpl"])
    heights, shapes = [], []
    for seed in range(12):
        pose, source = sample(seed, Motions(((kind, 1.0),)))
        assert source == kind
        points = regressor(*model.posed(*person, pose))
        heights.append(points[head, 2] - points[pelvis, 2])
        shapes.append(points - points[pelvis])
    assert np.median(heights) > (150 if kind == "bend" else 350)
    spread = np.std(shapes, axis=0).mean()
    assert spread > 40  # mm


def test_seated_people_have_their_knees_in_front_and_below_the_hips_or_level():
    model, regressor = body.load_body(), joints.all_joints()
    person = model.shaped(np.zeros(24))
    knees = regressor.skeleton.indices(["lkne_smpl", "rkne_smpl"])
    hips = regressor.skeleton.indices(["lhip_smpl", "rhip_smpl"])
    for seed in range(10):
        points = regressor(*model.posed(*person, sample(seed, Motions((("sit", 1.0),), jitter=0.5))[0]))
        assert (points[knees, 1] < points[hips, 1] - 200).all()  # -y is forward
        assert (points[knees, 2] < points[hips, 2] + 200).all()
