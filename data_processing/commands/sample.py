"""`python -m data_processing sample`: which frames of a recording are worth keeping."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Keeps a frame only when the person has moved since the frames kept before."""

    poses: Path
    """.npz or .json with `poses` [frames, joints, 3 or 2], missing joints NaN (null in JSON)."""
    out: Path
    """.npz or .json to write: `indices` [K] of the frames kept, `keep` [frames]."""
    threshold_mm: float = setting(100.0, at_least=0)
    """How far some joint must have moved, in the unit of the poses (mm; px for 2D ones)."""
    ring: int = setting(0, at_least=0)
    """Compare with each of the last so many kept poses; 0: with the last one only."""
    missing: Literal["default", "moved", "unmoved"] = "default"
    """What a missing joint counts as; default: moved, with --ring unmoved."""
    appearing: bool = False
    """A joint that is labelled now and was not in the kept pose counts as moved, a vanished one does not."""
    min_joints: int = setting(1, at_least=1)
    """How many joints must have moved (not with --ring)."""


def run(settings: Settings) -> None:
    import numpy as np

    from data_processing.plain_files import check_suffix, read_arrays, write_arrays
    from data_processing.sampling import BufferedMotionSampler, MotionSampler
    from metrabs_acae.errors import UserError

    check_suffix(settings.out)
    if settings.ring and settings.min_joints > 1:
        raise UserError("--min-joints and --ring do not go together.")
    poses = read_arrays(settings.poses, ["poses"])["poses"]
    if poses.ndim != 3 or poses.shape[2] not in (2, 3) or np.isinf(poses).any():
        raise UserError(f"{settings.poses}: poses have shape {poses.shape}; expected [frames, joints, 2 or 3], finite.")
    if settings.ring:
        sampler = BufferedMotionSampler(
            settings.threshold_mm,
            settings.ring,
            nan_is_unchanged=settings.missing != "moved",
            check_validity=settings.appearing,
        )
    else:
        sampler = MotionSampler(
            settings.threshold_mm,
            nan_is_motion=settings.missing != "unmoved",
            check_validity=settings.appearing,
            min_joints=settings.min_joints,
        )
    keep = np.array([sampler.keep(pose) for pose in poses], bool)
    write_arrays(settings.out, {"indices": np.flatnonzero(keep), "keep": keep})
    print(f"{settings.out}: {keep.sum()} of {len(keep)} frames kept")
