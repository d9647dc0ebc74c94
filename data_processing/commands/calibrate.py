"""`python -m data_processing calibrate`: a camera from points in space and their pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Finds a camera from pairs of 3D points and pixels, e.g. motion capture and detected joints."""

    pairs: Path
    """.npz or .json with `points_mm` [..., 3] and `points_px` [..., 2], missing ones NaN (null in JSON); for `pose` and
    `robust` also the camera's `K` [3, 3], and if it has one (for `pose`) `distortion`, OpenCV's k1, k2, p1,
    p2[, ...]."""
    out: Path
    """JSON to write: K, R, position_mm, lens, up, and the reprojection error."""
    find: Literal["pose", "robust", "field-of-view", "intrinsics", "lens"] = "pose"
    """pose: where the camera of known K stands; robust: the same where some pairs are wrong; field-of-view: the pose,
    and the focal length of a camera with square pixels; intrinsics: K from points in the camera's frame; lens: K and
    distortion from such points."""
    image_size: tuple[int, int] | None = None
    """Width and height in px (for field-of-view and lens)."""
    inlier_px: float = setting(15.0, above=0)
    """Pairs further off than this are wrong ones (for robust)."""
    up: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """The world's up direction."""


def run(settings: Settings) -> None:
    import cv2
    import numpy as np

    from data_processing import calibration
    from data_processing.plain_files import camera_to_json, check_suffix, write_json
    from metrabs_acae.data.records import CameraParams, check_camera
    from metrabs_acae.errors import UserError

    check_suffix(settings.out, (".json",))
    world, pixels, K, distortion = _read_pairs(settings)
    size = settings.image_size
    if settings.find in ("field-of-view", "lens") and (size is None or min(size) < 1):
        raise UserError(f"--find {settings.find} needs --image-size WIDTH HEIGHT.")
    known = np.isfinite(world).all(1) & np.isfinite(pixels).all(1)
    world, pixels = world[known], pixels[known]
    origin = {"R": np.eye(3), "optical_center_mm": np.zeros(3), "world_up": settings.up}
    try:
        if settings.find == "pose":
            camera = calibration.fit_pose(world, pixels, K, distortion=distortion, world_up=settings.up)
        elif settings.find == "robust":
            rng = np.random.default_rng(0)
            camera = calibration.fit_pose_robust(
                world, pixels, K, rng=rng, inlier_px=settings.inlier_px, world_up=settings.up
            )
            if camera is None:
                raise ValueError(f"no camera puts {calibration.MIN_POINTS} pairs within the inlier distance")
        elif settings.find == "field-of-view":
            camera = calibration.fit_field_of_view(world, pixels, size, world_up=settings.up)
        elif (world[:, 2] <= 0).any():
            raise ValueError("points in the camera's frame must have positive depth (third coordinate)")
        elif settings.find == "lens":
            K, distortion = calibration.fit_lens(world, pixels, size)
            camera = CameraParams(K=K, lens=distortion, **origin)
        else:
            camera = CameraParams(K=calibration.fit_intrinsics(world, pixels), **origin)
        camera = check_camera(camera)
    except (ValueError, cv2.error, np.linalg.LinAlgError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if not isinstance(error, cv2.error) else "degenerate points"
        raise UserError(f"{settings.pairs} gives no camera from its {len(world)} complete pairs: {reason}.") from None
    errors = calibration.reprojection_error(camera, world, pixels)
    if not np.isfinite(np.median(errors)):
        raise UserError(f"{settings.pairs} gives no camera: it would have most points behind it.")
    seen = errors[np.isfinite(errors)]
    facts = {"pairs": len(world), "median": float(np.median(seen)), "largest": float(seen.max())}
    write_json(settings.out, {**camera_to_json(camera), "error_px": facts})
    print(f"{settings.out}: {len(world)} pairs, median error {facts['median']:.3g} px, largest {facts['largest']:.3g}")


def _read_pairs(settings: Settings):
    """World points [N, 3], pixels [N, 2], K [3, 3] or None, distortion or None; checked."""
    import numpy as np

    from data_processing.plain_files import read_arrays
    from metrabs_acae.data.records import CameraParams, check_camera
    from metrabs_acae.errors import UserError

    needs_K = settings.find in ("pose", "robust")
    required = ["points_mm", "points_px", *(["K"] if needs_K else [])]
    arrays = read_arrays(settings.pairs, required, ["distortion"])
    world, pixels = arrays["points_mm"], arrays["points_px"]
    if world.ndim < 2 or world.shape[-1] != 3 or pixels.shape != (*world.shape[:-1], 2):
        raise UserError(
            f"{settings.pairs}: points_mm {world.shape} and points_px {pixels.shape} should be [..., 3], [..., 2]."
        )
    K, distortion = arrays.get("K"), arrays.get("distortion")
    if needs_K:
        if settings.find == "robust" and distortion is not None and distortion.any():
            raise UserError("--find robust takes no distortion: undistort the pixels first, or use --find pose.")
        try:
            camera = check_camera(CameraParams(np.eye(3), np.zeros(3), K, distortion, settings.up))
        except UserError as error:
            raise UserError(f"{settings.pairs}: {error}.") from None
        K, distortion = camera.K, np.array(camera.lens.coefficients) if camera.lens.coefficients else None
    return world.reshape(-1, 3).astype(np.float64), pixels.reshape(-1, 2).astype(np.float64), K, distortion
