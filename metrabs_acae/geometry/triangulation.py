"""Points seen by several calibrated cameras: weighted least squares in world space, with outliers held down (NumPy).

A view sees a point along a ray, from the camera's centre c in the unit direction d. The squared distance of a point x
to the ray is |(I - d d^T)(x - c)|^2, quadratic in x, so the point with the least weighted sum of squared distances to
rays, and to places where it is thought to be, solves one 3 x 3 system. Distances are in mm at the point and not in
pixels: the error of a pose network is a share of the crop, hence of the body, at whatever distance that is.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

INLIER = 3.0
"""Residuals of so many standard deviations have a quarter of their weight left (Geman and McClure)."""
N_ITERATIONS = 10
PRIOR_MM = 300.0
"""Standard deviation along an axis of a joint in a single view's own pose, moved and scaled to where it belongs."""
N_ALIGNMENTS = 2
LEAST_DETERMINANT = 1e-9
"""By the third power of the trace; that of two rays that meet at a tenth of a degree."""
MAX_PAIRS = 45
"""Pairs of views that are tried as a start: all of ten views."""


@dataclass(frozen=True)
class Triangulation:
    """Attributes:
    points_mm: [N, 3] world; NaN where nothing tells.
    sigma_mm: [N] standard deviation, all axes together, by the given ones and the weights.
    ray_weights: [V, N] shares of the rays' given weights that were left to them, 0 to 1.
    """

    points_mm: np.ndarray
    sigma_mm: np.ndarray
    ray_weights: np.ndarray


def world_directions(normalized: np.ndarray, R: np.ndarray) -> np.ndarray:
    """Unit directions [..., 3] of the rays through undistorted normalized coordinates [..., 2].

    R: [3, 3] rotation from world to camera axes.
    """
    rays = np.concatenate([normalized, np.ones_like(normalized[..., :1])], axis=-1) @ R
    return rays / np.linalg.norm(rays, axis=-1, keepdims=True)


def ray_distances(points_mm: np.ndarray, centers_mm: np.ndarray, directions: np.ndarray) -> np.ndarray:
    """Distances [...] of points [..., 3] to rays; to the centre where the point is behind it."""
    offset = points_mm - centers_mm
    along = np.maximum((offset * directions).sum(-1, keepdims=True), 0)
    return np.linalg.norm(offset - along * directions, axis=-1)


def nearest_on_rays(centers_a, directions_a, centers_b, directions_b) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How far along two rays [..., 3] they come nearest to each other, [...] each, and their distance there.

    Of (almost) parallel ones, half way between the centres.
    """
    cosine = (directions_a * directions_b).sum(-1)
    offset = centers_b - centers_a
    of_a, of_b = (offset * directions_a).sum(-1), (offset * directions_b).sum(-1)
    square = 1 - cosine**2  # of the sine
    crossing = square > 1e-6
    square = np.where(crossing, square, 1.0)
    along_a = np.where(crossing, (of_a - cosine * of_b) / square, of_a / 2)
    along_b = np.where(crossing, (cosine * of_a - of_b) / square, -of_b / 2)
    apart = offset + along_b[..., np.newaxis] * directions_b - along_a[..., np.newaxis] * directions_a
    return along_a, along_b, np.linalg.norm(apart, axis=-1)


def triangulate(centers_mm, directions, sigma_mm, *, prior_mm=None, prior_sigma_mm=np.inf) -> Triangulation:
    """Points nearest to their rays and to a prior, by iteratively reweighted least squares.

    It starts from the best of the pairs of views, by the robust cost of all rays, so that one wrong view among three
    does not pull the start away.

    Args:
        centers_mm: [V, 3] of the cameras.
        directions: [V, N, 3], unit length; not finite where a view does not see a point.
        sigma_mm: [V, N] standard deviation of a ray at the point.
        prior_mm: [N, 3] where the points are thought to be, not finite where unknown.
        prior_sigma_mm: its standard deviation along an axis.
    """
    directions, sigma_mm = np.asarray(directions, np.float64), np.asarray(sigma_mm, np.float64)
    centers = np.broadcast_to(np.asarray(centers_mm, np.float64)[:, np.newaxis], directions.shape)
    seen = np.isfinite(directions).all(-1) & np.isfinite(sigma_mm)
    directions = np.where(seen[..., np.newaxis], directions, (0.0, 0.0, 1.0))
    weights = np.where(seen, 1 / np.where(seen, sigma_mm, 1) ** 2, 0)
    across = np.eye(3) - directions[..., :, np.newaxis] * directions[..., np.newaxis, :]
    across_center = (across @ centers[..., np.newaxis])[..., 0]
    prior = np.full((directions.shape[1], 3), np.nan) if prior_mm is None else np.asarray(prior_mm, np.float64)
    of_prior = np.isfinite(prior).all(-1) / prior_sigma_mm**2

    def solve(shares):
        """Points [..., N, 3] and covariances [..., N, 3, 3] with shares [..., V, N] of the weights; NaN where the
        system does not tell the point."""
        normal = np.einsum("...vn,vnij->...nij", weights * shares, across)
        normal += of_prior[:, np.newaxis, np.newaxis] * np.eye(3)
        right = np.einsum("...vn,vni->...ni", weights * shares, across_center)
        right += of_prior[:, np.newaxis] * np.nan_to_num(prior)
        # rays that are parallel, or one alone, tell no point
        told = np.linalg.det(normal) > LEAST_DETERMINANT * np.trace(normal, axis1=-2, axis2=-1) ** 3
        inverse = np.linalg.inv(np.where(told[..., np.newaxis, np.newaxis], normal, np.eye(3)))
        inverse[~told] = np.nan
        return (inverse @ right[..., np.newaxis])[..., 0], inverse

    def robust(points):
        """Shares [..., V, N] left to the rays, and costs [..., N]; of unknown points 1 and infinity."""
        distances = ray_distances(points[..., np.newaxis, :, :], centers, directions)
        squares = weights * distances**2 / INLIER**2
        known = np.isfinite(points).all(-1)
        squares = np.where(known[..., np.newaxis, :], squares, 0)
        return seen / (1 + squares) ** 2, np.where(known, (squares / (1 + squares)).sum(-2), np.inf)

    pairs = list(itertools.islice(itertools.combinations(range(len(centers)), 2), MAX_PAIRS))
    chosen = np.array([np.ones(len(centers), bool), *([i in pair for i in range(len(centers))] for pair in pairs)])
    chosen = chosen[:, :, np.newaxis] & seen
    candidates, _ = solve(chosen)
    costs = np.where((chosen.sum(1) > 1) | (np.arange(len(chosen)) == 0)[:, np.newaxis], robust(candidates)[1], np.inf)
    points = candidates[costs.argmin(0), np.arange(candidates.shape[1])]
    for _ in range(N_ITERATIONS):
        shares, _ = robust(points)
        points, covariance = solve(shares)
    known = np.isfinite(points).all(-1)
    sigma = np.sqrt(np.trace(covariance, axis1=-2, axis2=-1))
    return Triangulation(points, np.where(known, sigma, np.nan), np.where(known, shares, 0))


@dataclass(frozen=True)
class Fusion(Triangulation):
    """Attributes:
    scale: by which the views' own poses are too small, the median over the views.
    """

    scale: float


def fuse_views(centers_mm, directions, sigma_mm, poses_mm) -> Fusion:
    """One pose of a person from what several views say: their rays, and the shape of each view's own 3D pose.

    The prior is the median of the own poses, each moved and scaled to the points found so far. Rays from several sides
    outweigh it by far; it decides where rays are (nearly) parallel or one camera alone sees a joint. The pose of a
    single view stays as it is.

    Args:
        centers_mm, directions, sigma_mm: see `triangulate`.
        poses_mm: [V, N, 3] the views' own poses in the world.
    """
    poses = np.asarray(poses_mm, np.float64)
    found = triangulate(centers_mm, directions, sigma_mm)
    moved, scales = poses, np.full(len(poses), np.nan)
    for _ in range(N_ALIGNMENTS if len(poses) > 1 else 1):
        if np.isfinite(found.points_mm).all(-1).sum() > 1:
            parts = [move_and_scale(pose, found.points_mm, found.sigma_mm) for pose in poses]
            moved, scales = (np.stack(part) for part in zip(*parts, strict=True))
        prior = np.median(moved, axis=0)
        sigma = PRIOR_MM / np.sqrt(len(poses))
        found = triangulate(centers_mm, directions, sigma_mm, prior_mm=prior, prior_sigma_mm=sigma)
    scale = np.median(scales) if np.isfinite(scales).all() else np.nan
    return Fusion(found.points_mm, found.sigma_mm, found.ray_weights, float(scale))


def move_and_scale(pose_mm, points_mm, sigma_mm) -> tuple[np.ndarray, float]:
    """A pose [N, 3] moved and scaled, not turned, to points [N, 3] (NaN: unknown), and the scale; least squares."""
    known = np.isfinite(points_mm).all(-1) & np.isfinite(sigma_mm)
    weights = np.where(known, 1 / np.where(known, sigma_mm, 1) ** 2, 0)[:, np.newaxis]
    points = np.where(known[:, np.newaxis], points_mm, 0)
    source_mean, target_mean = ((weights * p).sum(0) / weights.sum() for p in (pose_mm, points))
    source, target = pose_mm - source_mean, points - target_mean
    scale = float((weights * source * target).sum() / max((weights * source**2).sum(), 1e-12))
    return scale * source + target_mean, scale
