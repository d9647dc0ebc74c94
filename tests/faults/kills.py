"""Trainings that are killed, stopped or out of disk space at random moments end as if nothing had happened.

    python -m tests.faults.kills --kills 10 --stops 10 --full-disks 10 --accum 1 2 4

For each number of accumulation steps a tiny training runs undisturbed. Then the same command is interrupted again and
again, by SIGKILL, by Ctrl-C or because no file may grow beyond a random size, each time somewhere between two of the
lines that it prints, and started anew until it is done; so several interruptions may hit one training. Every variable
of the last checkpoint, weights and optimizer state, has to be the same to the bit. The processes are forks of one that
has imported TensorFlow, about five processor seconds each.
"""

from __future__ import annotations

import argparse
import importlib
import os
import random
import resource
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from metrabs_acae import main as program
from metrabs_acae.training import checkpoints
from tests.small_stores import write_store

STEPS, PERIOD = 60, 3
NETWORK = """
import keras

def net(image_size):
    x = image = keras.Input((image_size, image_size, 3))
    for i in range(5):
        x = keras.layers.Conv2D(8, 3, 2, padding="same", name=f"c{i}")(x)
        x = keras.layers.BatchNormalization(name=f"n{i}")(x)
    return keras.Model(image, x)
"""
EXIT_CODES = {"kill": -signal.SIGKILL, "stop": 130, "full disk": 2}
SIGNALS = {"kill": signal.SIGKILL, "stop": signal.SIGINT, "full disk": 0}


def prepare(folder: Path) -> None:
    """Two small stores and a network of 3,000 weights."""
    write_store(folder / "a", counts={"train": 12})
    write_store(folder / "c", kind="2d", seed=2, counts={"train": 12})
    (folder / "users_nets.py").write_text(NETWORK)


def training(logdir: str, *more: str) -> list[str]:
    """Arguments of a training of seconds whose checkpoints hold all there can be: moments, averages, seeds."""
    data = "--dataset3d a --dataset2d c --batch-size 8 --batch-size-2d 4 --ema-momentum 0.9"
    periods = f"--training-steps {STEPS} --checkpoint-period {PERIOD} --log-period {PERIOD} --validate-period {STEPS}"
    flags = f"--train --preset tiny --backbone users_nets:net --no-export-model {data} {periods} --logdir {logdir}"
    return [*flags.split(), *more]


class Program:
    """`metrabs_acae.main` at work in a folder, in a fork of this process.

    Args:
        room: no file may grow beyond so many bytes; None: any.
    """

    def __init__(self, folder: Path, arguments: list[str], room: int | None = None):
        ends = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            self._work(folder, arguments, room, [writing for _, writing in ends])
        for _, writing in ends:
            os.close(writing)
        self.stdout, self.stderr = (open(reading) for reading, _ in ends)

    @staticmethod
    def _work(folder: Path, arguments: list[str], room: int | None, pipes: list[int]) -> None:
        code = 1
        try:
            for number, pipe in enumerate(pipes, start=1):
                os.dup2(pipe, number)
            sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
            os.chdir(folder)
            sys.path.insert(0, str(folder))
            if room is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
            code = program.main(arguments)
            sys.stdout.flush()
            sys.stderr.flush()
        finally:
            os._exit(code)

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def run_until(process: Program, line: int, part: float, number: int) -> tuple[int, list[str], str]:
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
            os.kill(process.pid, number)
        text = process.stdout.readline()
        if not text:
            break
        lines.append(text.rstrip())
        before, now = now, time.monotonic()
    code = process.wait()
    reader.join()
    return code, lines, errors[0]


def final_state(run: Path) -> dict[str, np.ndarray]:
    """All variables at the last step."""
    step, path = checkpoints.list_checkpoints(run / "checkpoints")[-1]
    assert step == STEPS, f"{run} ends with step {step}"
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


def disturb(folder: Path, arguments, expected, n_lines: int, how: str, count: int, rng: random.Random, name: str):
    """`count` interruptions of one kind: (moments of each training, complaints)."""
    moments: list[list[str]] = []
    complaints: list[str] = []
    left = count
    while left:
        logdir = f"{name}-{len(moments)}"
        moments.append([])
        while True:
            room = int(10 ** rng.uniform(2, 5.1)) if left and how == "full disk" else None
            line = rng.randrange(n_lines) if left and room is None else -1
            process = Program(folder, arguments(logdir), room)
            code, lines, errors = run_until(process, line, rng.random(), SIGNALS[how])
            if code == 0:
                break
            left -= 1
            moments[-1].append(going_on(lines))
            at_work = any(text.startswith("Run folder") for text in lines) and not lines[-1].startswith("Done")
            if (at_work or room) and code != EXIT_CODES[how] or "Traceback" in errors:
                complaints.append(f"{logdir}: exit code {code}, {room} bytes of room, {lines[-1:]}: {errors[-3000:]}")
                return moments, complaints
        if different := differing(expected, final_state(folder / logdir)):
            complaints.append(f"{logdir}: {len(different)} variables differ, e.g. {different[0]}")
    return moments, complaints


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for option in ("kills", "stops", "full-disks"):
        parser.add_argument(f"--{option}", type=int, default=10)
    parser.add_argument("--accum", type=int, nargs="+", default=[1, 2, 4], help="accumulation steps")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # shells switch it off for what runs in the background
    os.environ.update(CUDA_VISIBLE_DEVICES="-1", TF_CPP_MIN_LOG_LEVEL="3")
    for package in ("tensorflow", "keras", "numba", "h5py", "matplotlib.pyplot"):
        importlib.import_module(package)
    rng = random.Random(given.seed)
    complaints = []
    print(
        "| accumulation | interrupted by | how often | trainings | after the step (of each training) | bit-identical |"
    )
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for accum in given.accum:

            def arguments(logdir: str, accum=accum) -> list[str]:
                return training(logdir, "--grad-accum-steps", str(accum))

            code, lines, errors = run_until(Program(folder, arguments(f"whole-{accum}")), -1, 0, 0)
            if code:
                print(errors, file=sys.stderr)
                return 1
            expected = final_state(folder / f"whole-{accum}")
            for how, count in zip(EXIT_CODES, (given.kills, given.stops, given.full_disks), strict=True):
                label = f"{how.replace(' ', '-')}-{accum}"
                moments, found = disturb(folder, arguments, expected, len(lines), how, count, rng, label)
                complaints += found
                shown = "; ".join(", ".join(m) or "-" for m in moments)
                row = [accum, how, sum(map(len, moments)), len(moments), shown, "no" if found else "yes"]
                print("| " + " | ".join(map(str, row)) + " |", *found, sep="\n" if found else "", flush=True)
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
