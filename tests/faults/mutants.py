"""Which small changes of the core do its tests see? Random mutants, made by cosmic-ray.

    pip install cosmic-ray
    python -m tests.faults.mutants --count 100 --seed 0

Works on a copy of the tracked files. A mutant of `metrabs_acae/a/b.py` meets tests/a/test_b.py first, then all of
tests/a. Annotations, which are never run, are left as they are.
"""

from __future__ import annotations

import argparse
import ast
import importlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_suffix(".toml")


def annotated_places(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """(line, column) of begin and end of all annotations."""
    nodes = []
    for node in ast.walk(ast.parse(source)):
        nodes += [getattr(node, "annotation", None), getattr(node, "returns", None)]
    return [((n.lineno, n.col_offset), (n.end_lineno, n.end_col_offset)) for n in nodes if n is not None]


def tests_of(module: Path) -> list[str]:
    """The test file of a module, if it has one, then the folder of tests that mirrors the module's."""
    folder = Path("tests", *module.parts[1:-1])
    own = folder / f"test_{module.name}"
    return [str(p) for p in (own, folder) if (ROOT / p).exists()]


def sample(count: int, seed: int) -> list:
    """Random mutations of the modules that the configuration names, at most one of each place in the code.

    Otherwise most would be of arithmetic, because each operator can become any of ten others.
    """
    from cosmic_ray.commands.init import _all_work_items
    from cosmic_ray.config import load_config
    from cosmic_ray.modules import filter_paths, find_modules

    config = load_config(str(CONFIG))
    paths = filter_paths(find_modules(Path(p) for p in config["module-path"]), config["excluded-modules"])
    places = defaultdict(list)
    for path in sorted(paths):
        annotations = annotated_places(path.read_text(encoding="utf-8"))
        for item in _all_work_items([path], {}):
            mutation = item.mutations[0]
            if not any(begin <= mutation.start_pos < end for begin, end in annotations):
                places[path, mutation.start_pos].append(mutation)
    rng = random.Random(seed)
    return [rng.choice(places[place]) for place in rng.sample(list(places), min(count, len(places)))]


def verdict(mutation, tests: list[str], timeout_s: float) -> tuple[str, str]:
    """What the tests say to a mutation: (caught, survived or timeout; the changed line)."""
    from cosmic_ray.mutating import use_mutation
    from cosmic_ray.plugins import get_operator

    operator = get_operator(mutation.operator_name)(**mutation.operator_args)
    with use_mutation(mutation.module_path, operator, mutation.occurrence) as (before, after):
        lines = list(zip(before.splitlines(), after.splitlines(), strict=False))
        change = next(f"`{a.strip()}` -> `{b.strip()}`" for a, b in lines if a != b)
        for path in tests:
            code = run_forked(path, timeout_s)
            if code:
                return ("caught" if code > 0 else "timeout"), change
    return "survived", change


def run_forked(tests: str, timeout_s: float) -> int:
    """The exit code of pytest, -1 after the time; in a fork, which finds TensorFlow imported already."""
    import pytest

    child = os.fork()
    if not child:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
            for name in [n for n in sys.modules if n.split(".")[0] == "tests"]:
                del sys.modules[name]  # they are read from the copy
            os._exit(int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", tests])) and 1)
    until = time.monotonic() + timeout_s
    while time.monotonic() < until:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return 1 if status else 0
        time.sleep(0.1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return -1


def copy_tracked_files(target: str) -> None:
    for name in subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")[:-1]:
        path = Path(target, name)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the sample's mutants to try again")
    parser.add_argument("--own-file-only", action="store_true", help="only the test file of the module, if it has one")
    arguments = parser.parse_args()
    from cosmic_ray.config import load_config

    os.environ.update(CUDA_VISIBLE_DEVICES="-1", KERAS_BACKEND="tensorflow", PYTHONDONTWRITEBYTECODE="1")
    sys.dont_write_bytecode = True
    for package in ("tensorflow", "keras", "cv2", "h5py", "hypothesis", "scipy.optimize"):
        importlib.import_module(package)
    config = load_config(str(CONFIG))
    chosen = sample(arguments.count, arguments.seed)
    outcomes = defaultdict(list)
    with tempfile.TemporaryDirectory() as copy:
        copy_tracked_files(copy)
        os.chdir(copy)
        sys.path[:0] = [copy]
        sys.path[:] = [p for p in sys.path if p not in ("", str(ROOT))]
        numbers = arguments.only or range(len(chosen))
        for tests in sorted({tests_of(chosen[number].module_path)[0] for number in numbers}):
            if run_forked(tests, config["timeout"]):
                print(f"{tests} fails as it is; mend that first.", file=sys.stderr)
                return 1
        for number in numbers:
            mutation = chosen[number]
            tests = tests_of(mutation.module_path)
            outcome, change = verdict(mutation, tests[:1] if arguments.own_file_only else tests, config["timeout"])
            outcomes[str(mutation.module_path)].append(outcome)
            print(f"{number:3d} {outcome:9s} {mutation.module_path}:{mutation.start_pos[0]} {change}", flush=True)
    print("\n| file | mutants | caught |\n|---|---|---|")
    for module, found in sorted(outcomes.items()) + [("all", sum(outcomes.values(), []))]:
        print(f"| {module} | {len(found)} | {found.count('caught')} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
