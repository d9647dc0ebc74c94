"""Vectors of three and 3 x 3 matrices as plain Python numbers: one such product costs a tenth of NumPy's, and the
loading of an example needs dozens."""

from __future__ import annotations

from collections.abc import Sequence

Vector = Sequence[float]
Matrix = Sequence[Vector]
"""Three rows."""


def dot(a: Vector, b: Vector) -> float:
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> list[float]:
    a0, a1, a2 = a
    b0, b1, b2 = b
    return [a1 * b2 - a2 * b1, a2 * b0 - a0 * b2, a0 * b1 - a1 * b0]


def apply(A: Matrix, v: Vector) -> list[float]:
    """A v."""
    x, y, z = v
    return [a * x + b * y + c * z for a, b, c in A]


def product(A: Matrix, B: Matrix) -> list[list[float]]:
    """A B."""
    (a, b, c), (d, e, f), (g, h, i) = B
    return [[x * a + y * d + z * g, x * b + y * e + z * h, x * c + y * f + z * i] for x, y, z in A]


def transposed(A: Matrix) -> list[Vector]:
    return list(zip(*A, strict=True))


def inverse_intrinsics(K: Matrix) -> list[list[float]]:
    """The inverse of an upper triangular matrix with last row 0 0 1."""
    (fx, skew, cx), (_, fy, cy), _ = K
    return [[1 / fx, -skew / (fx * fy), (skew * cy / fy - cx) / fx], [0.0, 1 / fy, -cy / fy], [0.0, 0.0, 1.0]]
