"""Thousands of random calls of all public inference methods: each ends in finite poses or in a clear error.

    python -m benchmarks.fuzz_inference [--cases 2400] [--seed 0]

The cases are divided among the methods; a case that breaks the rule is reduced to a small one and printed, and the exit
code is 1.
"""

from __future__ import annotations

import argparse
import collections
import os
import sys
import tempfile
import time
import traceback


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=2400)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    import tensorflow as tf

    from tests.inference import fuzzing

    per_method = -(-args.cases // len(fuzzing.METHODS))
    failed = False
    print(f"{'method':24s} {'cases':>6s} {'poses':>6s} {'nobody':>7s} {'errors':>7s} {'CPU s':>6s}")
    with tempfile.TemporaryDirectory() as folder:
        model = tf.saved_model.load(str(fuzzing.export_model(f"{folder}/model")))
        for method in fuzzing.METHODS:
            outcomes: collections.Counter = collections.Counter()
            start = time.process_time()
            try:
                try_cases(fuzzing, model, method, per_method, args.seed, outcomes)
            except Exception:
                failed = True
                traceback.print_exc()
            counts = [outcomes.total(), *(outcomes[k] for k in ("poses", "nobody", "error"))]
            seconds = time.process_time() - start
            print("{:24s} {:6d} {:6d} {:7d} {:7d} {:6.0f}".format(method, *counts, seconds), flush=True)
    return int(failed)


def try_cases(fuzzing, model, method: str, n_cases: int, seed: int, outcomes) -> None:
    """Counts the outcomes of a method's cases; raises at one that breaks the rule, reduced to a small one."""
    import hypothesis

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=n_cases,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    @hypothesis.given(fuzzing.case(method))
    def run(case):
        outcomes[fuzzing.check(model, method, *case)] += 1

    run()


if __name__ == "__main__":
    sys.exit(main())
