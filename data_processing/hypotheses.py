"""What may be wrong with labels that do not project to where they should: each hypothesis undoes one likely mistake."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from data_processing.cameras import project
from metrabs_acae.data.lens import Lens
from metrabs_acae.data.records import CameraParams

UNITS = {
    1000.0: "metres taken for millimetres",
    0.001: "millimetres taken for metres",
    10.0: "centimetres taken for millimetres",
    0.1: "millimetres taken for centimetres",
    25.4: "inches taken for millimetres",
}


@dataclass(frozen=True)
class Sample:
    """N labelled frames of people and where they were to be projected.

    Attributes:
        cameras: N, one per frame.
        points: [N, J, 3] world mm, NaN = missing. before, after: the same a frame earlier and later (or None).
        mirror: [J] index of each joint's mirror image.
        others: name -> camera of the other cameras of the recording.
    """

    cameras: list[CameraParams]
    points: np.ndarray
    mirror: np.ndarray
    before: np.ndarray | None = None
    after: np.ndarray | None = None
    others: Mapping[str, CameraParams] = dataclasses.field(default_factory=dict)

    def pixels(
        self, change: Callable[[CameraParams], CameraParams] | None = None, points: np.ndarray | None = None
    ) -> np.ndarray:
        """[N, J, 2] the projections with changed cameras or points."""
        points = self.points if points is None else points
        cameras = self.cameras if change is None else [change(c) for c in self.cameras]
        return np.stack([project(c, p) for c, p in zip(cameras, points, strict=True)])


def explanations(sample: Sample) -> Iterator[tuple[str, np.ndarray]]:
    """(what may be wrong, [N, J, 2] where the joints project without that), the likelier first."""
    for factor, name in UNITS.items():
        yield f"the 3D labels are {name}", sample.pixels(points=sample.points * factor)
        yield f"the camera's position is {name}", sample.pixels(lambda c, f=factor: _at(c, c.optical_center_mm * f))
    yield "left and right are swapped in the 3D labels", sample.pixels(points=sample.points[:, sample.mirror])
    if sample.before is not None:
        yield "the 3D labels are a frame early", sample.pixels(points=sample.before)
    if sample.after is not None:
        yield "the 3D labels are a frame late", sample.pixels(points=sample.after)
    for name, camera in sample.others.items():
        yield f"the calibration is that of camera {name}", sample.pixels(lambda c, other=camera: other)
    yield "the lens's distortion should be left out", sample.pixels(without_lens)
    yield "the lens is of the other model (fisheye or not)", sample.pixels(with_other_lens)
    yield (
        "the camera's rotation is transposed",
        sample.pixels(lambda c: _turned(c, c.R.T, c.optical_center_mm)),
    )
    yield (
        "the camera's rotation is transposed",
        sample.pixels(lambda c: _turned(c, c.R.T, -c.R @ (-c.R @ c.optical_center_mm))),
    )
    yield (
        "the camera's translation was taken for its position",
        sample.pixels(lambda c: _at(c, -c.R.T @ c.optical_center_mm)),
    )
    yield (
        "the camera's position was taken for its translation",
        sample.pixels(lambda c: _at(c, -c.R @ c.optical_center_mm)),
    )
    for axes, matrix in signed_permutations():
        name = f"the camera's axes are ({axes})" + " as in OpenGL" * (axes == "x, -y, -z")
        yield name, sample.pixels(lambda c, m=matrix: _turned(c, m @ c.R, c.optical_center_mm))
        yield f"the world's axes are ({axes})", sample.pixels(points=sample.points @ matrix.T)


def fits(sample: Sample, pixels: np.ndarray, truth: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """As `explanations`, with a number found by least squares: focal length, size of the picture, principal point.

    Args:
        pixels: [N, J, 2] the projections as they are. truth: [N, J, 2] where they should be, NaN = unknown.
    """
    centers = np.stack([np.asarray(c.K, np.float64)[:2, 2] for c in sample.cameras])[:, None]
    known = np.isfinite(pixels).all(-1) & np.isfinite(truth).all(-1)
    if known.sum() < 10:
        return
    for what, origin in (("the focal length", centers), ("the size of the picture", np.zeros_like(centers))):
        a, b = (pixels - origin)[known], (truth - origin)[known]
        factor = float((a * b).sum() / (a * a).sum())
        if 0.2 < factor < 5 and abs(factor - 1) > 0.002:
            yield f"{what} is {factor:.3g} times that of the calibration", origin + factor * (pixels - origin)
    shift = np.median((truth - pixels)[known], axis=0)
    yield f"the principal point is ({shift[0]:.1f}, {shift[1]:.1f}) px off", pixels + shift


def signed_permutations() -> Iterator[tuple[str, np.ndarray]]:
    """The 47 other ways of naming three axes, as matrices, e.g. "-y, x, z"."""
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            if order == (0, 1, 2) and signs == (1, 1, 1):
                continue
            matrix = np.zeros((3, 3))
            for row, (column, sign) in enumerate(zip(order, signs, strict=True)):
                matrix[row, column] = sign
            yield ", ".join(("-" if s < 0 else "") + "xyz"[c] for c, s in zip(order, signs, strict=True)), matrix


def without_lens(camera: CameraParams) -> CameraParams:
    return dataclasses.replace(camera, lens=Lens())


def with_other_lens(camera: CameraParams) -> CameraParams:
    """The first four coefficients in the other of OpenCV's two models; the camera itself where there are none."""
    k = camera.lens.coefficients[:4]
    if len(k) < 4:
        return camera
    other = Lens.brown_conrady(k) if camera.lens.model == "fisheye" else Lens.fisheye(k)
    return dataclasses.replace(camera, lens=other)


def _at(camera: CameraParams, center_mm) -> CameraParams:
    return dataclasses.replace(camera, optical_center_mm=np.asarray(center_mm, np.float64))


def _turned(camera: CameraParams, R, center_mm) -> CameraParams:
    return dataclasses.replace(camera, R=np.asarray(R, np.float64), optical_center_mm=np.asarray(center_mm))
