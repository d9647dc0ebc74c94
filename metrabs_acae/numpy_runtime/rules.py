"""What cameras and boxes must be like: the conditions, and the sentence that is said where one does not hold.

Conditions are written with operators alone, so that the same rules hold for NumPy arrays and in TensorFlow graphs;
`abs(x) <= limit` is false for NaN and infinity, too. `require(value, condition, sentence)` gives the value back, or
fails with the sentence unless the condition holds everywhere. Matrices may have dimensions in front.
"""

from __future__ import annotations

from .lens import radial_factor

MAX_COORDINATE_PX = 1e6
MAX_DISTORTION = 1e4
MAX_TRANSLATION_MM = 1e9
MIN_FOCAL, MAX_FOCAL = 0.05, 1000.0
"""Focal lengths by the mean side of the picture: fields of view of 169 and 0.06 degrees."""
MAX_OFF_AXIS = 3.0
"""How many focal lengths the principal point may lie outside of the picture (72 degrees off its edge)."""
LENS_RADII = [i / 16 for i in range(17)]
"""Shares of half the picture's shorter side at which it is checked that a lens does not fold back."""
_EYE = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]


def boxes(value, require):
    """[P, 4] left, top, width, height, px."""
    value = require(value, abs(value) <= MAX_COORDINATE_PX, "boxes must be finite and within a million pixels of 0.")
    sides = value[:, 2:]
    value = require(value, sides > 0, "boxes must have a positive width and height (left, top, width, height).")
    message = "boxes must be at least a pixel wide and high; they are in pixels, not in shares of the picture."
    return require(value, sides >= 1, message)


def boxes_in_picture(value, width, height, require):
    """[P, 4] that each lie in a picture of `width` x `height` px, at least in part."""
    left, top = value[:, 0], value[:, 1]
    overlap = (left < width) & (top < height) & (left + value[:, 2] > 0) & (top + value[:, 3] > 0)
    return require(value, overlap, "boxes must overlap the picture.")


def intrinsics(value, require, name: str = "intrinsic_matrix"):
    """[..., 3, 3]: an intrinsic matrix at all."""
    value = require(value, abs(value) <= MAX_COORDINATE_PX, f"{name} must have finite entries below a million pixels.")
    last_row = abs(value[..., 2, :] - [0.0, 0.0, 1.0]) < 1e-5
    value = require(value, last_row, f"{name} must have [0, 0, 1] as its last row.")
    fx, fy = value[..., 0, 0], value[..., 1, 1]
    value = require(value, (fx > 0) & (fy > 0), f"{name} must have positive focal lengths, in pixels.")
    determinant = fx * fy - value[..., 0, 1] * value[..., 1, 0]
    return require(value, abs(determinant) > 1e-3 * fx * fy, f"{name} must be invertible.")


def view(value, width, height, require, name: str = "intrinsic_matrix"):
    """[..., 3, 3]: intrinsics that belong to a picture of `width` x `height` px."""
    fx, fy, cx, cy = value[..., 0, 0], value[..., 1, 1], value[..., 0, 2], value[..., 1, 2]
    side = (width + height) / 2
    plausible = (fx >= MIN_FOCAL * side) & (fx <= MAX_FOCAL * side)
    plausible = plausible & (fy >= MIN_FOCAL * side) & (fy <= MAX_FOCAL * side)
    message = (
        f"{name} must have focal lengths in pixels, from a twentieth to a thousand times the side of the picture; "
        "millimetres and shares of the picture must be converted."
    )
    value = require(value, plausible, message)
    near = (cx > -MAX_OFF_AXIS * fx) & (cx < width + MAX_OFF_AXIS * fx)
    near = near & (cy > -MAX_OFF_AXIS * fy) & (cy < height + MAX_OFF_AXIS * fy)
    return require(value, near, f"{name} must have its principal point in or near the picture, in pixels.")


def distortion(value, intrinsics, shorter_side, require, name: str = "distortion_coeffs"):
    """[..., 12] Brown-Conrady coefficients of cameras [..., 3, 3]: no folding back in the middle of the picture."""
    value = require(value, abs(value) <= MAX_DISTORTION, f"{name} must be finite numbers of at most ten thousand.")
    radius = (shorter_side / 2 / intrinsics[..., 0, 0])[..., None] * LENS_RADII
    k1, k2, _, _, k3, k4, k5, k6 = (value[..., i : i + 1] for i in range(8))
    seen = radius * radial_factor(radius * radius, k1, k2, k3, k4, k5, k6)
    return lens_grows(value, seen, require, name)


def lens_grows(value, seen, require, name: str):
    """`value` of a lens that shows the radii of `LENS_RADII` at radii `seen` [..., 17]."""
    message = (
        f"{name} must describe a lens that does not fold back within the picture; check their order, and that they are "
        "for coordinates divided by the focal length."
    )
    return require(value, seen[..., 1:] > seen[..., :-1], message)


def rotation(value, require, name: str, tolerance: float = 0.01):
    """[..., 3, 3] or [..., 4, 4] that begin with it: orthonormal rows and determinant +1."""
    R = value[..., :3, :3]
    square = sum(R[..., :, k : k + 1] * R[..., k][..., None, :] for k in range(3))
    value = require(value, abs(square - _EYE) < tolerance, f"{name} must be a rotation matrix (world to camera).")
    a, b, c = (R[..., i, :] for i in range(3))
    normal = [a[..., i] * b[..., j] - a[..., j] * b[..., i] for i, j in ((1, 2), (2, 0), (0, 1))]
    right_handed = sum(normal[i] * c[..., i] for i in range(3)) > 0
    return require(value, right_handed, f"{name} must be a rotation matrix (world to camera), without mirroring.")


def extrinsics(value, require, name: str = "extrinsic_matrix"):
    """[..., 4, 4], world to camera, mm."""
    value = require(value, abs(value) < float("inf"), f"{name} must have finite entries.")
    value = rotation(value, require, f"the upper left of {name}")
    message = f"{name} must have a translation of at most a thousand kilometres; its unit is mm."
    value = require(value, abs(value[..., :3, 3]) <= MAX_TRANSLATION_MM, message)
    last_row = abs(value[..., 3, :] - [0.0, 0.0, 0.0, 1.0]) < 1e-5
    return require(value, last_row, f"{name} must have [0, 0, 0, 1] as its last row.")
