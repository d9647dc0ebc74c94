"""Whether memory stays flat over a long training: batches are loaded for many steps by a model that does nothing.

    python -m benchmarks.loading_memory [--steps 20000] [--batch-size 32] [--image-size 64] [--json FILE]

Everything on the way is the training's: the mixture of two 3D stores (one with a lens) and a 2D one, all augmentation,
the threads, `tf.data` and its prefetching. The resident memory of the process is read every hundredth of the run, and
the slope of its last three quarters is compared with its scatter. The longest wait for a batch shows whether loading
ever stood still. The default is the 640,000 crops that the project asks for; an hour or two of two CPU cores at 64 px.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.loading import make_store
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.store import PoseStore, PoseStoreWriter
from metrabs_acae.machine import n_cores

N_SAMPLES = 100


def resident_mb() -> float:
    """Private memory of this process in MB: mapped files do not count, the system takes their pages back at will."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["RssAnon"].split()[0]) / 1024


def make_2d_store(path: Path, source: PoseStore) -> PoseStore:
    """The first images of a 3D store again, with 2D labels and without cameras."""
    rng = np.random.default_rng(0)
    skeleton = source.skeleton
    with PoseStoreWriter(path, name=path.name, kind="2d", skeleton=skeleton, licence="CC0") as writer:
        for i in range(6):
            row = source.row("train", i)
            left, top, width, height = row.box_ltwh_px
            points = rng.uniform((left, top), (left + width, top + height), (skeleton.n_joints, 2))
            arguments = {"image_key": f"{i}.jpg", "image": source.images.read(row.image_key), "camera": None}
            writer.add("train", box_ltwh_px=row.box_ltwh_px, coords=points, **arguments)
    return PoseStore(path)


def measure(folder: Path, *, steps: int, batch_size: int, image_size: int) -> dict:
    from metrabs_acae.data import pipeline

    plain = make_store(folder / "plain", 320, 192)
    lens = make_store(folder / "lens", 320, 192, distortion=[-0.2, 0.05, 0, 0, 0])
    flat = make_2d_store(folder / "flat", plain)
    counts = (batch_size // 2, batch_size // 4, batch_size - batch_size // 2 - batch_size // 4)
    mixture = Mixture([Entry(s, "train", n) for s, n in zip((plain, lens, flat), counts, strict=True)], seed=0)
    batches = iter(pipeline.training_dataset(mixture, image_size=image_size))
    next(batches)
    period = max(1, steps // N_SAMPLES)
    memory, longest_wait = [], 0.0
    clock, cpu = time.perf_counter(), time.process_time()
    for step in range(1, steps + 1):
        start = time.perf_counter()
        next(batches)
        longest_wait = max(longest_wait, time.perf_counter() - start)
        if step % period == 0:
            memory.append((step, resident_mb()))
    clock, cpu = time.perf_counter() - clock, time.process_time() - cpu
    late = np.array(memory[len(memory) // 4 :])
    slope, offset = np.polyfit(late[:, 0], late[:, 1], 1)
    return {
        "steps": steps,
        "crops": steps * batch_size,
        "image_size": image_size,
        "memory_mb_first_quarter": round(float(np.mean([mb for _, mb in memory[: len(memory) // 4]])), 1),
        "memory_mb_last_quarter": round(float(np.mean([mb for _, mb in memory[-(len(memory) // 4) :]])), 1),
        "memory_mb_largest": round(max(mb for _, mb in memory), 1),
        "growth_mb_per_1000_steps": round(float(slope) * 1000, 3),
        "scatter_mb": round(float(np.std(late[:, 1] - offset - slope * late[:, 0])), 2),
        "longest_wait_s": round(longest_wait, 2),
        "cpu_ms_per_crop": round(cpu / steps / batch_size * 1e3, 2),
        "crops_per_s": round(steps * batch_size / clock, 1),
        "cpu_cores": n_cores(),
        "memory_mb": [[step, round(mb, 1)] for step, mb in memory],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=20_000)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--json", help="also write the result to this file")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        settings = {"steps": args.steps, "batch_size": args.batch_size, "image_size": args.image_size}
        result = measure(Path(folder), **settings)
    for name, value in result.items():
        if name != "memory_mb":
            print(f"{name:26}{value}")
    if args.json:
        Path(args.json).write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
