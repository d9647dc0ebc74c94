"""Trainings that are killed (SIGKILL) or stopped (Ctrl-C) at random moments end as if nothing had happened.

    python -m tests.faults.kills --kills 10 --stops 10 --accum 1 2 4

For each number of accumulation steps a tiny training runs undisturbed. Then the same command is interrupted again and
again, each time somewhere between two of the lines that it prints, and started anew until it is done; so several
interruptions may hit one training. Every variable of the last checkpoint, weights and optimizer state, has to be the
same to the bit. About ten processor seconds for each start.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from metrabs_acae.training import checkpoints
from tests.small_stores import write_store

ROOT = Path(__file__).parents[2]
STEPS, PERIOD = 60, 3
NETWORK = '''
import keras

def net(image_size):
    x = image = keras.Input((image_size, image_size, 3))
    for i in range(5):
        x = keras.layers.Conv2D(8, 3, 2, padding="same", name=f"c{i}")(x)
        x = keras.layers.BatchNormalization(name=f"n{i}")(x)
    return keras.Model(image, x)
'''
INTERRUPTED = {signal.SIGKILL: (-signal.SIGKILL,), signal.SIGINT: (130,)}


def prepare(folder: Path) -> None:
    """Two small stores and a network of 3,000 weights."""
    write_store(folder / "a", counts={"train": 12})
    write_store(folder / "c", kind="2d", seed=2, counts={"train": 12})
    (folder / "users_nets.py").write_text(NETWORK)


def training(logdir: str, *more: str, steps: int = STEPS) -> list[str]:
    """Arguments of a training of seconds whose checkpoints hold all there can be: moments, averages, seeds."""
    data = "--dataset3d a --dataset2d c --batch-size 8 --batch-size-2d 4 --ema-momentum 0.9"
    periods = f"--training-steps {steps} --checkpoint-period {PERIOD} --log-period {PERIOD} --validate-period {steps}"
    flags = f"--train --preset tiny --backbone users_nets:net --no-export-model {data} {periods} --logdir {logdir}"
    return [*flags.split(), *more]


def start(folder: Path, arguments: list[str], **kwargs) -> subprocess.Popen:
    """The program at work in `folder`."""
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{folder}", "CUDA_VISIBLE_DEVICES": "-1"}
    command = [sys.executable, "-m", "metrabs_acae.main", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes, **kwargs)


def run_until(process: subprocess.Popen, line: int, part: float, number: int) -> tuple[int, list[str], str]:
    """(exit code, lines, errors) of a process that gets a signal after a line and a part of the time to the next one.

    That time is taken to be what passed before the line. Line 0 is printed at once, as it were.
    """
    errors: list[str] = []
    reader = threading.Thread(target=lambda: errors.append(process.stderr.read()))
    reader.start()
    lines, before, now = [], time.monotonic(), time.monotonic()
    while True:
        if len(lines) == line:
            time.sleep(part * min(now - before, 4.0))
            process.send_signal(number)  # nothing happens if it has ended
        text = process.stdout.readline()
        if not text:
            break
        lines.append(text.rstrip())
        before, now = now, time.monotonic()
    code = process.wait()
    reader.join()
    return code, lines, errors[0]


def final_state(run: Path, steps: int = STEPS) -> dict[str, np.ndarray]:
    """All variables at the last step."""
    step, path = checkpoints.list_checkpoints(run / "checkpoints")[-1]
    assert step == steps, f"{run} ends with step {step}"
    return checkpoints.read(path)


def differing(expected: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> list[str]:
    """Names of variables that are not the same to the bit."""
    names = sorted(expected.keys() | found.keys())
    return [n for n in names if n not in expected or n not in found or expected[n].tobytes() != found[n].tobytes()]


def going_on(lines: list[str]) -> str:
    """Where a process stood when it was interrupted: the last step it told of, or its part of the way."""
    steps = [line.split("/")[0].removeprefix("step ") for line in lines if line.startswith("step ")]
    resumed = [line.split()[-1].rstrip(".") for line in lines if line.startswith("Going on from step")]
    return (steps or resumed or ["start"])[-1]


def disturb(folder: Path, arguments, expected, n_lines: int, number: int, count: int, rng, name: str, steps=STEPS):
    """`count` interruptions by one signal: (moments of each training, complaints)."""
    moments: list[list[str]] = []
    complaints: list[str] = []
    left = count
    while left:
        logdir = f"{name}-{len(moments)}"
        moments.append([])
        while True:
            line = rng.randrange(n_lines) if left else -1
            process = start(folder, arguments(logdir))
            code, lines, errors = run_until(process, line, rng.random(), number)
            if code == 0:
                break
            left -= 1
            moments[-1].append(going_on(lines))
            at_work = any(text.startswith("Run folder") for text in lines) and not lines[-1].startswith("Done")
            if at_work and code not in INTERRUPTED[number]:
                complaints.append(f"{logdir}: exit code {code} after {lines[-1:]}: {errors[-300:]}")
                return moments, complaints
        if different := differing(expected, final_state(folder / logdir, steps)):
            complaints.append(f"{logdir}: {len(different)} variables differ, e.g. {different[0]}")
    return moments, complaints


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--stops", type=int, default=10)
    parser.add_argument("--accum", type=int, nargs="+", default=[1, 2, 4], help="accumulation steps")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells switch it off for what runs in the background
    rng = random.Random(given.seed)
    complaints = []
    print("| accumulation | signal | interruptions | trainings | after the step (of each training) | bit-identical |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for accum in given.accum:

            def arguments(logdir: str, accum=accum) -> list[str]:
                return training(logdir, "--grad-accum-steps", str(accum))

            undisturbed = start(folder, arguments(f"whole-{accum}"))
            code, lines, errors = run_until(undisturbed, -1, 0, signal.SIGKILL)
            if code:
                print(errors, file=sys.stderr)
                return 1
            expected = final_state(folder / f"whole-{accum}")
            for number, count in ((signal.SIGKILL, given.kills), (signal.SIGINT, given.stops)):
                label = f"{number.name}-{accum}"
                moments, found = disturb(folder, arguments, expected, len(lines), number, count, rng, label)
                complaints += found
                shown = "; ".join(", ".join(m) or "-" for m in moments)
                row = [accum, number.name, sum(map(len, moments)), len(moments), shown, "no" if found else "yes"]
                print("| " + " | ".join(map(str, row)) + " |", flush=True)
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
