"""Batches of a mixture as NumPy arrays, loaded in parallel, the same whatever the number of workers.

Everything random about slot p of step s comes from generators seeded by (mixture seed, s, p, attempt) and the name of
an augmentation, so a stream can start at any step, no worker carries state, and no augmentation shifts another's draws.
"""

from __future__ import annotations

import collections
import contextlib
import ctypes
import itertools
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from metrabs_acae.data.augmentation.augmentations import Augmentations
from metrabs_acae.data.augmentation.augmenter import Augmenter
from metrabs_acae.data.augmentation.base import Augmentation
from metrabs_acae.data.examples import load_training_example
from metrabs_acae.data.mixture import Mixture, Plan
from metrabs_acae.dealing import Dealing
from metrabs_acae.errors import BadExample, UserError
from metrabs_acae.machine import n_cores

log = logging.getLogger(__name__)

MAX_ATTEMPTS = 50
SLOTS_PER_TASK = 4


class DataHealth:
    """Counts loaded and broken examples, names each broken one once, and stops where there are too many.

    Args:
        max_bad_fraction: what fraction may be broken.
        n_trial: of an endless stream, after so many examples.
        n_total: how many examples there are in all, where that is known; the limit is then so many of these.
        n_bad: how many of them were broken already.

    Attributes:
        n_loaded, n_bad: examples loaded, and (draws of) broken ones.
        error: the UserError that stopped loading, or None.
    """

    def __init__(self, max_bad_fraction: float, n_trial: int = 500, *, n_total: int | None = None, n_bad: int = 0):
        self.max_bad_fraction = max_bad_fraction
        self.n_trial = n_trial
        self.n_total = n_total
        self.n_loaded = 0
        self.n_bad = n_bad
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
        if self.n_total is not None:
            how_many, too_many = (
                f"So far {self.n_bad} of {self.n_total}",
                self.n_bad > self.max_bad_fraction * self.n_total,
            )
        else:
            how_many = f"{self.bad_fraction:.1%} of the"
            tried = self.n_bad + self.n_loaded >= self.n_trial
            too_many = tried and self.bad_fraction > self.max_bad_fraction
        if too_many:
            key, reason = next(iter(self.reasons.items()), ("see above", "broken"))
            self.stop(
                f"{how_many} examples are broken, more than --max-bad-fraction {self.max_bad_fraction:.1%} (first: "
                f"{key}: {reason.rstrip('.')}); mend the data or raise the limit."
            )

    @contextlib.contextmanager
    def remembering(self):
        """Keeps a UserError, which on its way through TensorFlow loses its kind (`pipeline.user_errors`)."""
        try:
            yield
        except UserError as error:
            self.error = self.error or error
            raise

    def stop(self, message: str) -> None:
        self.error = self.error or UserError(message)
        raise self.error


class InputMeter:
    """What loading costs a training; it is told of every step's begin and of every batch that is handed over.

    Attributes:
        waited_s: seconds that steps waited for a batch that was not there yet. The first step does not count: it
            compiles the model before it asks.
        cpu_s: processor seconds spent in the loading threads.
    """

    def __init__(self):
        self.waited_s = self.cpu_s = 0.0
        self._n_begun = self._n_delivered = 0
        self._begun_at = 0.0
        self._lock = threading.Lock()

    def step_begins(self) -> None:
        with self._lock:
            self._n_begun += 1
            self._begun_at = time.monotonic()

    def batch_is_there(self) -> None:
        with self._lock:
            self._n_delivered += 1
            if self._n_delivered == self._n_begun > 1:
                self.waited_s += time.monotonic() - self._begun_at

    def add_cpu(self, seconds: float) -> None:
        with self._lock:
            self.cpu_s += seconds


class BatchLoader:
    """Loads the batches of a mixture with a pool of threads (decoding and warping release Python's lock).

    Args:
        augmentations: in the order in which they are applied.
        workers: number of threads; None takes the number of usable CPU cores.
        n_ahead: how many batches are in work or ready ahead of the consumer.
        dealing: which examples of every batch are loaded, and in how many parts they are delivered.

    Attributes:
        meter: `InputMeter`, told of the batches that leave the loader.
        slots_3d, slots_2d: [parts, n] the slots of the mixture's batch that are loaded, in order.
    """

    def __init__(
        self,
        mixture: Mixture,
        *,
        image_size: int,
        augmentations: Sequence[Augmentation] = Augmentations().in_order(),  # noqa: B008 (frozen)
        workers: int | None = None,
        max_bad_fraction: float = 0.02,
        n_ahead: int = 2,
        dealing: Dealing = Dealing(),  # noqa: B008 (frozen)
    ):
        self.slots_3d, self.slots_2d = dealing.slots(mixture.batch_size_3d, mixture.batch_size_2d)
        self.mixture = mixture
        self.image_size = image_size
        self.workers = workers or n_cores()
        self.n_ahead = n_ahead
        self.health = DataHealth(max_bad_fraction)
        self.meter = InputMeter()
        self._augmenter = Augmenter(augmentations, image_size)

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
                        for batch, tasks in pending.popleft():
                            with self.health.remembering():
                                for task in tasks:
                                    task.result()
                            self.meter.batch_is_there()
                            yield batch
            finally:
                for submitted in pending:
                    for _, tasks in submitted:
                        for task in tasks:
                            task.cancel()

    def empty_batch(self) -> dict[str, np.ndarray]:
        """The arrays of one micro-batch (shapes: `pipeline.training_dataset`), images as uint8."""
        m, size = self.mixture, self.image_size
        n3, n2 = self.slots_3d.shape[1], self.slots_2d.shape[1]
        j3, j2 = m.skeleton.n_joints, len(m.joint_names_2d)
        return {
            "image": np.empty((n3 + n2, size, size, 3), np.uint8),
            "intrinsics": np.empty((n3 + n2, 3, 3), np.float32),
            "coords3d_mm": np.zeros((n3, j3, 3), np.float32),
            "valid3d": np.zeros((n3, j3), bool),
            "coords2d_px": np.zeros((n2, j2, 2), np.float32),
            "valid2d": np.zeros((n2, j2), bool),
        }

    def load_places(self, step: int, plan: Plan, slots: np.ndarray, places: range, batch: dict[str, np.ndarray]):
        """Fills the given places of a micro-batch with the examples of the step's slots `slots[place]`."""
        start = time.thread_time()
        for place in places:
            self._load_slot(step, int(slots[place]), plan, place, batch)
        self.meter.add_cpu(time.thread_time() - start)
        self.health.add_loaded(len(places))

    def _submit(self, pool: ThreadPoolExecutor, step: int):
        """Puts one step's work into the pool: [(micro-batch, its tasks)]."""
        plan = self.mixture.plan(step)
        submitted = []
        for slots in np.concatenate([self.slots_3d, self.slots_2d], axis=1):
            batch = self.empty_batch()
            n = len(slots)
            parts = [range(i, min(i + SLOTS_PER_TASK, n)) for i in range(0, n, SLOTS_PER_TASK)]
            submitted.append((batch, [pool.submit(self.load_places, step, plan, slots, p, batch) for p in parts]))
        return submitted

    def _load_slot(self, step: int, slot: int, plan: Plan, place: int, batch: dict[str, np.ndarray]) -> None:
        entry_number = int(plan.entry[slot])
        entry = self.mixture.entries[entry_number]
        for attempt in range(MAX_ATTEMPTS):
            if attempt:
                plan = self.mixture.plan(step, attempt)
            row = int(plan.row[slot])
            try:
                seed = (self.mixture.seed, step, slot, attempt)
                loaded = load_training_example(entry.store, entry.split, row, self.image_size, seed, self._augmenter)
                break
            except BadExample as error:
                self.health.add_bad(example_key(entry.store, entry.split, row), str(error))
        else:
            self.health.stop(f"{MAX_ATTEMPTS} examples of {entry.store.name} in a row are broken; mend the pose store.")
        self._put(loaded, place, entry_number, batch)

    def _put(self, loaded, place: int, entry_number: int, batch: dict[str, np.ndarray]) -> None:
        batch["image"][place] = loaded.image
        batch["intrinsics"][place] = loaded.crop.K
        joints = self.mixture.joint_indices[entry_number]
        n3 = len(batch["coords3d_mm"])
        if place < n3:
            batch["coords3d_mm"][place, joints] = loaded.coords
            batch["valid3d"][place, joints] = loaded.valid
        else:
            batch["coords2d_px"][place - n3, joints[0]] = loaded.coords[joints[1]]
            batch["valid2d"][place - n3, joints[0]] = loaded.valid[joints[1]]


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
    except (ValueError, IndexError):  # the annotations are damaged there
        return f"{store.name} {split} row {row}"
