"""Calibrates BML-MoVi's phone cameras, which come without calibration, from a pose estimator's predictions.

The phones' focal length is known (1508.7 px); their start differs from the motion capture's by some seconds. The offset
is the one at which the predicted 3D poses agree best with the captured ones (after rigid alignment), the camera the one
that projects the captured joints to the predicted 2D ones. CP1 stands on a tripod, CP2 is held in the hand.
"""

from __future__ import annotations

import numpy as np

from data_processing.calibration import fit_pose_robust
from data_processing.datasets.bml_movi import MOCAP_HZ, PHONE_K, interpolate
from data_processing.plain_files import read_arrays
from data_processing.sampling import MotionSampler
from metrabs_acae.errors import UserError
from metrabs_acae.geometry.alignment import procrustes

JOINTS = slice(67, 87)
"""The 20 joints among the 87 points; predictions have these."""
N_JOINTS = 20
MAX_ERROR_MM = 100.0
WIDE_RANGES_S = ((-15, 0), (0, 15), (15, 30), (30, 45))
EXHAUSTIVE_S = np.linspace(-20, 40, 300)
HALF_RANGE_S = 0.5
MIN_JOINTS, MIN_FRAMES = 4, 10
MAX_POSES = 300
"""Poses spread over the video that the search for the offset uses."""


def load_predictions(path) -> tuple[np.ndarray, np.ndarray]:
    """Arrays poses3d [F, 20, 3] mm and poses2d [F, 20, 2] px of an npz file, NaN in frames without a person."""
    arrays = read_arrays(path, ["poses3d", "poses2d"])
    poses3d, poses2d = (arrays[name].astype(np.float64) for name in ("poses3d", "poses2d"))
    if poses3d.shape[1:] != (N_JOINTS, 3) or poses2d.shape != (len(poses3d), N_JOINTS, 2):
        raise UserError(
            f"{path}: poses3d {poses3d.shape} and poses2d {poses2d.shape} should be [F, 20, 3], [F, 20, 2]."
        )
    return poses3d, poses2d


def calibrate(markers: np.ndarray, poses3d: np.ndarray, poses2d: np.ndarray, fps: float, *, moving: bool) -> dict:
    """Time offset and cameras of one video, as phones.json holds them.

    Args:
        markers: [mocap frames, 87, 3] mm.
        moving: True for a hand-held camera, which gets a camera per frame.

    Raises:
        UserError: no offset makes predictions and capture agree to 100 mm, or no camera fits.
    """
    joints = markers[:, JOINTS]
    offset = find_offset(joints, poses3d, fps)
    captured = interpolate(joints, len(poses3d), fps, offset)
    rng = np.random.default_rng(1234)
    cameras: dict[str, dict | None] = {}
    if not moving:
        camera = fit_pose_robust(captured.reshape(-1, 3), poses2d.reshape(-1, 2), PHONE_K, rng=rng)
        if camera is None:
            raise UserError("no camera fits the predictions")
        cameras["0"] = _to_json(camera)
    else:
        for i, (points, pixels) in enumerate(zip(captured, poses2d, strict=True)):
            cameras[str(i)] = _to_json(fit_pose_robust(points, pixels, PHONE_K, rng=rng))
    return {"time_offset_s": float(offset), "cameras": cameras}


def find_offset(joints: np.ndarray, poses3d: np.ndarray, fps: float) -> float:
    """By how many seconds the motion capture begins after the video."""
    from scipy.optimize import minimize_scalar

    def cost(offset: float) -> float:
        return alignment_error(joints, poses3d, fps, offset)

    def search(low: float, high: float):
        return minimize_scalar(cost, bounds=(low, high), method="bounded", options={"xatol": 1 / 240})

    guess = first_movement(poses3d) / fps - first_movement(joints) / MOCAP_HZ
    found = search(guess - HALF_RANGE_S, guess + HALF_RANGE_S)
    if found.fun > MAX_ERROR_MM:
        found = min((search(*r) for r in WIDE_RANGES_S), key=lambda r: r.fun)
    if found.fun > MAX_ERROR_MM:
        guess = min(EXHAUSTIVE_S, key=cost)
        found = search(guess - HALF_RANGE_S, guess + HALF_RANGE_S)
    if found.fun > MAX_ERROR_MM:
        raise UserError(f"predictions and motion capture differ by {found.fun:.0f} mm at best")
    return float(found.x)


def first_movement(poses: np.ndarray, threshold_mm: float = 300.0) -> int:
    """The first frame in which some joint is far from where it was at the beginning; 0 without one."""
    sampler = MotionSampler(threshold_mm, nan_is_motion=False)
    kept = (i for i, pose in enumerate(poses) if sampler.keep(pose))
    next(kept, None)
    return next(kept, 0)


def alignment_error(joints: np.ndarray, poses3d: np.ndarray, fps: float, offset: float) -> float:
    """Mean distance in mm after each pose was rotated and moved onto its counterpart; large where few poses meet."""
    captured = interpolate(joints, len(poses3d), fps, offset)
    valid = np.isfinite(captured).all(-1) & np.isfinite(poses3d).all(-1)
    frames = np.flatnonzero(valid.sum(1) >= MIN_JOINTS)
    if len(frames) < MIN_FRAMES:
        return 1e6
    frames = frames[:: max(1, len(frames) // MAX_POSES)]
    captured, predicted, valid = captured[frames], poses3d[frames], valid[frames]
    moved = procrustes(captured, predicted, valid=valid, allow_scaling=False)
    return float(np.linalg.norm(moved - predicted, axis=-1)[valid].mean())


def _to_json(camera) -> dict | None:
    if camera is None:
        return None
    t = -camera.R @ camera.optical_center_mm
    return {"R": camera.R.tolist(), "t_mm": t.tolist()}
