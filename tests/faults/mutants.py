"""Which small changes of the core do the tests see? Random mutants, made by cosmic-ray, against the tests of their folder.

    pip install cosmic-ray
    python -m tests.faults.mutants --count 100 --seed 0

Works on a copy of the tracked files. A mutant of `metrabs_acae/a/b.py` meets tests/a/test_b.py first, then all of tests/a.
Annotations, which are never run, are left as they are.
"""

from __future__ import annotations

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
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


def changed_line(diff: str) -> str:
    lines = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("---", "+++")]
    return " -> ".join(f"`{line[1:].strip()}`" for line in lines[:1] + lines[-1:])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of the sample's mutants to try again")
    arguments = parser.parse_args()
    from cosmic_ray.config import load_config
    from cosmic_ray.mutating import mutate_and_test

    with tempfile.TemporaryDirectory() as copy:
        for name in subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True).split("\0")[:-1]:
            target = Path(copy, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, target)
        os.chdir(copy)
        os.environ.update(PYTHONPATH=copy, CUDA_VISIBLE_DEVICES="-1")
        config = load_config(str(CONFIG))
        chosen = sample(arguments.count, arguments.seed)
        outcomes = defaultdict(list)
        for number, mutation in enumerate(chosen):
            if arguments.only and number not in arguments.only:
                continue
            module = mutation.module_path
            tests = " ".join(tests_of(module))
            command = config["test-command"].format(python=sys.executable, tests=tests)
            result = mutate_and_test([mutation], command, config["timeout"])
            outcome = result.test_outcome.value if result.output != "timeout" else "timeout"
            outcomes[str(module)].append(outcome)
            line = f"{module}:{mutation.start_pos[0]} {changed_line(result.diff or '')}"
            print(f"{number:3d} {outcome:11s} {line}", flush=True)
    print("\n| file | mutants | caught |\n|---|---|---|")
    for module, found in sorted(outcomes.items()) + [("all", sum(outcomes.values(), []))]:
        print(f"| {module} | {len(found)} | {sum(o != 'survived' for o in found)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
