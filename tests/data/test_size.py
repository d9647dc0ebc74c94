"""Start-up does not grow with the data: 28 stores with 13 million rows open in seconds and little memory.

The annotation files are sparse: HDF5 reserves the space of contiguous columns without writing it, so the test needs
megabytes of disk, while what the reader does is the same.
"""

import json
import subprocess
import sys

import h5py
import numpy as np
import pytest

from metrabs_acae.data.records import FORMAT, RAGGED_COLUMNS, SCHEMA_VERSION, fixed_columns
from metrabs_acae.skeletons import Skeleton

N_STORES, N_ROWS, N_JOINTS = 28, 13_000_000, 32


def write_sparse_store(path, n_rows: int, suffix: str) -> None:
    path.mkdir()
    skeleton = Skeleton(suffix, tuple(f"x{i}_{suffix}" for i in range(N_JOINTS)))
    description = {
        **{"format": FORMAT, "schema_version": SCHEMA_VERSION, "name": path.name, "kind": "3d", "licence": "CC0"},
        **{"realistic_background": False, "color_fix": None, "clean": False, "provenance": {}},
        **{"skeleton": skeleton.to_dict(), "splits": {"train": n_rows}},
    }
    (path / "store.json").write_text(json.dumps(description))
    with h5py.File(path / "annotations.h5", "w") as h5:
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
        properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
        group = h5.create_group("train")
        columns = {name: (dtype, (n_rows, *shape)) for name, (dtype, shape) in fixed_columns("3d", N_JOINTS).items()}
        for name, dtype in RAGGED_COLUMNS.items():
            columns |= {f"{name}.start": ("<i8", (n_rows + 1,)), f"{name}.data": (dtype, (40 * n_rows,))}
        for name, (dtype, shape) in columns.items():
            space = h5py.h5s.create_simple(shape)
            h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(np.dtype(dtype)), space, properties)


SCRIPT = """
import sys, time
from pathlib import Path
import numpy as np
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.store import PoseStore
import h5py, cv2
def peak():
    # not ru_maxrss, which the parent process passes on
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024
before, clock = peak(), time.process_time()
stores = [PoseStore(p) for p in sorted(Path(sys.argv[1]).iterdir())]
mixture = Mixture([Entry(s, "train", 4) for s in stores], seed=0)
plans = [(mixture.plan(s).entry, mixture.plan(s).row) for s in range(20)]
rows = [stores[e].column("train", "coords")[r] for plan in plans for e, r in zip(*plan)]
print(time.process_time() - clock, peak() - before, peak(), end=" ")
print(sum(s.splits["train"] for s in stores), len(rows), mixture.skeleton.n_joints)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs sparse files and Linux's unit of peak memory")
def test_28_stores_with_13_million_rows_open_at_once(tmp_path):
    share = np.random.default_rng(0).dirichlet(np.ones(N_STORES))
    counts = np.maximum(1000, (share * N_ROWS).astype(int))
    counts[0] += N_ROWS - counts.sum()
    for i, count in enumerate(counts):
        write_sparse_store(tmp_path / f"store{i:02d}", int(count), f"s{i}")
    run = subprocess.run([sys.executable, "-c", SCRIPT, str(tmp_path)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    seconds, growth, peak, n_rows, n_read, n_joints = map(float, run.stdout.split())
    print(f"opened in {seconds:.2f} CPU-s, memory grew by {growth:.0f} MB to {peak:.0f} MB")
    assert (n_rows, n_read, n_joints) == (N_ROWS, 20 * 4 * N_STORES, N_STORES * N_JOINTS)
    assert seconds < 5 and peak < 500 and growth < 100
