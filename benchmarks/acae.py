"""Fitting the affine-combining autoencoder: losses, sparsity and CPU cost against the public reference.

    python -m benchmarks.acae POSES.npz [POSES.npz ...] [--train 3200] [--ablations]

The reference's figures hold for the set of 4,000 poses of 117 joints that they were measured on (files with `poses` and
`joint_names`, put one after another; the first 3,200 train, the others test): 6,000 steps of 32 poses, lambda 0.6,
signed weights, three seeds. Judged is the total loss on the test poses less its constant floor, over three seeds; the
goal is the reference's or less, in a tenth of its CPU time. Without files, the 200 poses in `tests/golden` are used,
which the reference's figures do not fit.

CPU seconds of the process are measured, after one short fit that loads and compiles everything. All fits take about two
minutes (with --ablations five) on one core. A table is printed, and the numbers are written to
`benchmarks/results/acae.json` (or --out).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from datetime import datetime
from pathlib import Path

import numpy as np

from metrabs_acae.acae import fit_acae, load_poses
from metrabs_acae.acae.measure import losses, reconstruction_errors, weight_statistics

# latents: (central ones, lowest and highest excess of three seeds in metres, CPU seconds at L = 8 and 48 measured)
REFERENCE = {
    8: (2, 0.0344, 0.0357, 23.4),
    16: (4, 0.0173, 0.0190, None),
    32: (8, 0.0101, 0.0118, None),
    48: (8, 0.0076, 0.0085, 31.2),
}
SPARSITY = 0.6
CASES = {
    "signed": dict(weights="affine"),
    "nonnegative": dict(weights="nonnegative"),
}
ABLATIONS = {
    "signed, random start": dict(weights="affine", start="random"),
    "nonnegative, random start": dict(weights="nonnegative", start="random"),
    "nonnegative, not chiral": dict(weights="nonnegative", chiral=False),
    "nonnegative, 3D loss": dict(weights="nonnegative", loss_space="3d"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    golden = Path(__file__).parents[1] / "tests" / "golden" / "acae_poses.npz"
    parser.add_argument("poses", nargs="*", type=Path, default=[golden])
    parser.add_argument("--train", type=int, help="poses to fit to; the others test (default: four fifths)")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ablations", action="store_true", help="also fit without the parts that matter")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "acae.json")
    args = parser.parse_args()

    sets = [load_poses(path) for path in args.poses]
    poses = np.concatenate([s.poses_mm for s in sets])
    names = sets[0].joint_names
    n_train = args.train or len(poses) * 4 // 5
    train, test = poses[:n_train], poses[n_train:]
    fit_acae(train, names, n_latents=8, n_center_latents=2, steps=6, n_restarts=1)

    print(f"{len(train)} poses to fit, {len(test)} to test, {len(names)} joints; losses in mm, {args.seeds} seeds")
    print(
        f"{'case':26} {'L':>3} {'main':>12} {'excess':>12} {'reference':>12} {'3D mm':>10} {'zeros enc/dec':>14}"
        f" {'CPU-s':>6} {'ref.':>6}"
    )
    rows = []
    for case, settings in (CASES | (ABLATIONS if args.ablations else {})).items():
        for n_latents, reference in REFERENCE.items():
            runs = [fit(train, test, names, n_latents, seed, settings) for seed in range(args.seeds)]
            rows.append({"case": case, "n_latents": n_latents, "runs": runs})
            print(line(case, n_latents, runs, reference if case == "signed" else None), flush=True)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    details = {"n_train": len(train), "n_test": len(test), "n_joints": len(names), "reference": REFERENCE}
    args.out.write_text(json.dumps({**machine(), **details, "rows": rows}, indent=1) + "\n")
    print(f"written to {args.out}")


def fit(train, test, names, n_latents: int, seed: int, settings: dict) -> dict[str, float]:
    start = time.process_time()
    acae = fit_acae(train, names, n_latents=n_latents, n_center_latents=REFERENCE[n_latents][0], seed=seed, **settings)
    cpu = time.process_time() - start
    errors = reconstruction_errors(acae, test)
    measured = losses(acae, errors, sparsity=SPARSITY)
    encoder, decoder = weight_statistics(acae.encoder), weight_statistics(acae.decoder)
    return {
        **measured,
        "error_3d_mm": float(errors.joint_3d_mm.mean()),
        "encoder_zeros": encoder["small_fraction"],
        "decoder_zeros": decoder["small_fraction"],
        "encoder_negative": encoder["negative_fraction"],
        "cpu_seconds": cpu,
    }


def line(case: str, n_latents: int, runs: list[dict], reference) -> str:
    def spread(name: str, factor: float = 1, digits: int = 2) -> str:
        values = [r[name] * factor for r in runs]
        return f"{min(values):.{digits}f}-{max(values):.{digits}f}"

    mean = {name: np.mean([r[name] for r in runs]) for name in runs[0]}
    zeros = f"{mean['encoder_zeros']:.0%} / {mean['decoder_zeros']:.0%}"
    theirs = f"{reference[1] * 1e3:.1f}-{reference[2] * 1e3:.1f}" if reference else ""
    their_cpu = f"{reference[3]:.1f}" if reference and reference[3] else ""
    return (
        f"{case:26} {n_latents:3} {spread('main', 1e3):>12} {spread('excess', 1e3):>12} {theirs:>12} "
        f"{spread('error_3d_mm', 1, 0):>10} {zeros:>14} {mean['cpu_seconds']:6.2f} {their_cpu:>6}"
    )


def machine() -> dict:
    cpuinfo = Path("/proc/cpuinfo")
    found = (
        [x.split(":", 1)[1].strip() for x in cpuinfo.read_text().splitlines() if "model name" in x]
        if cpuinfo.exists()
        else []
    )
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "cpu": found[0] if found else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "numpy": np.__version__,
    }


if __name__ == "__main__":
    main()
