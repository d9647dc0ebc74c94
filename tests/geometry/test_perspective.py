"""Projection and absolute reconstruction against the reference, OpenCV, exact geometry and invariants."""

import cv2
import numpy as np
import pytest
import tensorflow as tf
from scipy.spatial.transform import Rotation

from metrabs_acae.geometry import perspective
from metrabs_acae.geometry.perspective import (
    back_project,
    is_within_fov,
    normalize,
    project,
    reconstruct_absolute,
    reference_point_full,
    reference_point_weak,
)
from metrabs_acae.geometry.points import masked_mean
from tests.golden import golden

CROP = {"image_size": 256, "stride": 32, "centered_stride": True}
MIXES = {"none": 0, "half": 0.5, "zero": 0.0, "one": 1.0, "rand": None}


@pytest.fixture(scope="module")
def arrays():
    return golden("g1_reconstruct")


def camera(n, focal=700.0, seed=0):
    rng = np.random.default_rng(seed)
    intrinsics = np.tile(np.diag([focal, focal, 1.0]), (n, 1, 1))
    intrinsics[:, 0, 0] *= rng.uniform(0.9, 1.1, n)
    intrinsics[:, 0, 1] = rng.uniform(-5, 5, n)
    intrinsics[:, :2, 2] = 127.5 + rng.uniform(-3, 3, (n, 2))
    return intrinsics


def scene(n=4, n_joints=19, seed=0):
    """Poses that fill the middle of the crop, all joints in view: (absolute [N, J, 3], intrinsics), float64."""
    rng = np.random.default_rng(seed)
    poses = rng.uniform(-350, 350, (n, n_joints, 3)) + [0, 0, 3500.0]
    return poses, camera(n, seed=seed)


def perfect_heads(poses, intrinsics, origin=(900.0, 1000.0, -1100.0)):
    return np.asarray(project(poses, intrinsics)), poses - poses[:, :1] + np.asarray(origin)


# ---- agreement with the reference ----


def test_fov_masks_agree_with_the_reference(arrays):
    coords = arrays["coords2d"]
    for key, settings in {
        "is_within_fov": CROP,
        "is_within_fov_border_m20": CROP | {"border_factor": -20},
        "is_within_fov_notcentered": CROP | {"centered_stride": False},
        "is_within_fov_384": CROP | {"image_size": 384},
    }.items():
        np.testing.assert_array_equal(is_within_fov(coords, **settings), arrays[key])


def test_projections_agree_with_the_reference(arrays):
    intrinsics = arrays["intrinsics"]
    normalized = normalize(arrays["coords2d"], intrinsics)
    np.testing.assert_allclose(normalized, arrays["normalized2d"], atol=1e-6)
    depth = arrays["coords3d_rel"][..., 2] + arrays["ref_fullpersp"][:, None, 2]
    np.testing.assert_allclose(back_project(normalized, depth), arrays["back_project"], rtol=1e-5, atol=1e-2)
    np.testing.assert_allclose(project(arrays["project_pose_in"], intrinsics), arrays["project_pose"], rtol=1e-5)


def test_reference_points_agree_with_the_reference_run_one_example_at_a_time(arrays):
    args = arrays["coords3d_rel"], normalize(arrays["coords2d"], arrays["intrinsics"]), arrays["is_within_fov"]
    np.testing.assert_allclose(reference_point_full(*args), arrays["ref_fullpersp_single"], atol=0.05)
    np.testing.assert_allclose(reference_point_weak(*args), arrays["ref_weakpersp_single"], atol=0.05)
    np.testing.assert_allclose(reference_point_weak(*args), arrays["ref_weakpersp"], atol=0.05)


@pytest.mark.parametrize("mix", MIXES)
def test_absolute_poses_agree_with_the_reference(arrays, mix, monkeypatch):
    def ours(weak):
        return reconstruct_absolute(
            arrays["coords2d"],
            arrays["coords3d_rel"],
            arrays["intrinsics"],
            **CROP,
            mix_3d_inside_fov=arrays["mix_random"][:, 0, 0] if mix == "rand" else MIXES[mix],
            weak_perspective=weak,
        )

    np.testing.assert_allclose(ours(True), arrays[f"abs_weak_mix_{mix}"], atol=0.05)
    monkeypatch.setattr(perspective, "_rms", rms_over_the_batch)
    np.testing.assert_allclose(ours(False), arrays[f"abs_full_mix_{mix}"], atol=0.05)


def test_all_joints_out_of_view_agrees_with_the_reference(arrays, monkeypatch):
    monkeypatch.setattr(perspective, "_rms", rms_over_the_batch)
    args = arrays["coords2d_alloutside"], arrays["coords3d_rel"], arrays["intrinsics"]
    np.testing.assert_allclose(reconstruct_absolute(*args, **CROP), arrays["abs_full_alloutside"], rtol=1e-4, atol=0.05)


def test_masked_means_agree_with_the_reference(arrays):
    poses, mask = arrays["poses3d_true"], arrays["center_mask"][..., None]
    mean = masked_mean(poses, mask, axis=1, keepdims=True)
    np.testing.assert_allclose(mean, arrays["mean_masked"], rtol=1e-5)
    np.testing.assert_allclose(poses - mean, arrays["centered_mean_masked"], atol=0.01)
    np.testing.assert_allclose(masked_mean(poses, mask), arrays["reduce_mean_masked_all"], rtol=1e-5)


def rms_over_the_batch(x):
    """The reference scales its least squares by one number for the whole batch; ours by one per example."""
    return tf.ones_like(x[:, :1, :1]) * tf.sqrt(tf.reduce_mean(tf.square(x)))


def test_the_deviation_from_batch_wide_scaling_is_small(arrays):
    """States the size of the one deliberate deviation (docs/deviations.md) on this batch of extreme poses."""
    ours = reconstruct_absolute(arrays["coords2d"], arrays["coords3d_rel"], arrays["intrinsics"], **CROP)
    difference = np.abs(ours - arrays["abs_full_mix_half"])
    assert np.mean(difference) < 2.5 and np.max(difference) < 17


# ---- agreement with other sources ----


def test_projection_agrees_with_opencv():
    poses, intrinsics = scene()
    intrinsics[:, 0, 1] = 0  # OpenCV knows no skew
    for pose, k, ours in zip(poses, intrinsics, np.asarray(project(poses, intrinsics)), strict=True):
        theirs, _ = cv2.projectPoints(pose, np.zeros(3), np.zeros(3), k, None)
        np.testing.assert_allclose(ours, theirs[:, 0], rtol=1e-10)
        rays = cv2.undistortPoints(ours[:, None], k, None)[:, 0]
        np.testing.assert_allclose(normalize(ours[None], k[None])[0], rays, atol=1e-7)


def test_back_projection_inverts_projection():
    poses, intrinsics = scene()
    normalized = normalize(project(poses, intrinsics), intrinsics)
    np.testing.assert_allclose(back_project(normalized, poses[..., 2]), poses, rtol=1e-12)


def test_the_solve_is_the_ridge_regression_it_claims_to_be(arrays):
    """The eliminated closed form against a dense least-squares solver, in float64."""
    rel = arrays["coords3d_rel"].astype(np.float64)
    normalized = np.asarray(normalize(arrays["coords2d"].astype(np.float64), arrays["intrinsics"]))
    inside = arrays["is_within_fov"]
    ours = np.asarray(reference_point_full(rel, normalized, inside))
    for r, n, mask, point in zip(rel, normalized, inside, ours, strict=True):
        rhs = (n * r[:, 2:] - r[:, :2]).reshape(-1)
        matrix = np.concatenate([np.tile(np.eye(2), (len(r), 1)), -n.reshape(-1, 1)], axis=1)
        n_rms, rhs_rms = np.sqrt(np.mean(n**2)), np.sqrt(np.mean(rhs**2))
        weight = np.repeat(mask + 1e-4, 2)
        a = np.concatenate([matrix / [1, 1, n_rms] * weight[:, None], 0.1 * np.eye(3)])
        b = np.concatenate([rhs / rhs_rms * weight, np.zeros(3)])
        solution = np.linalg.lstsq(a, b, rcond=None)[0] * rhs_rms / [1, 1, n_rms]
        np.testing.assert_allclose(point, solution, rtol=1e-8)


def test_perfect_heads_give_the_true_pose():
    poses, intrinsics = scene()
    heads = perfect_heads(poses, intrinsics)
    exact = reconstruct_absolute(*heads, intrinsics, **CROP, ridge=0.0)
    np.testing.assert_allclose(exact, poses, atol=1e-6)
    near = reconstruct_absolute(*heads, intrinsics, **CROP)
    assert np.abs(near - poses).max() < 15  # what the ridge costs
    weak = reconstruct_absolute(*heads, intrinsics, **CROP, weak_perspective=True)
    assert np.abs(weak - poses).max() < 300  # weak perspective is approximate


def test_float32_loses_little_against_float64(arrays):
    """Values and gradients of the full-perspective solve: the tolerance the project promises, 5e-4."""
    results = {}
    for dtype in (tf.float32, tf.float64):
        inputs = [tf.cast(arrays[k], dtype) for k in ("coords2d", "coords3d_rel", "intrinsics")]
        with tf.GradientTape() as tape:
            tape.watch(inputs[:2])
            out = reconstruct_absolute(*inputs, **CROP)
            loss = tf.reduce_sum(tf.sin(out / 300))
        results[dtype] = [out, *tape.gradient(loss, inputs[:2])]
    for single, double in zip(results[tf.float32], results[tf.float64], strict=True):
        np.testing.assert_allclose(single, double, atol=5e-4 * np.abs(double).max())


# ---- invariants, float64 ----


@pytest.mark.parametrize("weak", [False, True])
def test_rolling_the_camera_rolls_the_result(weak):
    """Exact with the ridge and with imperfect heads, as everything in the solve is isotropic in x and y."""
    poses, intrinsics = scene()
    intrinsics[:, 0, 0], intrinsics[:, 0, 1] = intrinsics[:, 1, 1], 0
    noise = np.random.default_rng(1).normal(size=poses.shape)
    coords2d, rel = perfect_heads(poses, intrinsics)
    coords2d, rel = coords2d + noise[..., :2], rel + 20 * noise
    roll = Rotation.from_euler("z", 0.4).as_matrix()
    center = intrinsics[:, None, :2, 2]
    rolled2d = (coords2d - center) @ roll[:2, :2].T + center
    base = reconstruct_absolute(coords2d, rel, intrinsics, **CROP, weak_perspective=weak)
    rolled = reconstruct_absolute(rolled2d, rel @ roll.T, intrinsics, **CROP, weak_perspective=weak)
    np.testing.assert_allclose(rolled, base @ roll.T, atol=1e-7)


def test_turning_the_camera_turns_the_result():
    poses, intrinsics = scene()
    turn = Rotation.from_euler("xyz", [0.03, -0.04, 0.7]).as_matrix()
    turned = poses @ turn.T
    results = [
        np.asarray(reconstruct_absolute(*perfect_heads(p, intrinsics), intrinsics, **CROP, ridge=0.0))
        for p in (poses, turned)
    ]
    np.testing.assert_allclose(results[1], results[0] @ turn.T, atol=1e-6)


@pytest.mark.parametrize("weak", [False, True])
def test_mirroring_mirrors(weak):
    """The centred cells 16, 48, ..., 240 of a 256 px crop mirror about pixel 128."""
    poses, intrinsics = scene()
    noise = np.random.default_rng(1).normal(size=poses.shape)
    coords2d, rel = perfect_heads(poses, intrinsics)
    coords2d, rel = coords2d + noise[..., :2], rel + 20 * noise
    flip = np.array([-1.0, 1, 1])
    mirrored_k = intrinsics.copy()
    mirrored_k[:, 0, 1] *= -1
    mirrored_k[:, 0, 2] = 256 - intrinsics[:, 0, 2]
    mirrored2d = np.stack([256 - coords2d[..., 0], coords2d[..., 1]], axis=-1)
    base = reconstruct_absolute(coords2d, rel, intrinsics, **CROP, weak_perspective=weak)
    mirrored = reconstruct_absolute(mirrored2d, rel * flip, mirrored_k, **CROP, weak_perspective=weak)
    np.testing.assert_allclose(mirrored, base * flip, atol=1e-7)


@pytest.mark.parametrize("settings", [{"ridge": 0.0}, {"weak_perspective": True}])
def test_the_origin_of_the_3d_head_does_not_matter(arrays, settings):
    coords2d, rel, k = (arrays[key].astype(np.float64) for key in ("coords2d", "coords3d_rel", "intrinsics"))
    base = reconstruct_absolute(coords2d, rel, k, **CROP, **settings)
    shifted = reconstruct_absolute(coords2d, rel + [500.0, -300, 400], k, **CROP, **settings)
    np.testing.assert_allclose(shifted, base, atol=1e-6)


@pytest.mark.parametrize("weak", [False, True])
def test_scaling_pixels_and_intrinsics_together_changes_nothing(arrays, weak):
    coords2d, rel, k = (arrays[key].astype(np.float64) for key in ("coords2d", "coords3d_rel", "intrinsics"))
    base = reconstruct_absolute(coords2d, rel, k, **CROP, weak_perspective=weak)
    doubled_crop = {"image_size": 512, "stride": 64, "centered_stride": True}
    doubled = reconstruct_absolute(2 * coords2d, rel, k * [[2], [2], [1]], **doubled_crop, weak_perspective=weak)
    np.testing.assert_allclose(doubled, base, atol=1e-6)


def test_examples_do_not_influence_each_other(arrays):
    args = [arrays[key] for key in ("coords2d", "coords3d_rel", "intrinsics")]
    together = np.asarray(reconstruct_absolute(*args, **CROP))
    for i in range(len(together)):
        alone = reconstruct_absolute(*(a[i : i + 1] for a in args), **CROP)
        np.testing.assert_allclose(alone[0], together[i], rtol=1e-5, atol=0.01)


# ---- degenerate input ----


def degenerate_cases():
    poses, intrinsics = scene(n=2)
    coords2d, rel = perfect_heads(poses, intrinsics)
    center = np.broadcast_to(intrinsics[:, None, :2, 2], coords2d.shape)
    yield "all joints out of view", coords2d + 1000, rel
    yield "one joint", coords2d[:, :1], rel[:, :1]
    yield "one joint in view", np.where(np.arange(19)[:, None] < 1, coords2d, 5000), rel
    yield "coincident 2D points", np.full_like(coords2d, 100), rel
    yield "coincident 3D points", coords2d, np.zeros_like(rel)
    yield "everything coincident at the principal point", center, np.zeros_like(rel)
    yield "collinear (rank-deficient)", center + np.linspace(-1, 1, 19)[:, None] * [50, 0], rel * [1, 0, 0]
    yield "upside down (a solution behind the camera)", 255 - coords2d, rel


@pytest.mark.parametrize("case", list(degenerate_cases()), ids=lambda case: case[0])
@pytest.mark.parametrize("weak", [False, True, "tensor"])
def test_degenerate_input_gives_finite_values_and_gradients(case, weak):
    _, coords2d, rel = case
    intrinsics = tf.constant(camera(2), tf.float32)
    inputs = [tf.constant(coords2d, tf.float32), tf.constant(rel, tf.float32)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        flag = tf.constant(False) if weak == "tensor" else weak
        out = reconstruct_absolute(*inputs, intrinsics, **CROP, weak_perspective=flag)
        loss = tf.reduce_sum(tf.abs(project(out, intrinsics))) + tf.reduce_sum(tf.abs(out))
    for value in (out, *tape.gradient(loss, inputs)):
        assert np.isfinite(value).all()


def test_points_behind_the_camera_project_finitely():
    points = tf.constant([[[1.0, 2, -3], [1, 2, 0], [0, 0, 0], [5, 5, 0.5]]])
    intrinsics = tf.constant(camera(1), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(points)
        px = project(points, intrinsics)
    assert np.isfinite(px).all() and np.isfinite(tape.gradient(px, points)).all()


def test_the_mixing_share_may_differ_per_example():
    poses, intrinsics = scene()
    noisy = np.asarray(project(poses, intrinsics)) + np.random.default_rng(0).normal(size=(4, 19, 2)) * 3
    rel = poses - poses[:, :1]
    share = np.array([0.0, 0.3, 0.6, 1.0])
    together = np.asarray(reconstruct_absolute(noisy, rel, intrinsics, **CROP, mix_3d_inside_fov=share))
    for i, one in enumerate(share):
        alone = reconstruct_absolute(noisy, rel, intrinsics, **CROP, mix_3d_inside_fov=float(one))
        np.testing.assert_allclose(together[i], alone[i])
    normalized = normalize(noisy[:1], intrinsics[:1])
    np.testing.assert_allclose(  # share 0: inside the view the 2D head decides alone
        together[:1, :, :2] / together[:1, :, 2:], normalized, rtol=1e-10
    )


@pytest.mark.parametrize("centered, low, high", [(True, 24, 232), (False, 8, 216)])
def test_the_border_of_the_field_of_view_is_three_quarters_of_a_stride(centered, low, high):
    inside = np.array([[[low, low], [high, high], [low, high]]], np.float64)
    settings = {"image_size": 256, "stride": 32, "centered_stride": centered}
    assert np.asarray(is_within_fov(inside, **settings)).all()
    for beyond in ([-0.1, 0], [0, -0.1], [high - low + 0.1, 0], [0, high - low + 0.1]):
        assert not np.asarray(is_within_fov(inside[:, :1] + beyond, **settings)).any()
