"""Fitting: quality on a small part of the golden pose set, symmetry, constraints, bad input."""

import numpy as np
import pytest

from metrabs_acae.acae import fit_acae, initial
from metrabs_acae.acae.measure import asymmetry_mm, losses, reconstruction_errors, weight_statistics
from metrabs_acae.errors import UserError
from metrabs_acae.layers import blocks
from tests.golden import golden

QUICK = dict(steps=600, n_restarts=2, batch_size=32)


@pytest.fixture(scope="module")
def poses():
    """(150 poses to fit, 50 held-out ones, names of 117 joints of six conventions)."""
    arrays = golden("acae_poses")
    return arrays["poses"][:150], arrays["poses"][150:], [str(n) for n in arrays["joint_names"]]


@pytest.fixture(scope="module")
def fitted(poses):
    train, _, names = poses
    return {
        weights: fit_acae(train, names, n_latents=16, n_center_latents=4, weights=weights, **QUICK)
        for weights in ("nonnegative", "affine")
    }


def test_reconstructs_held_out_poses(poses, fitted):
    _, test, _ = poses
    # Fitted to 3,200 poses, the public reference reaches main losses of 16.4 to 17.7 mm with 16 signed latents.
    for weights, largest in (("affine", 0.0195), ("nonnegative", 0.0225)):
        measured = losses(fitted[weights], reconstruction_errors(fitted[weights], test), sparsity=0.6)
        assert measured["main"] < largest


def test_weights_are_affine_sparse_and_of_the_kind_asked_for(fitted):
    for weights, acae in fitted.items():
        for matrix in (acae.encoder, acae.decoder):
            np.testing.assert_allclose(matrix.sum(axis=0), 1, atol=1e-12)
        assert (acae.encoder.min() >= 0) == (weights == "nonnegative")
    # Projection leaves exact zeros without any threshold.
    assert (fitted["nonnegative"].encoder == 0).mean() > 0.8
    assert weight_statistics(fitted["affine"].encoder)["small_fraction"] > 0.6


def test_mirrored_poses_have_mirrored_latents(poses, fitted):
    for acae in fitted.values():
        assert asymmetry_mm(acae, poses[1]) < 1e-9


def test_without_chirality_weights_are_free(poses):
    train, _, names = poses
    acae = fit_acae(train, names, n_latents=16, chiral=False, **QUICK)
    assert {n[0] for n in acae.latent_names} == {"c"}
    joint_mirror = blocks.layout_of(names).mirror
    left = acae.encoder[[i for i, n in enumerate(names) if n[0] == "l"]]
    right = acae.encoder[joint_mirror[[i for i, n in enumerate(names) if n[0] == "l"]]]
    assert np.abs(left - right).max() > 0.5


def test_the_same_seed_gives_the_same_result_on_any_number_of_threads(poses):
    train, _, names = poses
    settings = dict(n_latents=8, n_center_latents=2, steps=60, n_restarts=3)
    first, second = (fit_acae(train, names, workers=w, **settings) for w in (1, 3))
    np.testing.assert_array_equal(first.encoder, second.encoder)
    other = fit_acae(train, names, seed=1, **settings)
    assert np.abs(first.encoder - other.encoder).max() > 1e-3


def test_joint_weights_shift_the_error(poses):
    train, test, names = poses
    heavy = [n for n in names if n.startswith(("nose", "leye", "reye", "lear", "rear"))]
    settings = dict(n_latents=8, n_center_latents=2, steps=400, n_restarts=2)
    plain = reconstruction_errors(fit_acae(train, names, **settings), test)
    weighted = reconstruction_errors(fit_acae(train, names, joint_weights=dict.fromkeys(heavy, 30.0), **settings), test)
    rows = [names.index(n) for n in heavy]
    assert weighted.joint_2d_mm[rows].mean() < 0.7 * plain.joint_2d_mm[rows].mean()


def test_the_3d_loss_has_the_smaller_3d_error(poses):
    train, test, names = poses
    settings = dict(n_latents=16, n_center_latents=4, steps=600, n_restarts=1)
    image, space = (
        reconstruction_errors(fit_acae(train, names, loss_space=s, **settings), test) for s in ("image", "3d")
    )
    assert space.joint_3d_mm.mean() < image.joint_3d_mm.mean()
    assert image.joint_2d_mm.mean() < space.joint_2d_mm.mean()


def test_greedy_choice_finds_the_points_that_the_others_are_made_of():
    rng = np.random.default_rng(0)
    points = rng.normal(0, 500, (200, 6, 3))  # left a, b; right a, b; centre c, d
    mixed = 0.5 * points[:, [0, 2]] + 0.5 * points[:, [1, 3]]
    middle = points[:, [4, 5]].mean(axis=1, keepdims=True)
    joints = np.concatenate([points[:, :2], mixed[:, :1], points[:, 2:4], mixed[:, 1:], points[:, 4:], middle], axis=1)
    pairs, central = initial.choose_joints(joints, 3, 2, 2)
    assert len(pairs) == 2 and len(central) == 2
    # Any two of (a, b, their mean) span the three; the same holds for (c, d, their mean), which are even points 3 to 5.
    assert len(set(pairs)) == 2 and set(pairs) <= {0, 1, 2}
    assert len(set(central)) == 2 and set(central) <= {3, 4, 5}


@pytest.mark.parametrize(
    "change, message",
    [
        (dict(poses=lambda p: np.where(np.arange(len(p))[:, None, None] == 3, np.nan, p)), "Pose 3 .* NaN"),
        (dict(poses=lambda p: p / 1000), "looks like metres.*multiply by 1000"),
        (dict(poses=lambda p: p[:, :5]), "117 joint names"),
        (dict(poses=lambda p: p[:0]), "no pose"),
        (dict(poses=lambda p: p - p.mean(axis=1, keepdims=True)), "in front of the camera.*loss_space='3d'"),
        (dict(names=lambda n: ["lonely", *n[1:]]), "no partner.*lonely"),
        (dict(names=lambda n: [n[1], *n[1:]]), "more than once"),
        (dict(n_latents=118), "118 latents are more than the 117 joints"),
        (dict(n_latents=16, n_center_latents=3), "even"),
        (dict(n_latents=110, n_center_latents=0), "more than the joints can carry"),
        (dict(weights="signed"), "nonnegative, affine"),
        (dict(joint_weights=[1.0, 2.0]), "117 numbers"),
        (dict(joint_weights={"tail": 2.0}), "tail"),
        (dict(steps=0), "steps must be at least 1"),
    ],
)
def test_bad_input_gets_one_clear_sentence(poses, change, message):
    train, _, names = poses
    settings = dict(change)
    array = settings.pop("poses", lambda p: p)(train)
    names = settings.pop("names", lambda n: n)(names)
    with pytest.raises(UserError, match=message) as caught:
        fit_acae(array, names, **{"steps": 6, "n_restarts": 1, **settings})
    assert "\n" not in str(caught.value)
