"""The examples of one split in order, without augmentation, for evaluation and prediction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from metrabs_acae.data.examples import load_plain_example
from metrabs_acae.data.loading import DataHealth, example_key
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import BadExample, UserError
from metrabs_acae.machine import n_cores
from metrabs_acae.skeletons import Skeleton


class EvaluationLoader:
    """Batches of a split; arguments and keys as in `pipeline.evaluation_dataset`."""

    def __init__(
        self,
        store: PoseStore,
        split: str,
        *,
        image_size: int,
        skeleton: Skeleton | None = None,
        mirror: bool = False,
        antialias: int = 1,
        rows: Sequence[int] | None = None,
        workers: int | None = None,
        max_bad_fraction: float = 1.0,
    ):
        if store.kind != "3d":
            raise UserError(f"Pose store {store.path} has 2D labels; evaluation needs a 3D one.")
        if split not in store.splits:
            raise UserError(f"Pose store {store.path} has no split '{split}'; it has {', '.join(store.splits)}.")
        self.store = store
        self.split = split
        self.image_size = image_size
        self.skeleton = skeleton or store.skeleton
        self.mirror = mirror
        self.antialias = antialias
        self.rows = range(store.splits[split]) if rows is None else [int(row) for row in rows]
        self.workers = workers or n_cores()
        self.health = DataHealth(max_bad_fraction, n_total=len(self.rows))
        position = {name: i for i, name in enumerate(self.skeleton.joint_names)}
        pairs = [(position[n], i) for i, n in enumerate(store.skeleton.joint_names) if n in position]
        if not pairs:
            raise UserError(f"Pose store {store.path} shares no joint with skeleton '{self.skeleton.name}'.")
        self._target, self._source = np.array(pairs, np.int64).T

    def batches(self, batch_size: int) -> Iterator[dict[str, np.ndarray]]:
        """All batches in order; images as uint8."""
        cv2.setNumThreads(1)
        starts = range(0, len(self.rows), batch_size)
        with ThreadPoolExecutor(self.workers, thread_name_prefix="loader") as pool:
            upcoming = None
            for start in [*starts, None]:
                current, upcoming = upcoming, None
                if start is not None:
                    rows = self.rows[start : start + batch_size]
                    batch = self.empty_batch(len(rows))
                    upcoming = (batch, [pool.submit(self._load, row, i, batch) for i, row in enumerate(rows)])
                if current is not None:
                    batch, tasks = current
                    with self.health.remembering():
                        for task in tasks:
                            task.result()
                    yield batch

    def empty_batch(self, n: int) -> dict[str, np.ndarray]:
        size, n_joints = self.image_size, self.skeleton.n_joints
        eye = np.tile(np.eye(3, dtype=np.float32), (n, 1, 1))
        return {
            "image": np.zeros((n, size, size, 3), np.uint8),
            "intrinsics": eye.copy(),
            "coords3d_mm": np.zeros((n, n_joints, 3), np.float32),
            "valid3d": np.zeros((n, n_joints), bool),
            "rotation_to_world": eye.copy(),
            "rotation_to_camera": eye.copy(),
            "camera_position_mm": np.zeros((n, 3), np.float32),
            "index": np.zeros(n, np.int64),
            "broken": np.zeros(n, bool),
        }

    def _load(self, row: int, i: int, batch: dict[str, np.ndarray]) -> None:
        batch["index"][i] = row
        try:
            loaded = load_plain_example(
                self.store, self.split, row, self.image_size, antialias=self.antialias, flip=self.mirror
            )
        except BadExample as error:
            batch["broken"][i] = True
            self.health.add_bad(example_key(self.store, self.split, row), str(error), replaced=False)
            return
        crop = loaded.crop
        batch["image"][i] = loaded.image
        batch["intrinsics"][i] = crop.K
        batch["coords3d_mm"][i, self._target] = loaded.coords[self._source]
        batch["valid3d"][i, self._target] = loaded.valid[self._source]
        batch["rotation_to_world"][i] = crop.R.T
        batch["rotation_to_camera"][i] = crop.source.R @ crop.R.T
        batch["camera_position_mm"][i] = crop.source.optical_center_mm
        self.health.add_loaded(1)
