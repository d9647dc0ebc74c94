"""Step 2b of the method: from a file of poses to an autoencoder and a report on it."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from metrabs_acae.acae.settings import AcaeFit
from metrabs_acae.errors import UserError

_TEST_BLOCKS = 10


def train_acae(
    poses_path: str | Path,
    out_path: str | Path,
    settings: AcaeFit | None = None,
    *,
    hold_out: bool = True,
    report_dir: str | Path | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = print,
) -> dict:
    """Fits an autoencoder to the poses of a file, saves it and writes a report.

    Args:
        poses_path: .npz or .h5 with `poses` [K, J, 3] mm, camera frame, and `joint_names` [J].
        out_path: acae.npz to write.
        settings: of the fit.
        hold_out: keep every tenth block of poses out of the fit and measure on them.
        report_dir: folder of the report; None: `out_path` without its suffix, plus "-report".
        seed, progress: see `fit_acae`.

    Returns:
        the report's numbers.
    """
    from metrabs_acae.acae.fitting import fit_acae, head_weights
    from metrabs_acae.acae.poses_io import load_poses
    from metrabs_acae.acae.report import write_report

    out_path = Path(out_path)
    if out_path.suffix != ".npz":
        raise UserError(f"The autoencoder is written to an .npz file; got the name {out_path}.")
    pose_set = load_poses(poses_path)
    train_rows, test_rows = split_rows(len(pose_set.poses_mm)) if hold_out else (None, None)
    progress(
        f"{len(pose_set.poses_mm)} poses of {len(pose_set.joint_names)} joints"
        + (f", {len(test_rows)} of them held out." if test_rows is not None else ".")
    )
    began = time.monotonic()
    of_fit = dataclasses.asdict(settings or AcaeFit())
    head_weight, threshold = of_fit.pop("head_weight"), of_fit.pop("threshold")
    acae = fit_acae(
        pose_set.poses_mm,
        pose_set.joint_names,
        rows=train_rows,
        unit_is_known=pose_set.unit_is_known,
        joint_weights=head_weights(pose_set.joint_names, head_weight) if head_weight != 1 else None,
        seed=seed,
        progress=progress,
        **of_fit,
    )
    if threshold > 0:
        acae = acae.thresholded(threshold)
    progress(f"Fitted in {time.monotonic() - began:.1f} s.")
    acae.save(out_path)
    measured = pose_set.poses_mm if test_rows is None else _measured(pose_set.poses_mm, test_rows)
    report_dir = Path(report_dir) if report_dir else out_path.with_name(out_path.stem + "-report")
    numbers = write_report(acae, measured, report_dir, held_out=test_rows is not None)
    progress(
        f"Reconstruction error {numbers['error_2d_mm']:.1f} mm in the image plane, {numbers['error_3d_mm']:.1f} mm in "
        f"3D. Wrote {out_path} and {report_dir / 'report.md'}."
    )
    return numbers


def split_rows(n_poses: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows to fit and rows to measure on: every tenth of a hundred equal blocks, since neighbours are alike.

    Of fewer than 200 poses none are held out.
    """
    rows = np.arange(n_poses)
    if n_poses < 200:
        return rows, None
    test = rows * 100 // n_poses % _TEST_BLOCKS == _TEST_BLOCKS - 1
    return rows[~test], rows[test]


def _measured(poses_mm: np.ndarray, rows: np.ndarray, at_most: int = 20_000) -> np.ndarray:
    """At most so many of the held-out poses, in memory."""
    return np.asarray(poses_mm[rows[:: -(-len(rows) // at_most)]])
