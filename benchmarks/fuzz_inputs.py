"""A thousand damaged, cut off and renamed files through --demo: results or a sentence, and none beside them lost.

    python -m benchmarks.fuzz_inputs [--files 1000] [--seed 0]

Folders of 20 files are posed together with two good ones; a tenth of the files are boxes and cameras. The first case
that breaks the rule ends it with a traceback; its folder is kept.
"""

from __future__ import annotations

import argparse
import collections
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

FILES_PER_FOLDER = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    folder = Path(tempfile.mkdtemp(prefix="fuzz_inputs."))
    outcomes = run(folder, args.files, args.seed)
    shutil.rmtree(folder)
    for (kind, outcome), n in sorted(outcomes.items()):
        print(f"{kind:8s} {outcome:8s} {n:5d}")
    return 0


def run(folder: Path, n_files: int, seed: int) -> collections.Counter:
    """(kind, outcome): number of files."""
    import numpy as np
    import tensorflow as tf

    from tests.inference import fuzzing, fuzzing_inputs

    rng = np.random.default_rng(seed)
    files = fuzzing_inputs.originals(folder / "originals")
    model = tf.saved_model.load(str(fuzzing.export_model(folder / "model")))
    outcomes: collections.Counter = collections.Counter()
    start = time.perf_counter()
    n_texts = n_files // 10
    for i in range(n_texts):
        kind = ("camera", "boxes")[i % 2]
        outcomes[kind, fuzzing_inputs.check_text(kind, folder / f"{i}", files[kind], rng)] += 1
    for i in range(0, n_files - n_texts, FILES_PER_FOLDER):
        n = min(FILES_PER_FOLDER, n_files - n_texts - i)
        found = fuzzing_inputs.check_folder(model, folder / f"folder{i:05d}", files["picture"], rng, n)
        outcomes.update({("picture", outcome): count for outcome, count in found.items()})
        print(f"{i + n} files, {time.perf_counter() - start:.0f} s", flush=True)
    return outcomes


if __name__ == "__main__":
    sys.exit(main())
