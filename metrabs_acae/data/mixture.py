"""Which example of which store stands at which slot of which batch: a pure function of (seed, step).

Every entry of a mixture is an endless stream of its own, reshuffled every epoch; a batch takes `count` examples from
each, 3D stores first, always in the same order (ghost batch norm relies on it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metrabs_acae import tables
from metrabs_acae.data.examples import share_too_low
from metrabs_acae.data.shuffle import mix_key, shuffled_index
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.joint_names import code
from metrabs_acae.skeletons import COMMON_2D_JOINTS, Skeleton, corresponding_joints, merge_by_name, prefix_groups, union


@dataclass(frozen=True)
class Entry:
    """`count` examples per batch from one split of one store."""

    store: PoseStore
    split: str
    count: int


@dataclass(frozen=True)
class Plan:
    """What stands at the slots of one batch: [B] entry numbers and [B] rows in those entries' splits."""

    entry: np.ndarray
    row: np.ndarray


class Mixture:
    """Stores with their numbers of examples per batch.

    Args:
        entries: in batch order; 2D stores are moved behind the 3D ones.
        seed: chooses the order of examples and every random draw of the pipeline.
        merge_joints: like-named joints of all stores are one joint (the merged-joints baseline). Of two such joints in
            one example the last counts.

    Attributes:
        skeleton: union over the 3D stores, in order of first appearance; merged by name with `merge_joints`.
        joint_names_2d: those of the 17 common 2D joints that the 2D stores have (all 17 without a 2D store) and
            that stand for a joint of `skeleton`.
        joint_indices: for each entry the positions of its joints in `skeleton` or, for 2D, pairs
            (positions in `joint_names_2d`, positions in the store).
    """

    def __init__(self, entries: Sequence[Entry], *, seed: int, merge_joints: bool = False):
        entries_3d = [e for e in entries if e.store.kind == "3d"]
        entries_2d = [e for e in entries if e.store.kind == "2d"]
        self.entries = (*entries_3d, *entries_2d)
        self.seed = int(seed)
        if not entries_3d:
            raise UserError("The mixture has no 3D pose store; training needs at least one.")
        for entry in self.entries:
            if entry.count < 1:
                raise UserError(f"{entry.store.name} has {entry.count} examples per batch; at least 1 is needed.")
            if not entry.store.splits.get(entry.split):
                raise UserError(f"Pose store {entry.store.path} has no examples in split '{entry.split}'.")
        self.skeleton: Skeleton = union(e.store.skeleton for e in entries_3d)
        if merge_joints:
            self.skeleton, _ = merge_by_name(self.skeleton)
        base_names = {code(n) for e in entries_2d for n in e.store.skeleton.joint_names}
        names_3d = self.skeleton.joint_names
        self.joint_names_2d = tuple(
            n
            for n in COMMON_2D_JOINTS
            if (n in base_names or not entries_2d) and any(group.size for group in prefix_groups([n], names_3d))
        )
        if entries_2d and not self.joint_names_2d:
            raise UserError(
                f"None of the joints {', '.join(COMMON_2D_JOINTS)} is both in a 2D pose store and, with any suffix, "
                "in a 3D one."
            )
        self.joint_indices = [self._joint_indices(e) for e in self.entries]
        self.batch_size_3d = sum(e.count for e in entries_3d)
        self.batch_size_2d = sum(e.count for e in entries_2d)

        counts = np.array([e.count for e in self.entries])
        self._entry = np.repeat(np.arange(len(counts)), counts)
        self._position = np.concatenate([np.arange(c) for c in counts])
        self._count = counts[self._entry]
        self._size = np.array([e.store.splits[e.split] for e in self.entries])[self._entry]

    @property
    def batch_size(self) -> int:
        return self.batch_size_3d + self.batch_size_2d

    def plan(self, step: int, attempt: int = 0) -> Plan:
        """The examples of batch number `step`.

        `attempt` > 0 names replacements for broken examples: other rows of the same entries, as pure a function.
        """
        stream = int(step) * self._count + self._position
        epoch, index = np.divmod(stream, self._size)
        row = shuffled_index(index, self._size, mix_key(self.seed, self._entry, epoch))
        if attempt:
            row = (row + mix_key(self.seed, self._entry, stream, attempt) % self._size.astype(np.uint64)) % self._size
        return Plan(self._entry, row.astype(np.int64))

    def describe(self, total_steps: int | None = None) -> str:
        """The composition as a table: dataset, joints, examples, number per batch, epochs over the run.

        With 2D stores, too, what percentage of their labelled joints does not count (`examples.share_too_low`).
        """
        rows = []
        for entry in self.entries:
            store, n = entry.store, entry.store.splits[entry.split]
            row = {"dataset": store.name, "kind": store.kind, "joints": store.skeleton.n_joints, "split": entry.split}
            row |= {"examples": n, "per batch": entry.count}
            row["epochs"] = total_steps * entry.count / n if total_steps else None
            if self.batch_size_2d:
                row["too low %"] = 100 * share_too_low(store, entry.split) if store.kind == "2d" else ""
            rows.append(row)
        total = {"joints": self.skeleton.n_joints, "examples": sum(r["examples"] for r in rows)}
        rows.append(dict.fromkeys(rows[0], "") | {"dataset": "total", **total, "per batch": self.batch_size})
        return tables.render(rows, digits={"epochs": 2})

    def _joint_indices(self, entry: Entry):
        names = entry.store.skeleton.joint_names
        if entry.store.kind == "3d":
            return corresponding_joints(self.skeleton, names)
        base = [code(n) for n in names]
        pairs = [(self.joint_names_2d.index(n), base.index(n)) for n in self.joint_names_2d if n in base]
        return np.array(pairs, np.int64).reshape(-1, 2).T
