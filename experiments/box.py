"""`python -m experiments.box`: the model in the box, by the paper's method on pictures labelled in every skeleton.

Each step is a command of this project: the data, separate heads, pseudo-labels, the autoencoder, the fine-tuning with
output regularization, packing, the errors to expect. What is there is kept and a killed step goes on, so the same
command may be run until it is done. It takes more than an hour on two cores; what it cost and gave is in
`metrabs_acae/pretrained/README.md`.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings

PROGRAM = "python -m experiments.box"
SHARES = {"box-wild": 12, "box-bright": 4, "box-outdoor": 7, "box-studio": 5, "box-hall": 4}
"""Store -> examples in a batch of 32."""
BENCHMARKS = ("h36m-test", "3dhp-test", "mupots-test", "3dpw-test", "all")
AUGMENTATION = (
    *("--rot-aug", "12", "--scale-aug-up", "12", "--scale-aug-down", "15", "--shift-aug", "5"),
    *("--color-aug", "--occlude-aug-prob", "0.1"),
)


@settings
class Box:
    """Makes the model in the box."""

    work_dir: Path = setting(Path("runs") / "box")
    """Data, runs and poses."""
    steps: int = setting(4000, above=0)
    """Training steps of the separate heads, of 32 crops each."""
    finetuning_steps: int = setting(2000, above=0)
    """Steps of the fine-tuning with the autoencoder."""
    size: str = setting("large")
    """Size of the data; tiny: every step once, for tests."""
    out: Path = setting(Path("metrabs_acae") / "pretrained")
    """Where the packed model goes."""
    benchmarks: Path = setting(Path("synthetic-data") / "small")
    """Embedded data whose test sets the models are scored on; made if they are not there."""


def commands(box: Box) -> list[tuple[str, Path, list[str]]]:
    """(what it does, what is there when it is done, the command) of each step."""
    data, separate, regularized = (box.work_dir / name for name in ("data", "separate", "regularized"))
    poses, acae = box.work_dir / "poses.npz", box.work_dir / "acae.npz"
    tests = [f"synthetic-{name}" for name in BENCHMARKS]
    main, processing = ["metrabs_acae.main"], ["data_processing", "synthetic"]
    mixture = ["--dataset3d", *(f"{data / name}:{count}" for name, count in SHARES.items())]
    scored = ["--test-on", *(str(box.benchmarks / name) for name in tests)]
    training = [*main, "--train", *mixture, *scored, *AUGMENTATION, "--checkpoint-period", "100"]
    small = box.size == "tiny"
    finetuning = [
        "--variant", "regularize", "--init-path", str(separate), "--acae", str(acae),
        "--training-steps", str(box.finetuning_steps), "--base-learning-rate", "7e-4",
    ]  # fmt: skip
    fit = ["--n-latents", "8", "--n-center-latents", "2", "--acae-steps", "20"] if small else []
    return [
        (
            "test data",
            box.benchmarks / tests[-1],
            [*processing, "--size", "tiny" if small else "small", "--out", str(box.benchmarks), "--stores", *tests],
        ),
        ("data", data / "box-hall", [*processing, "--size", box.size, "--out", str(data), "--stores", *SHARES]),
        (
            "separate heads",
            separate / "finished.json",
            [*training, "--training-steps", str(box.steps), "--logdir", str(separate)],
        ),
        (
            "pseudo-labels",
            poses,
            [*main, "--pseudo-labels", "--load-path", str(separate), "--poses-file", str(poses),
             "--pseudo-label-on", str(data / "box-studio")],
        ),
        ("autoencoder", acae, [*main, "--train-acae", "--poses-file", str(poses), "--acae", str(acae), *fit]),
        (
            "output regularization",
            regularized / "finished.json",
            [*training, *finetuning, "--logdir", str(regularized)],
        ),
        (
            "packing",
            box.out / "packed.json",
            [*main, "--pack", str(box.out), "--load-path", str(regularized), *scored],
        ),
        (
            "errors to expect",
            box.out / "error_map.json",
            ["experiments.error_map", "--model", str(box.out), *(["--people", "10"] if small else [])],
        ),
    ]  # fmt: skip


def make(box: Box) -> int:
    """Runs the steps whose results are missing; the exit code of the first that fails, or 0."""
    for what, done, command in commands(box):
        if done.exists():
            print(f"There already: {what} ({done})")
            continue
        print(f"+ python -m {' '.join(command)}", flush=True)
        if code := subprocess.run([sys.executable, "-m", *command]).returncode:
            return code
    return 0


def main(arguments: list[str] | None = None) -> int:
    return exit_code(lambda: make(parse(Box, sys.argv[1:] if arguments is None else arguments, PROGRAM)))


if __name__ == "__main__":
    sys.exit(main())
