"""Writes the synthetic datasets as pose stores: parallel, deterministic, cached."""

from __future__ import annotations

import math
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from data_processing.synthetic.box import BOX
from data_processing.synthetic.datasets import LICENCE, SIZES, STORES, StoreSpec, image_count
from data_processing.work_pool import ordered_results
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json
from metrabs_acae.locks import held
from metrabs_acae.machine import n_cores

GENERATOR = "metrabs_acae synthetic"
VERSION = 4  # raise it when the pictures or labels of a given seed change
KNOWN = STORES | BOX
CHUNK = 8  # images per task: small, so that the workers finish together


def generate(
    out_dir, *, size: str, seed: int = 0, workers: int | None = None, progress: bool = True, stores=None
) -> list[Path]:
    """Writes the stores into `out_dir`, one folder each, and returns their paths.

    A complete store of the same size, seed and generator version is kept as it is, one of an older version is
    replaced; UserError if another size or seed, or something else, stands there. Each store appears only when it is
    complete. The result does not depend on `workers`.

    Args:
        size: "tiny", "small", "medium" or "large" (`datasets.SIZES`).
        workers: processes; None: one per processor core that this process may use. 1: no further process.
        stores: names of the stores to write, also those of `box.BOX`; None: all others.
    """
    if size not in SIZES:
        raise UserError(f"There is no size '{size}'; use {', '.join(SIZES)}.")
    names = list(STORES if stores is None else stores)
    if unknown := [n for n in names if n not in KNOWN]:
        raise UserError(f"There is no synthetic dataset {', '.join(unknown)}; there are {', '.join(KNOWN)}.")
    if workers is not None and workers < 1:
        raise UserError(f"The number of workers must be at least 1, not {workers}.")
    out_dir = Path(out_dir)
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"The folder {out_dir} cannot be made ({error.strerror}); choose another one.") from None
    if not all(_is_there(out_dir / n, size, seed) for n in names):
        with held(out_dir / ".lock", "{holder} writes there", wait_s=math.inf):
            missing = [KNOWN[n] for n in names if not _is_there(out_dir / n, size, seed)]
            if missing:
                _write_stores(out_dir, missing, size, seed, workers or n_cores(), progress)
    return [out_dir / n for n in names]


def _is_there(path: Path, size: str, seed: int) -> bool:
    """Whether a complete store of these settings stands there; removes one of another generator version."""
    if not path.exists():
        return False
    try:
        provenance = load_json(path / "store.json")["provenance"]
    except (OSError, ValueError, KeyError):
        provenance = {}
    if provenance.get("generator") != GENERATOR:
        raise UserError(f"{path} exists and is not a synthetic pose store; move it away or choose another folder.")
    if (provenance["size"], provenance["seed"]) != (size, seed):
        raise UserError(
            f"{path} holds the synthetic data of size {provenance['size']} and seed {provenance['seed']}, not {size} "
            f"and {seed}; choose another folder or delete that one."
        )
    if provenance["version"] != VERSION:
        shutil.rmtree(path)
        return False
    return True


def _write_stores(out_dir, specs: list[StoreSpec], size, seed, workers: int, progress: bool) -> None:
    from tqdm import tqdm

    total = sum(image_count(s, split, size) for s in specs for split in s.splits)
    # disable=None: no bar where the output is not a terminal.
    bar = tqdm(total=total, desc="Synthetic data", unit="img", disable=None if progress else True)
    with bar, _Tasks(workers) as tasks:
        for spec in specs:
            _write_store(out_dir, spec, size, seed, tasks, bar)


def _write_store(out_dir, spec: StoreSpec, size, seed, tasks: _Tasks, bar) -> None:
    from metrabs_acae.data.store import PoseStoreWriter

    writer = PoseStoreWriter(
        out_dir / spec.name,
        name=spec.name,
        kind=spec.kind,
        skeleton=spec.skeleton,
        licence=LICENCE,
        realistic_background=spec.realistic_background,
        clean=spec.clean,
        provenance={
            "generator": GENERATOR, "version": VERSION, "size": size, "seed": seed, "imitates": spec.imitates,
        },
    )  # fmt: skip
    with writer:
        for split in spec.splits:
            count = image_count(spec, split, size)
            for start, rows_of_images in tasks.run(spec.name, split, count, seed):
                for index, (image, rows) in enumerate(rows_of_images, start):
                    key = f"{split}/{index // 1000:03d}/{index:06d}.jpg"
                    writer.image_path(key).write_bytes(image)
                    for row in rows:
                        writer.add(
                            split, image_key=key, box_ltwh_px=row.box_ltwh_px, camera=row.camera, coords=row.coords,
                            mask=row.mask, sequence=row.sequence, frame=index, activity=row.activity,
                            person=row.person,
                        )  # fmt: skip
                    bar.update()


class _Tasks:
    """Runs chunks of images in processes (or here, with one worker) and hands the results back in order."""

    def __init__(self, workers: int):
        self.workers = workers
        self.pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> _Tasks:
        if self.workers > 1:
            warm_up()  # compiles once; the workers then load numba's cache
            context = multiprocessing.get_context("spawn")
            self.pool = ProcessPoolExecutor(self.workers, mp_context=context, initializer=_start_worker)
        return self

    def __exit__(self, *error) -> None:
        if self.pool is not None:
            self.pool.shutdown(cancel_futures=True)

    def run(self, name: str, split: str, count: int, seed: int) -> Iterator[tuple[int, list]]:
        starts = range(0, count, CHUNK)
        tasks = [(name, split, start, min(start + CHUNK, count), seed) for start in starts]
        results = map(_images, tasks) if self.pool is None else ordered_results(self.pool, _images, tasks)
        yield from zip(starts, results, strict=True)


def _images(task) -> list:
    """[(JPEG bytes, rows)] of a chunk of images."""
    from data_processing.synthetic.scene import make_example
    from metrabs_acae.data import jpeg

    name, split, start, stop, seed = task
    result = []
    for index in range(start, stop):
        image, rows = make_example(KNOWN[name], split, index, seed)
        result.append((jpeg.encode(image), rows))
    return result


def warm_up() -> None:
    """Compiles the numba kernels (kept on disk) and loads the assets."""
    _images(("synthetic-h36m", "valid", 0, 1, 0))


def _start_worker() -> None:
    import signal
    import threading

    import cv2

    cv2.setNumThreads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A pool's workers would otherwise wait forever for a parent that was killed."""
    multiprocessing.parent_process().join()
    os._exit(1)
