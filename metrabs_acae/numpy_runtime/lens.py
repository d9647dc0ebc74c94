"""OpenCV's Brown-Conrady lens, in arithmetic that arrays and tensors alike can do.

Points are normalized coordinates, one array per axis. Coefficients are twelve numbers or arrays in OpenCV's order,
k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4.
"""

from __future__ import annotations

UNDISTORT_ITERATIONS = 5


def radial_factor(r2, k1, k2, k3, k4, k5, k6):
    """By which a point at squared radius `r2` is moved outwards."""
    return (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / (1 + r2 * (k4 + r2 * (k5 + r2 * k6)))


def _terms(x, y, coefficients):
    """Radial factor, and tangential and thin-prism shifts in x and y."""
    k1, k2, p1, p2, k3, k4, k5, k6, s1, s2, s3, s4 = coefficients
    r2 = x * x + y * y
    tangential = 2 * (p1 * y + p2 * x)
    shift_x, shift_y = x * tangential + r2 * (p2 + s1 + r2 * s2), y * tangential + r2 * (p1 + s3 + r2 * s4)
    return radial_factor(r2, k1, k2, k3, k4, k5, k6), shift_x, shift_y


def distort(x, y, coefficients):
    """(x, y) where rays through (x, y) are seen."""
    radial, dx, dy = _terms(x, y, coefficients)
    return x * radial + dx, y * radial + dy


def undistort(x, y, coefficients):
    """Inverts `distort` by fixed-point iteration, which may diverge far outside of the view."""
    x0, y0 = x, y
    for _ in range(UNDISTORT_ITERATIONS):
        radial, dx, dy = _terms(x, y, coefficients)
        x, y = (x0 - dx) / radial, (y0 - dy) / radial
    return x, y


def is_inverse(x, y, x0, y0):
    """Whether a point found by `undistort` is distorted to about the place that it was found for."""
    error, size = (x - x0) ** 2 + (y - y0) ** 2, (x0**2 + y0**2) ** 0.5
    return error < 0.25 * (1 + size) ** 2
