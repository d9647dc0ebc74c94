"""Points from several views: exact ones are found, noise shrinks as it should, a wrong view is passed over."""

import numpy as np
import pytest

from metrabs_acae.geometry import triangulation as tri

CENTERS = np.array([[3000.0, 0, 1500], [0, 3000, 1500], [-3000, 500, 1800], [0, -3200, 1200]])
RNG = np.random.default_rng(0)
POINTS = RNG.normal(0, 400, (200, 3)) + [0, 0, 1000]


def directions(points=POINTS, centers=CENTERS):
    offset = points - centers[:, np.newaxis]
    return offset / np.linalg.norm(offset, axis=-1, keepdims=True)


def noisy(sigma_mm, centers=CENTERS, rng=None):
    """Rays that pass the points at distances of that standard deviation in both directions across."""
    rng = rng or np.random.default_rng(1)
    return directions(POINTS + rng.normal(0, sigma_mm, (len(centers), *POINTS.shape)), centers)


def sigma(value=20.0, n_views=4):
    return np.full((n_views, len(POINTS)), value)


def error(points):
    return np.linalg.norm(points - POINTS, axis=-1)


def test_exact_rays_meet_in_the_points():
    for views in ([0, 1], [0, 1, 2, 3]):
        found = tri.triangulate(CENTERS[views], directions()[views], sigma()[views])
        np.testing.assert_allclose(found.points_mm, POINTS, atol=1e-6)
        np.testing.assert_allclose(found.ray_weights, 1, atol=1e-9)


def test_directions_of_pixels():
    from scipy.spatial.transform import Rotation

    R = Rotation.from_euler("xyz", [0.3, -0.2, 1.0]).as_matrix()
    camera = np.array([[100.0, -50, 2000], [0, 0, 1]])
    world = tri.world_directions(camera[:, :2] / camera[:, 2:], R)
    np.testing.assert_allclose(world, camera @ R / np.linalg.norm(camera, axis=1, keepdims=True), atol=1e-12)


def test_where_rays_are_nearest():
    x, y = np.array([1.0, 0, 0]), np.array([0.0, 1, 0])
    assert tri.nearest_on_rays(np.zeros(3), x, np.array([5.0, -3, 7]), y) == pytest.approx((5, 3, 7))
    assert tri.nearest_on_rays(np.zeros(3), x, np.array([8.0, 0, 7]), -x) == pytest.approx((4, 4, 7))
    assert tri.ray_distances(np.array([-3.0, 4, 0]), np.zeros(3), x) == pytest.approx(5)  # behind the camera


def test_more_views_err_less_and_the_stated_error_is_the_true_one():
    rms = []
    for n in (2, 4):
        found = tri.triangulate(CENTERS[:n], noisy(20.0)[:n], sigma(n_views=n))
        rms.append(np.sqrt(np.mean(error(found.points_mm) ** 2)))
        assert 0.85 < rms[-1] / np.sqrt(np.mean(found.sigma_mm**2)) < 1.2
    assert rms[1] < 0.8 * rms[0]  # 0.71 by plain least squares: holding outliers down costs a little


def test_uncertain_views_count_less():
    rays = noisy(5.0)
    rays[0] = noisy(100.0)[0]
    told, untold = sigma(5.0), sigma(30.0)
    told[0] = 100.0
    by_told, by_untold = (tri.triangulate(CENTERS, rays, s).points_mm for s in (told, untold))
    assert error(by_told).mean() < 0.6 * error(by_untold).mean()


@pytest.mark.parametrize("wrong", range(4))
def test_a_view_that_sees_something_else_is_passed_over(wrong):
    rays = noisy(10.0)
    rays[wrong] = directions(POINTS + [0, 0, 900.0])[wrong]
    found = tri.triangulate(CENTERS, rays, sigma())
    without = tri.triangulate(np.delete(CENTERS, wrong, 0), np.delete(rays, wrong, 0), sigma(n_views=3))
    assert found.ray_weights[wrong].max() < 0.02
    assert error(found.points_mm).mean() < 1.1 * error(without.points_mm).mean()
    assert error(found.points_mm).max() < 60


def test_what_cannot_be_told_is_not_a_number_unless_there_is_a_prior():
    rays = directions()
    rays[1:, :5] = np.nan
    found = tri.triangulate(CENTERS, rays, sigma())
    assert np.isnan(found.points_mm[:5]).all() and np.isnan(found.sigma_mm[:5]).all()
    np.testing.assert_allclose(found.points_mm[5:], POINTS[5:], atol=1e-6)
    found = tri.triangulate(CENTERS, rays, sigma(), prior_mm=POINTS + 30, prior_sigma_mm=300.0)
    assert error(found.points_mm)[:5].max() < 60
    # on the one ray that there is, as near to the prior as can be
    assert tri.ray_distances(found.points_mm[:5], CENTERS[0], rays[0, :5]).max() < 1
    assert error(found.points_mm)[5:].max() < 2


def test_fusion_takes_the_place_from_rays_and_what_rays_do_not_tell_from_the_shapes():
    poses = 0.9 * (POINTS + RNG.normal(0, 40, (4, *POINTS.shape))) + RNG.normal(0, 500, (4, 1, 3))
    fused = tri.fuse_views(CENTERS, noisy(20.0), sigma(), poses)
    assert error(fused.points_mm).mean() < 25 and fused.scale == pytest.approx(1 / 0.9, rel=0.03)
    # two cameras beside each other hardly tell the depth
    centers = np.array([CENTERS[0], CENTERS[0] + [0, 400.0, 0]])
    rays = noisy(20.0, centers)
    by_rays = tri.triangulate(centers, rays, sigma(n_views=2))
    fused = tri.fuse_views(centers, rays, sigma(n_views=2), POINTS + RNG.normal(0, 40, (2, *POINTS.shape)))
    assert error(fused.points_mm).mean() < 0.6 * error(by_rays.points_mm).mean()


def test_a_single_view_keeps_its_pose():
    pose = POINTS + RNG.normal(0, 40, POINTS.shape)
    fused = tri.fuse_views(CENTERS[:1], directions(pose)[:1], sigma()[:1], pose[np.newaxis])
    np.testing.assert_allclose(fused.points_mm, pose, atol=1e-6)
    assert np.isnan(fused.scale)


def test_moved_and_scaled_but_not_turned():
    moved, scale = tri.move_and_scale(POINTS, 1.2 * POINTS + [100, 0, -50], np.ones(len(POINTS)))
    np.testing.assert_allclose(moved, 1.2 * POINTS + [100, 0, -50], atol=1e-9)
    assert scale == pytest.approx(1.2)
