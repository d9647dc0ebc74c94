"""What is measured on a model's predictions of a pose store's crops, and the tables that show it.

To add a table: a `Table` in `TABLES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metrabs_acae import tables
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation import consistency, definitions, metrics
from metrabs_acae.evaluation.accumulators import PoseMetrics
from metrabs_acae.evaluation.crops import CropPredictions
from metrabs_acae.evaluation.definitions import Number
from metrabs_acae.evaluation.root import MEAN, root_of_store


@dataclass(frozen=True)
class Table:
    """One way to judge predictions, and how it is printed.

    Attributes:
        title: heading of the first column, which names the stores.
        columns: the numbers that are printed, in order; the first counts poses.
        applies: (joint names, wanted root) -> whether a store of these joints can be judged so.
        measure: (predictions, joint names, wanted root) -> numbers by name.
    """

    title: str
    columns: tuple[Number, ...]
    applies: Callable[[Sequence[str], str], bool]
    measure: Callable[[CropPredictions, Sequence[str], str], dict[str, float]]

    def render(self, results: Mapping[str, Mapping[str, float]], fmt: str) -> str:
        """The table of those results, by store, that are of this kind; "" if none is."""
        rows = [
            {self.title: name, **{c.heading: result[c.name] for c in self.columns if c.name in result}}
            for name, result in results.items()
            if self.columns[1].name in result
        ]
        return tables.render(rows, fmt, digits={c.heading: c.digits for c in self.columns}) if rows else ""


def standard(predictions: CropPredictions, joint_names: Sequence[str], root: str = "") -> dict[str, float]:
    """The standard metrics, the error of the best constant pose, and the ratio of the MPJPE to it.

    ``n_poses`` are those that have a root-relative error.
    """
    true, valid, at = predictions.true_mm, predictions.valid, root_of_store(joint_names, root)
    scored = PoseMetrics(root=at)
    scored.update(predictions.pred_mm, true, valid=valid)
    n_poses = scored.n_poses - scored.n_poses_without_root
    if not n_poses:
        raise UserError(f"No example has a labelled root joint ({', '.join(joint_names[:4])}, ...); name another one.")
    constant = metrics.best_constant_pose_mpjpe(true, valid=valid, root=at)  # zero if all poses are the same
    values = scored.values()
    ratio = values["mpjpe"] / constant if constant else float("nan")
    return {**values, "constant_pose_mpjpe": constant, "ratio": ratio, "n_poses": n_poses}


def agreement(predictions: CropPredictions, joint_names: Sequence[str], root: str = "") -> dict[str, float]:
    """How much the skeletons of a store with several contradict each other; see `consistency_metrics`."""
    measured = consistency.consistency_metrics(
        predictions.pred_mm, predictions.true_mm, joint_names, valid=predictions.valid
    )
    return {"n_poses": len(predictions.pred_mm), **measured}


STANDARD = Table(
    "benchmark",
    (
        definitions.POSES,
        *definitions.make_metrics(("mpjpe", "pa_mpjpe", "pck@100", "pck@150", "auc@150", "cps@200")),
        definitions.CONSTANT_POSE,
        definitions.RATIO,
    ),
    applies=lambda names, root: root_of_store(names, root) is not None,
    measure=standard,
)
CONSISTENCY = Table(
    "consistency",
    (definitions.POSES, consistency.POINTS, *consistency.NUMBERS),
    applies=lambda names, root: bool(consistency.like_named(names)),
    measure=agreement,
)
TABLES = (STANDARD, CONSISTENCY)


def measure(predictions: CropPredictions, joint_names: Sequence[str], root: str = "") -> dict[str, float]:
    """The numbers of all tables that a store of these joints can be judged by, and how many examples were broken."""
    found = {"n_broken": predictions.n_broken} if predictions.n_broken else {}
    for table in reversed(TABLES):  # of numbers of one name the first table's count
        if table.applies(joint_names, root):
            found |= table.measure(predictions, joint_names, root)
    return found


def render(results: Mapping[str, Mapping[str, float]], fmt: str) -> list[str]:
    """The tables of results by store that have rows, and what could not be read."""
    notes = [f"{r['n_broken']} examples of {name} cannot be read." for name, r in results.items() if "n_broken" in r]
    return [*filter(None, (table.render(results, fmt) for table in TABLES)), *notes]


def check_root(store: PoseStore, rows: np.ndarray, split: str, root: str = "") -> str:
    """What is to be said about the root of a store's poses before they are scored; "" if it is as usual.

    Raises:
        UserError: none of the rows has a label there.
    """
    names = store.skeleton.joint_names
    at = root_of_store(names, root)
    if at is None:
        return ""
    if at == MEAN:
        return f"Poses of {store.name} are scored about the mean of their labelled joints (--root names another root)."
    labelled = np.isfinite(np.asarray(store.column(split, "coords")[rows])[:, list(at)]).all((1, 2))
    if labelled.any():
        return ""
    raise UserError(
        f"The root of {store.name}'s poses ({', '.join(names[i] for i in at)}) is labelled in none of {len(rows)} "
        f"examples of split '{split}'; name another joint with --root, or --root mean."
    )
