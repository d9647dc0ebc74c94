"""Batches of a mixture as NumPy arrays, loaded in parallel, the same whatever the number of workers.

Everything random about slot p of step s comes from a generator seeded by (mixture seed, s, p, attempt), so a stream can
start at any step and no worker carries state.
"""

from __future__ import annotations

import collections
import ctypes
import itertools
import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from metrabs_acae.data.augmentation.appearance import AppearanceAugmenter
from metrabs_acae.data.augmentation.settings import AugmentationSettings
from metrabs_acae.data.examples import BAD_EXAMPLE_ERRORS, load_training_example
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.errors import UserError

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 50
SLOTS_PER_TASK = 4


class DataHealth:
    """Counts loaded and broken examples, names each broken one once, and says when there are too many.

    Attributes:
        n_loaded, n_bad: examples loaded, and draws of broken ones that were replaced.
        error: the UserError that stopped loading, or None.
    """

    def __init__(self, max_bad_fraction: float, n_trial: int = 500):
        self.max_bad_fraction = max_bad_fraction
        self.n_trial = n_trial
        self.n_loaded = 0
        self.n_bad = 0
        self.reasons: dict[str, str] = {}
        self.error: UserError | None = None
        self._lock = threading.Lock()

    @property
    def bad_fraction(self) -> float:
        return self.n_bad / max(1, self.n_bad + self.n_loaded)

    def add_loaded(self, n: int) -> None:
        with self._lock:
            self.n_loaded += n
            self._check()

    def add_bad(self, key: str, reason: str, *, replaced: bool = True) -> None:
        with self._lock:
            self.n_bad += 1
            if key not in self.reasons:
                self.reasons[key] = reason
                fate = "another one takes its place" if replaced else "it does not count"
                log.warning("Broken example %s: %s; %s.", key, reason.rstrip("."), fate)
            self._check()

    def _check(self) -> None:
        if self.n_bad + self.n_loaded >= self.n_trial and self.bad_fraction > self.max_bad_fraction:
            key, reason = next(iter(self.reasons.items()))
            self.stop(
                f"{self.bad_fraction:.1%} of the examples are broken, more than --max-bad-fraction "
                f"{self.max_bad_fraction:.1%} (first: {key}: {reason}); mend the data or raise the limit."
            )

    def stop(self, message: str) -> None:
        self.error = self.error or UserError(message)
        raise self.error


class BatchLoader:
    """Loads the batches of a mixture with a pool of threads (decoding and warping release Python's lock).

    Args:
        workers: number of threads; None takes the number of usable CPU cores.
        n_ahead: how many batches are in work or ready ahead of the consumer.
        micro_batches: k splits every batch into k equal parts, delivered one after the other.
    """

    def __init__(
        self,
        mixture: Mixture,
        *,
        image_size: int,
        augmentation: AugmentationSettings = AugmentationSettings(),  # noqa: B008 (frozen)
        workers: int | None = None,
        max_bad_fraction: float = 0.02,
        n_ahead: int = 2,
        micro_batches: int = 1,
    ):
        for size in (mixture.batch_size_3d, mixture.batch_size_2d):
            if size % micro_batches:
                raise UserError(f"A batch part of {size} examples cannot be split into {micro_batches} equal parts.")
        self.mixture = mixture
        self.image_size = image_size
        self.augmentation = augmentation
        self.workers = workers or len(os.sched_getaffinity(0))
        self.n_ahead = n_ahead
        self.micro_batches = micro_batches
        self.health = DataHealth(max_bad_fraction)
        self._augmenter = AppearanceAugmenter(augmentation, image_size) if augmentation.appearance else None

    def batches(self, start_step: int = 0) -> Iterator[dict[str, np.ndarray]]:
        """Endless batches from `start_step` on, images as uint8; UserError where too many examples are broken."""
        cv2.setNumThreads(1)
        keep_freed_memory()
        with ThreadPoolExecutor(self.workers, thread_name_prefix="loader") as pool:
            pending = collections.deque()
            try:
                for step in itertools.count(start_step):
                    pending.append(self._submit(pool, step))
                    if len(pending) > self.n_ahead:
                        yield from self._finish(*pending.popleft())
            finally:
                for _, tasks in pending:
                    for task in tasks:
                        task.cancel()

    def empty_batch(self) -> dict[str, np.ndarray]:
        """The arrays of one whole batch (shapes: `pipeline.training_dataset`), images as uint8."""
        m, size = self.mixture, self.image_size
        n, n3, n2 = m.batch_size, m.batch_size_3d, m.batch_size_2d
        j3, j2 = m.skeleton.n_joints, len(m.joint_names_2d)
        return {
            "image": np.empty((n, size, size, 3), np.uint8),
            "intrinsics": np.empty((n, 3, 3), np.float32),
            "coords3d_mm": np.zeros((n3, j3, 3), np.float32),
            "valid3d": np.zeros((n3, j3), bool),
            "coords2d_px": np.zeros((n2, j2, 2), np.float32),
            "valid2d": np.zeros((n2, j2), bool),
        }

    def load_slots(self, step: int, slots: range, batch: dict[str, np.ndarray]) -> None:
        """Fills the given slots of a batch."""
        plan = self.mixture.plan(step)
        for slot in slots:
            self._load_slot(step, slot, plan, batch)
        self.health.add_loaded(len(slots))

    def _submit(self, pool: ThreadPoolExecutor, step: int):
        batch = self.empty_batch()
        n = self.mixture.batch_size
        parts = [range(i, min(i + SLOTS_PER_TASK, n)) for i in range(0, n, SLOTS_PER_TASK)]
        return batch, [pool.submit(self.load_slots, step, part, batch) for part in parts]

    def _finish(self, batch, tasks) -> Iterator[dict[str, np.ndarray]]:
        for task in tasks:
            task.result()
        if self.micro_batches == 1:
            yield batch
            return
        for part in range(self.micro_batches):
            yield {name: self._part(array, part) for name, array in batch.items()}

    def _part(self, array: np.ndarray, part: int) -> np.ndarray:
        n3, n2, k = self.mixture.batch_size_3d, self.mixture.batch_size_2d, self.micro_batches
        if len(array) == n3 + n2:
            split3, split2 = n3 // k, n2 // k
            return np.concatenate([array[part * split3 :][:split3], array[n3 + part * split2 :][:split2]])
        return np.split(array, k)[part]

    def _load_slot(self, step: int, slot: int, plan, batch: dict[str, np.ndarray]) -> None:
        entry_number = int(plan.entry[slot])
        entry = self.mixture.entries[entry_number]
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                plan = self.mixture.plan(step, attempt)
            row = int(plan.row[slot])
            try:
                loaded = self._load_row(entry, row, (self.mixture.seed, step, slot, attempt))
                break
            except BAD_EXAMPLE_ERRORS as error:
                self.health.add_bad(example_key(entry.store, entry.split, row), str(error))
        else:
            self.health.stop(f"{MAX_ATTEMPTS} examples of {entry.store.name} in a row are broken; mend the pose store.")
        self._place(loaded, slot, entry_number, batch)

    def _load_row(self, entry: Entry, row: int, seed: tuple[int, ...]):
        return load_training_example(
            entry.store,
            entry.split,
            row,
            self.image_size,
            seed,
            self.augmentation,
            self._augmenter,
            partial_visibility=entry.partial_visibility,
        )

    def _place(self, loaded, slot: int, entry_number: int, batch: dict[str, np.ndarray]) -> None:
        batch["image"][slot] = loaded.image
        batch["intrinsics"][slot] = loaded.crop.K
        joints = self.mixture.joint_indices[entry_number]
        if slot < self.mixture.batch_size_3d:
            batch["coords3d_mm"][slot, joints] = loaded.coords
            batch["valid3d"][slot, joints] = loaded.valid
        else:
            slot -= self.mixture.batch_size_3d
            batch["coords2d_px"][slot, joints[0]] = loaded.coords[joints[1]]
            batch["valid2d"][slot, joints[0]] = loaded.valid[joints[1]]


def keep_freed_memory() -> None:
    """Tells glibc to keep freed image buffers instead of handing each back to the system.

    Fresh pages for every decoded image cost up to a third of the decoding. Elsewhere than with glibc nothing happens.
    """
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD, M_TRIM_THRESHOLD
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):
        return
    mallopt(mmap_threshold, 1 << 25)
    mallopt(trim_threshold, 1 << 28)


def example_key(store, split: str, row: int) -> str:
    """How a broken example is named in logs: store, split, row and, where readable, its image."""
    try:
        return f"{store.name} {split} row {row} ({store.column(split, 'image_key').text(row)})"
    except BAD_EXAMPLE_ERRORS:
        return f"{store.name} {split} row {row}"
