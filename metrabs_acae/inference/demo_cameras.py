"""The camera of a demo's photographs and videos: from the command line, a calibration file, EXIF, a field of view."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metrabs_acae.data.camera_files import SAME_SIZE, NamedCamera, read_cameras
from metrabs_acae.data.lens import PINHOLE, Lens
from metrabs_acae.errors import UserError
from metrabs_acae.inference.demo_inputs import DemoInput, check_view, intrinsics_from_fov, parse_intrinsics
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.exif import Focal

USUAL_FOV_DEGREES = 55.0


class DemoCameras:
    """Says which camera took a picture."""

    def __init__(self, settings: Demo):
        if settings.camera and settings.intrinsics:
            raise UserError("--camera and --intrinsics both say what the camera is; give one of them.")
        self._settings = settings
        self._given = parse_intrinsics(settings.intrinsics)
        self._cameras = read_cameras(settings.camera, unit="m") if settings.camera else []  # places do not matter

    def __call__(
        self, item: DemoInput, image_size_wh: Sequence[int], focal: Focal | None = None
    ) -> tuple[np.ndarray, Lens, str]:
        """Intrinsics [3, 3], the lens, and in words where they come from.

        Args:
            focal: what the input itself says; used where the user says nothing.

        Raises:
            UserError: the file has no camera for this input, or a wrong one.
        """
        if self._cameras:
            return self._of_file(item, image_size_wh)
        if self._given is not None:
            check_view(self._given, image_size_wh, item.name, "the camera given with --intrinsics")
            return self._given, PINHOLE, "--intrinsics"
        if focal is not None and self._settings.fov is None:
            K = intrinsics_from_fov(USUAL_FOV_DEGREES, image_size_wh)
            K[[0, 1], [0, 1]] = focal.length_px
            return K, PINHOLE, focal.origin
        fov = self._settings.fov or USUAL_FOV_DEGREES
        origin = f"{'--fov' if self._settings.fov else 'assumed'}, {fov:g} degrees along the larger side"
        return intrinsics_from_fov(fov, image_size_wh), PINHOLE, origin

    def _of_file(self, item: DemoInput, image_size_wh: Sequence[int]) -> tuple[np.ndarray, Lens, str]:
        names = [c.name for c in self._cameras]
        found = [c for c in self._cameras if c.name in (item.stem, item.name)] or self._cameras
        if len(found) > 1:
            raise UserError(f"{self._settings.camera} has no camera called '{item.stem}'; it has {', '.join(names)}.")
        intrinsics = intrinsics_at_size(found[0], image_size_wh, item.name)
        check_view(intrinsics, image_size_wh, item.name, f"the camera '{found[0].name}'")
        return intrinsics.astype(np.float32), found[0].camera.lens, f"--camera, '{found[0].name}'"


def intrinsics_at_size(found: NamedCamera, image_size_wh: Sequence[int], name: str) -> np.ndarray:
    """Intrinsics [3, 3] for pictures of a size, which may be smaller or larger than the calibrated ones."""
    K = found.camera.K.copy()
    if found.image_size_wh is None:
        return K
    ratios = np.array(image_size_wh) / found.image_size_wh
    if np.abs(ratios - 1).max() <= SAME_SIZE:
        return K
    if abs(ratios[0] / ratios[1] - 1) > SAME_SIZE:
        size, calibrated = (" x ".join(map(str, s)) for s in (image_size_wh, found.image_size_wh))
        raise UserError(f"{name} has {size} pixels, the camera '{found.name}' was calibrated with {calibrated}.")
    K[:2] *= ratios[:, np.newaxis]
    K[:2, 2] += (ratios - 1) / 2  # pixel (0, 0) is the centre of a pixel
    return K
