"""Pose losses against the reference, plain NumPy, and their gates and masks."""

import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.heatmaps import CropGrid
from metrabs_acae.models.gates import Gates, gates_for
from metrabs_acae.models.losses import (
    LossWeights,
    joint_group_matrix,
    manifold_loss,
    pose_loss_2d,
    pose_loss_3d,
    pose_terms_3d,
    term_weights,
    training_loss,
)
from metrabs_acae.skeletons import prefix_groups
from tests.golden import golden

GRID = CropGrid()
VARIANTS = {"separate": "plain", "regularize": "manifold", "latent": "transform", "hybrid": "hybrid"}
# Our term names and the reference's, where the two differ by more than the variant.
TERMS = {
    "separate": {"pose_3d": "3dbatch", "pose_2d": "2dbatch"},
    "regularize": {
        "pose_3d": "3dbatch",
        "pose_2d": "2dbatch",
        "manifold_3d": "pred_vs_reconstr",
        "manifold_2d": "pred_vs_reconstr_2dbatch",
    },
    "latent": {"decoded_3d": "3dbatch", "decoded_2d": "2dbatch"},
    "hybrid": {
        "pose_3d": "allhead_vs_gt",
        "decoded_3d": "latentheadreconstruction_vs_gt",
        "manifold_3d": "allhead_vs_reconstr",
        "autoencoded_3d": "allhead_ae_vs_gt",
        "teacher_3d": "latenthead_vs_latents_from_allhead",
        "pose_2d": "allhead_vs_gt_2dbatch",
        "decoded_2d": "latentheadreconstruction_vs_gt_2dbatch",
        "manifold_2d": "allhead_vs_reconstr_2dbatch",
        "autoencoded_2d": "allhead_ae_vs_gt_2dbatch",
        "teacher_2d": "latenthead_vs_latents_from_allhead_2dbatch",
    },
}


@pytest.fixture(scope="module")
def arrays():
    return golden("g1_losses")


@pytest.fixture(scope="module")
def groups(arrays):
    return joint_group_matrix(prefix_groups(arrays["names2d"], arrays["names3d"]), 19)


def batch_of(arrays):
    return {
        "intrinsics": np.concatenate([arrays["intrinsics"], arrays["intrinsics_2d"]]),
        "coords3d_mm": arrays["coords3d_true_nan"],
        "valid3d": arrays["joint_validity_mask"],
        "coords2d_px": arrays["coords2d_true_2d"],
        "valid2d": arrays["joint_validity_mask_2d"],
    }


def points_of(arrays, variant):
    names = {"joints": "", "latents": "_latenthead"}
    wanted = {"latent": ["latents"], "hybrid": ["latents", "joints"]}.get(variant, ["joints"])
    return {
        name: tf.concat([arrays[f"coords3d_pred_abs{half}{names[name]}"] for half in ("", "2d")], axis=0)
        for name in wanted
    }


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("step", [0, 5000, 5001])
def test_every_term_and_the_total_agree_with_the_reference(arrays, groups, variant, step):
    gates = Gates()
    total, terms = training_loss(
        variant,
        points_of(arrays, variant),
        batch_of(arrays),
        grid=GRID,
        encoder=arrays["w1"],
        decoder=arrays["w2"],
        joint_groups_2d=groups,
        absolute_gate=gates.absolute_loss(step),
        teacher_gate=gates.teacher_loss(step),
    )
    prefix = f"{VARIANTS[variant]}_step{step}_loss"
    np.testing.assert_allclose(total, arrays[prefix], rtol=1e-5)
    assert set(terms) == set(TERMS[variant])
    assert set(terms) == {f"{name}_{half}" for half in ("3d", "2d") for name in term_weights(variant, half=half)}
    for ours, theirs in TERMS[variant].items():
        np.testing.assert_allclose(terms[ours], arrays[f"{prefix}_{theirs}"], rtol=1e-5, err_msg=ours)


@pytest.mark.parametrize("variant", VARIANTS)
def test_gradients_agree_with_the_reference(arrays, groups, variant):
    points = points_of(arrays, variant)
    with tf.GradientTape() as tape:
        tape.watch(points)
        total, _ = training_loss(
            variant,
            points,
            batch_of(arrays),
            grid=GRID,
            encoder=arrays["w1"],
            decoder=arrays["w2"],
            joint_groups_2d=groups,
        )
    suffix = {"joints": "", "latents": "_latenthead"}
    for name, gradient in tape.gradient(total, points).items():
        keys = [f"{VARIANTS[variant]}_step5001_grad_coords3d_pred_abs{half}{suffix[name]}" for half in ("", "2d")]
        theirs = np.concatenate([arrays[key] for key in keys])
        np.testing.assert_allclose(gradient, theirs, atol=1e-5 * np.abs(theirs).max())


def test_single_losses_agree_with_the_reference(arrays, groups):
    pred, true, k = arrays["coords3d_pred_abs"], arrays["coords3d_true_full"], arrays["intrinsics"]
    valid = arrays["joint_validity_mask"]
    loss = pose_loss_3d(pred, true, k, valid, grid=GRID, absolute_weight=0.0)
    np.testing.assert_allclose(loss, arrays["loss3d_noabs"], rtol=1e-5)
    loss = pose_loss_3d(pred, true, k, np.ones_like(valid), grid=GRID, absolute_weight=0.0)
    np.testing.assert_allclose(loss, arrays["loss3d_noabs_nomask"], rtol=1e-5)
    loss = pose_loss_2d(
        arrays["coords3d_pred_abs2d"],
        arrays["coords2d_true_2d"],
        arrays["intrinsics_2d"],
        arrays["joint_validity_mask_2d"],
        joint_groups=groups,
        grid=GRID,
    )
    np.testing.assert_allclose(loss, arrays["loss2d_only"], rtol=1e-5)


# ---- each term, by hand ----


def person(depth=4000.0, n_joints=4, n=2, seed=0):
    rng = np.random.default_rng(seed)
    poses = rng.uniform(-300, 300, (n, n_joints, 3)) + [0, 0, depth]
    intrinsics = np.tile(np.array([[600.0, 0, 127.5], [0, 600, 127.5], [0, 0, 1]]), (n, 1, 1))
    return poses, intrinsics, np.ones((n, n_joints), bool)


def test_all_terms_vanish_at_the_truth():
    poses, intrinsics, valid = person()
    for value in pose_terms_3d(tf.constant(poses), poses, intrinsics, valid, grid=GRID).values():
        assert float(value) == 0


def test_terms_of_a_shifted_pose():
    """10 mm sideways: no relative error; a third of 10 mm absolute; f dx / z pixels at 2200/256 mm each."""
    poses, intrinsics, valid = person()
    terms = pose_terms_3d(tf.constant(poses + [10.0, 0, 0]), poses, intrinsics, valid, grid=GRID)
    np.testing.assert_allclose(terms["relative"], 0, atol=1e-9)
    np.testing.assert_allclose(terms["absolute"], 10 / 3 / 1000, rtol=1e-9)
    px = np.mean(600 * 10 / poses[..., 2]) / 2
    np.testing.assert_allclose(terms["projection"], px * 2200 / 256 / 1000, rtol=1e-9)


def test_relative_term_centres_on_the_valid_joints():
    poses, intrinsics, valid = person()
    pred = poses + np.random.default_rng(1).normal(size=poses.shape) * 50
    valid[0, 1] = valid[1, 3] = False
    errors = []
    for p, t, v in zip(pred, poses, valid, strict=True):
        errors.extend(np.abs((p[v] - p[v].mean(0)) - (t[v] - t[v].mean(0))).ravel())
    poses[~valid] = np.nan
    terms = pose_terms_3d(tf.constant(pred), poses, intrinsics, valid, grid=GRID)
    np.testing.assert_allclose(terms["relative"], np.mean(errors) / 1000, rtol=1e-9)


@pytest.mark.parametrize("depth, factor", [(5000, 1), (10000, 1), (20000, 0.5), (40000, 0.25)])
def test_depth_errors_beyond_ten_metres_count_less(depth, factor):
    poses, intrinsics, valid = person()
    poses[..., 2] = depth
    terms = pose_terms_3d(tf.constant(poses + [0, 0, 60.0]), poses, intrinsics, valid, grid=GRID)
    np.testing.assert_allclose(terms["absolute"], 60 / 3 / 1000 * factor, rtol=1e-9)


@pytest.mark.parametrize("depth", [299.0, -4000.0, 0.0])
def test_truth_nearer_than_30_cm_gives_no_absolute_and_no_projection_term(depth):
    poses, intrinsics, valid = person()
    poses[..., 2] = depth
    terms = pose_terms_3d(tf.constant(poses + 30.0), poses, intrinsics, valid, grid=GRID)
    assert float(terms["absolute"]) == 0 and float(terms["projection"]) == 0


def test_projection_term_leaves_out_what_is_out_of_view():
    poses, intrinsics, valid = person(n_joints=1, n=5)
    poses[:] = [0, 0, 4000]
    pred = poses + [20.0, 0, 0]
    pred[1, 0, 0] = 800  # predicted outside the crop
    poses[2, 0, 0] = 6000  # truth far outside (900 px)
    poses[3, 0, 0] = 4000  # truth outside, but near (600 px): counts
    pred[4] = [0, 0, -100]  # predicted behind the camera
    terms = pose_terms_3d(tf.constant(pred), poses, intrinsics, valid, grid=GRID)
    counted = [600 * 20 / 4000 / 2, 600 * 3980 / 4000 / 2]
    np.testing.assert_allclose(terms["projection"], np.mean(counted) * 2200 / 256 / 1000, rtol=1e-9)


def test_2d_loss_averages_the_projections_of_like_named_joints():
    poses, intrinsics, _ = person(n_joints=3)
    groups = joint_group_matrix([[0, 2], [1]], 3)
    k = intrinsics[0]
    px = poses @ k.T
    px = px[..., :2] / px[..., 2:]
    expected = np.stack([(px[:, 0] + px[:, 2]) / 2, px[:, 1]], axis=1)
    valid = np.array([[True, True], [True, False]])
    labels = expected + 5.0
    labels[1, 1] = np.nan
    loss = pose_loss_2d(tf.constant(poses), labels, intrinsics, valid, joint_groups=groups, grid=GRID)
    np.testing.assert_allclose(loss, 5 * 2200 / 256 / 1000, rtol=1e-6)


def test_prefix_groups_make_an_averaging_matrix():
    names3d = ["lank_a", "rank_a", "lank_b", "lankm"]
    matrix = joint_group_matrix(prefix_groups(["lank", "rank"], names3d), 4)
    np.testing.assert_allclose(matrix, [[1 / 3, 0], [0, 1], [1 / 3, 0], [1 / 3, 0]])
    with pytest.raises(UserError, match="starts with 2D joint nose"):
        joint_group_matrix(prefix_groups(["nose"], names3d), 4, names=["nose"])


def test_the_manifold_loss_is_in_metres():
    points = np.zeros((2, 3, 3), np.float32)
    np.testing.assert_allclose(manifold_loss(points + 20, points), 0.02, rtol=1e-6)


# ---- empty and broken input ----


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("empty", ["nothing valid", "no 2D examples", "no 3D examples"])
def test_empty_masks_and_halves_give_finite_losses_and_gradients(arrays, groups, variant, empty):
    batch, points = batch_of(arrays), points_of(arrays, variant)
    if empty == "nothing valid":
        batch["valid3d"] = np.zeros_like(batch["valid3d"])
        batch["valid2d"] = np.zeros_like(batch["valid2d"])
    else:
        half = "2d" if empty == "no 2D examples" else "3d"
        keep = slice(0, 5) if half == "2d" else slice(5, 9)
        for key in [k for k in batch if half in k]:
            batch[key] = batch[key][:0]
        batch["intrinsics"] = batch["intrinsics"][keep]
        points = {k: v[keep] for k, v in points.items()}
    with tf.GradientTape() as tape:
        tape.watch(points)
        total, terms = training_loss(
            variant,
            points,
            batch,
            grid=GRID,
            encoder=arrays["w1"],
            decoder=arrays["w2"],
            joint_groups_2d=groups,
        )
    for value in (*terms.values(), *tape.gradient(total, points).values()):
        assert np.isfinite(value).all()
    if empty == "nothing valid":
        supervised = [v for k, v in terms.items() if k.split("_")[0] in ("pose", "decoded", "autoencoded")]
        np.testing.assert_array_equal(supervised, 0)  # NaN in the reference
    else:
        np.testing.assert_array_equal([v for k, v in terms.items() if k.endswith(half)], 0)


def test_without_groups_the_2d_half_is_left_out(arrays):
    total, terms = training_loss("separate", points_of(arrays, "separate"), batch_of(arrays), grid=GRID)
    assert set(terms) == {"pose_3d"}
    np.testing.assert_allclose(total, arrays["plain_step5001_loss_3dbatch"], rtol=1e-5)


def test_shape_errors_name_the_argument():
    poses, intrinsics, valid = person()
    with pytest.raises(UserError, match=r"true_mm has shape \[2, 3, 3\], expected \[\*, 4, 3\]"):
        pose_loss_3d(poses, poses[:, :3], intrinsics, valid, grid=GRID)
    with pytest.raises(UserError, match=r"valid has shape \[2, 4, 1\]"):
        pose_loss_3d(poses, poses, intrinsics, valid[..., None], grid=GRID)
    with pytest.raises(UserError, match=r"pred_mm has shape \[2, 4, 3\], expected \[\*, 5, 3\]"):
        pose_loss_2d(poses, np.zeros((2, 1, 2)), intrinsics, valid, joint_groups=np.ones((5, 1)), grid=GRID)


# ---- weights and gates ----


def test_the_teacher_is_not_taught(arrays, groups):
    """With only the teacher loss on, the joints get a gradient exactly when the setting says so."""
    for stop in (True, False):
        points = points_of(arrays, "hybrid")
        with tf.GradientTape() as tape:
            tape.watch(points)
            _, terms = training_loss(
                "hybrid",
                points,
                batch_of(arrays),
                grid=GRID,
                encoder=arrays["w1"],
                decoder=arrays["w2"],
                joint_groups_2d=groups,
                weights=LossWeights(stop_gradient_teacher=stop),
            )
            loss = terms["teacher_3d"]
        gradients = tape.gradient(loss, points)
        assert (gradients["joints"] is None) == stop
        assert np.abs(gradients["latents"]).max() > 0


def test_the_regularize_variant_can_supervise_auto_encoded_joints(arrays, groups):
    def run(weights):
        return training_loss(
            "regularize",
            points_of(arrays, "regularize"),
            batch_of(arrays),
            grid=GRID,
            encoder=arrays["w1"],
            decoder=arrays["w2"],
            joint_groups_2d=groups,
            weights=weights,
        )

    base, terms = run(LossWeights())
    assert "autoencoded_3d" not in terms
    more, terms = run(LossWeights(autoencoded=0.5))
    added = 0.5 * (terms["autoencoded_3d"] + 0.2 * terms["autoencoded_2d"])
    np.testing.assert_allclose(more, base + added, rtol=1e-6)


def test_the_papers_gates():
    gates = Gates()
    assert [bool(gates.use_weak_perspective(s)) for s in (0, 499, 500)] == [True, True, False]
    assert [float(gates.absolute_loss(s)) for s in (0, 5000, 5001)] == [0, 0, 1]
    assert [float(gates.teacher_loss(tf.constant(s))) for s in (0, 5000, 5001)] == [0, 0, 1]


@pytest.mark.parametrize(
    "steps, expected",
    [(400_000, (500, 5000, 5000, 1000)), (40_000, (500, 5000, 5000, 1000)), (800, (10, 100, 100, 20))],
)
def test_short_runs_shorten_the_gates(steps, expected):
    gates = gates_for(steps)
    assert expected == (
        gates.weak_perspective_until,
        gates.absolute_loss_after,
        gates.teacher_loss_after,
        gates.inference_mode_steps,
    )
