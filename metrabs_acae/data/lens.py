"""What a lens does to the rays of a pinhole camera: a model and its coefficients, with OpenCV's formulas.

Coordinates here are normalized: on the plane at depth one in front of the camera, before the intrinsic matrix.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np

from metrabs_acae.errors import UserError

COEFFICIENT_COUNTS = {"pinhole": (0,), "brown_conrady": (4, 5, 8, 12, 14), "fisheye": (4,)}
"""Allowed numbers of coefficients. The position in this dict is the model's number in pose stores."""
MODELS = tuple(COEFFICIENT_COUNTS)

_ITERATIONS = (3, 100, 1e-12)  # cv2.TERM_CRITERIA_COUNT + cv2.TERM_CRITERIA_EPS
_EYE, _ZERO = np.eye(3), np.zeros(3)


@dataclass(frozen=True)
class Lens:
    """A lens model with its coefficients. How many they are says nothing about the model.

    A Brown-Conrady lens whose coefficients are all zero is a pinhole, and equal to one. A fisheye lens of zeros is
    not: it is the equidistant projection.

    Attributes:
        model: "pinhole", "brown_conrady" (OpenCV's usual one: k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4[, tx,
            ty]]]]) or "fisheye" (OpenCV's `cv2.fisheye`, Kannala and Brandt: k1, k2, k3, k4).
        coefficients: any sequence of finite numbers; kept as a tuple.

    Raises:
        UserError: unknown model, or coefficients that it cannot have.
    """

    model: str = "pinhole"
    coefficients: tuple[float, ...] = ()

    def __post_init__(self):
        if self.model not in MODELS:
            raise UserError(f"there is no lens model '{self.model}'; use one of: {', '.join(MODELS)}")
        try:
            values = np.asarray(self.coefficients, np.float64).ravel().tolist()
        except (ValueError, TypeError):
            values = [np.nan]
        counts = COEFFICIENT_COUNTS[self.model]
        if len(values) not in counts or not np.isfinite(sum(values)):
            expected = " or ".join(", ".join(map(str, counts)).rsplit(", ", 1))
            raise UserError(f"a {self.model} lens must have {expected} finite coefficients, not {self.coefficients}")
        if self.model == "brown_conrady" and not any(values):
            object.__setattr__(self, "model", "pinhole")
            values = []
        object.__setattr__(self, "coefficients", tuple(values))

    @classmethod
    def brown_conrady(cls, coefficients) -> Lens:
        return cls("brown_conrady", coefficients)

    @classmethod
    def fisheye(cls, coefficients) -> Lens:
        return cls("fisheye", coefficients)

    @classmethod
    def of(cls, value) -> Lens:
        """From a lens, from None (pinhole), or from plain numbers, which are a Brown-Conrady lens however many there
        are."""
        if isinstance(value, Lens):
            return value
        return PINHOLE if value is None or np.size(value) == 0 else cls("brown_conrady", value)

    @classmethod
    def from_json(cls, data) -> Lens:
        """From what `to_json` gives, or from what `of` takes."""
        if not isinstance(data, dict):
            return cls.of(data)
        return cls(data.get("model"), data.get("coefficients") or ())

    def to_json(self) -> dict:
        return {"model": self.model, "coefficients": list(self.coefficients)}

    @property
    def is_pinhole(self) -> bool:
        return self.model == "pinhole"

    @property
    def estimator_coefficients(self) -> np.ndarray | None:
        """[12] as `PoseEstimator` takes them; None of a lens that it does not know (fisheye, or a tilted sensor)."""
        if self.model == "fisheye" or any(self.coefficients[12:]):
            return None
        return np.pad(self.coefficients[:12], (0, max(0, 12 - len(self.coefficients)))).astype(np.float32)

    def distort(self, normalized: np.ndarray) -> np.ndarray:
        """Where rays through [N, 2] are seen, [N, 2]."""
        import cv2

        if self.is_pinhole or not len(normalized):
            return normalized
        k = np.array(self.coefficients)
        if self.model == "fisheye":
            return cv2.fisheye.distortPoints(normalized[:, None], _EYE, k)[:, 0]
        rays = np.concatenate([normalized, np.ones((len(normalized), 1))], axis=1)
        return cv2.projectPoints(rays, _ZERO, _ZERO, _EYE, k)[0][:, 0]

    def undistort(self, normalized: np.ndarray) -> np.ndarray:
        """The inverse of `distort`, by iteration."""
        import cv2

        if self.is_pinhole or not len(normalized):
            return normalized
        invert = cv2.fisheye.undistortPoints if self.model == "fisheye" else cv2.undistortPoints
        return invert(normalized[:, None], _EYE, np.array(self.coefficients), criteria=_ITERATIONS)[:, 0]

    def rectifying_maps(self, K, R, new_K, size_wh: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Where in the picture of this lens, x and y px, the pixels of a camera without a lens lie.

        Args:
            K, new_K: [3, 3] intrinsics of the two cameras, without skew.
            R: [3, 3] rotation from the first to the second.
        """
        import cv2

        make = cv2.fisheye.initUndistortRectifyMap if self.model == "fisheye" else cv2.initUndistortRectifyMap
        return make(K, np.array(self.coefficients), R, new_K, size_wh, cv2.CV_32FC1)

    @property
    def valid_radius(self) -> float:
        """Largest undistorted radius up to which the radial function grows; inf if it always does."""
        return _valid_radius(self)


PINHOLE = Lens()


def undistort_points(points_px: np.ndarray, K: np.ndarray, lens: Lens) -> np.ndarray:
    """Pixels [N, 2] -> homogeneous normalized coordinates [N, 3] (third coordinate 1) without lens distortion."""
    points_px = np.asarray(points_px, np.float64)
    result = np.ones((len(points_px), 3))
    result[:, 1] = (points_px[:, 1] - K[1, 2]) / K[1, 1]
    result[:, 0] = (points_px[:, 0] - K[0, 2] - K[0, 1] * result[:, 1]) / K[0, 0]
    if not lens.is_pinhole:
        result[:, :2] = lens.undistort(np.ascontiguousarray(result[:, :2]))
    return result


def distort_points(normalized: np.ndarray, K: np.ndarray, lens: Lens) -> np.ndarray:
    """Undistorted normalized coordinates [N, 2] -> pixels [N, 2]."""
    return lens.distort(normalized) @ K[:2, :2].T + K[:2, 2]


@functools.lru_cache(256)
def _valid_radius(lens: Lens) -> float:
    if lens.model == "fisheye":
        theta = np.linspace(0, np.pi / 2, 2000)[:-1]
        radius, square = np.tan(theta), theta**2
        distorted = theta * (1 + square * np.polyval(lens.coefficients[::-1], square))
    else:
        k = np.zeros(14)
        k[: len(lens.coefficients)] = lens.coefficients
        radius = np.linspace(0, 5, 2000)
        r2 = radius**2
        numerator = 1 + r2 * (k[0] + r2 * (k[1] + r2 * k[4]))
        denominator = 1 + r2 * (k[5] + r2 * (k[6] + r2 * k[7]))
        distorted = radius * numerator / denominator
    folds = np.flatnonzero(np.diff(distorted) <= 0)
    return float(radius[folds[0]]) if len(folds) else np.inf
