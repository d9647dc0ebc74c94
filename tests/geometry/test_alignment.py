import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes
from scipy.spatial.transform import Rotation

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.alignment import procrustes
from tests.golden import golden


@pytest.mark.parametrize("scale", [0, 1])
@pytest.mark.parametrize("reflection", [0, 1])
@pytest.mark.parametrize("mask", ["", "_mask"])
def test_agrees_with_the_reference(scale, reflection, mask):
    arrays = golden("g3_align")
    ours = procrustes(
        arrays["pred"],
        arrays["true"],
        valid=arrays["mask"] if mask else None,
        allow_scaling=bool(scale),
        allow_reflection=bool(reflection),
    )
    key = f"scale{scale}_refl{reflection}{mask}"
    np.testing.assert_allclose(ours, arrays[f"np_{key}"], rtol=1e-6)
    np.testing.assert_allclose(ours, arrays[f"tf_{key}"], atol=2e-3)  # float32 there


def test_mean_errors_agree_with_the_reference():
    arrays = golden("g3_align")
    for scaling, key in ((True, "mpjpe_pa"), (False, "mpjpe_rigid")):
        aligned = procrustes(arrays["pred"], arrays["true"], allow_scaling=scaling)
        error = np.linalg.norm(aligned - arrays["true"], axis=-1).mean()
        np.testing.assert_allclose(error, arrays[key], rtol=1e-6)


def random_poses(n=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 12, 3)) * 400, rng.normal(size=(n, 12, 3)) * 400


def test_agrees_with_scipy():
    pred, true = random_poses()
    rigid = procrustes(pred, true, allow_scaling=False)
    improper = procrustes(pred, true, allow_reflection=True)
    for i in range(len(pred)):
        a, b = pred[i] - pred[i].mean(0), true[i] - true[i].mean(0)
        rotation, _ = Rotation.align_vectors(b, a)
        np.testing.assert_allclose(rigid[i], rotation.apply(a) + true[i].mean(0), atol=1e-6)
        matrix, trace = orthogonal_procrustes(a, b)
        np.testing.assert_allclose(improper[i], a @ matrix * trace / (a**2).sum() + true[i].mean(0), atol=1e-6)


def test_a_similarity_transform_is_undone():
    true, _ = random_poses()
    rotation = Rotation.random(len(true), rng=np.random.default_rng(1)).as_matrix()
    pred = 1.7 * true @ rotation + np.array([100.0, -2000, 3000])
    np.testing.assert_allclose(procrustes(pred, true), true, atol=1e-8)
    assert np.linalg.norm(procrustes(pred, true, allow_scaling=False) - true, axis=-1).mean() > 10


def test_a_mirrored_pose_is_undone_only_with_reflection():
    true, _ = random_poses()
    mirrored = true * [-1, 1, 1]
    np.testing.assert_allclose(procrustes(mirrored, true, allow_reflection=True), true, atol=1e-8)
    assert np.abs(procrustes(mirrored, true) - true).max() > 10


def test_invalid_joints_do_not_matter_but_move_along():
    true, _ = random_poses()
    rotation = Rotation.from_euler("xyz", [0.3, -0.5, 1.0]).as_matrix()
    pred = true @ rotation + 55.0
    valid = np.ones(true.shape[:2], bool)
    valid[:, :3] = False
    broken = true.copy()
    broken[:, :3] = np.nan
    np.testing.assert_allclose(procrustes(pred, broken, valid=valid), true, atol=1e-8)
    pred[:, 1] = np.nan
    aligned = procrustes(pred, broken, valid=valid)
    assert np.isnan(aligned[:, 1]).all() and np.isfinite(np.delete(aligned, 1, axis=1)).all()


@pytest.mark.parametrize("n_valid", [0, 1, 2])
def test_few_valid_joints_and_coincident_points_stay_finite(n_valid):
    pred, true = random_poses()
    valid = np.zeros(pred.shape[:2], bool)
    valid[:, :n_valid] = True
    assert np.isfinite(procrustes(pred, true, valid=valid)).all()
    assert np.isfinite(procrustes(np.zeros_like(pred), true)).all()
    if n_valid == 0:
        np.testing.assert_allclose(procrustes(pred, true, valid=valid), pred)


def test_works_for_2d_and_for_any_leading_shape():
    pred, true = random_poses()
    flat = procrustes(pred[..., :2], true[..., :2])
    deep = procrustes(pred[:4, :, :2].reshape(2, 2, 12, 2), true[:4, :, :2].reshape(2, 2, 12, 2))
    np.testing.assert_allclose(deep.reshape(4, 12, 2), flat[:4])


def test_shapes_are_checked():
    with pytest.raises(UserError, match=r"true has shape \[5, 11, 3\], expected \[5, 12, 3\]"):
        procrustes(np.zeros((5, 12, 3)), np.zeros((5, 11, 3)))
    with pytest.raises(UserError, match="valid has shape"):
        procrustes(np.zeros((5, 12, 3)), np.zeros((5, 12, 3)), valid=np.ones(12, bool))


@pytest.mark.parametrize("unit", [1e-3, 1e-6])
def test_units_do_not_matter(unit):
    pred, true = random_poses()
    np.testing.assert_allclose(procrustes(pred * unit, true * unit) / unit, procrustes(pred, true), rtol=1e-9)
