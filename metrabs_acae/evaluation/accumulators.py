"""Metrics of any number of poses, batch by batch, with breakdowns and confidence intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.definitions import STANDARD, Metric, make_metrics
from metrabs_acae.evaluation.joint_errors import checked_poses, joint_errors
from metrabs_acae.evaluation.root import Root

CHUNK_POSES = 8192
"""Poses evaluated at a time: memory stays bounded, and arrays stay near the processor's cache."""


class PoseMetrics:
    """Sums of scores per group of poses; every metric is a ratio of two such sums, so nothing else is kept.

    A group is a combination of labels (sequence, activity, ...); memory is proportional to the groups, not the poses.

    Args:
        metrics: what to compute; default: the WACV paper's 19 numbers.
        root: see `root.Root`; None if no metric needs one.
        joint_names: names of the joints for `by_joint`; default: their numbers.

    Attributes:
        n_poses: how many had a valid joint; n_joints: how many of those there were.
        n_poses_without_root: how many of these poses have no root-relative error.
    """

    def __init__(
        self,
        metrics: Sequence[Metric] | None = None,
        *,
        root: Root | None,
        joint_names: Sequence[str] | None = None,
    ):
        self.metrics = tuple(metrics if metrics is not None else make_metrics(STANDARD))
        self.root = root
        self.joint_names = None if joint_names is None else tuple(joint_names)
        self.n_poses = 0
        self.n_joints = 0
        self.n_poses_without_root = 0
        self._label_names: tuple[str, ...] | None = None
        self._groups: dict[tuple[str, ...], np.ndarray] = {}  # labels -> [M + 1, 2]: sum, count; last row: poses
        self._joints: np.ndarray | None = None  # [M, J, 2]

    def update(self, pred_mm, true_mm, *, valid=None, labels: Mapping[str, Sequence] | None = None) -> None:
        """Adds poses.

        Args:
            pred_mm, true_mm: [N, J, 3] mm.
            valid: [N, J] bool; None: joints whose truth is finite.
            labels: name (``"sequence"``, ``"activity"``, ...) -> [N] values; the same names at every call.

        Raises:
            UserError: poses, masks or labels that do not fit together; see `checked_poses`.
        """
        pred, true, valid = checked_poses(pred_mm, true_mm, valid)
        n, n_joints = valid.shape
        labels = {k: np.asarray(v).astype(str) for k, v in (labels or {}).items()}
        if self._label_names is None:
            self._label_names = tuple(labels)
            self._joints = np.zeros((len(self.metrics), n_joints, 2))
        if tuple(labels) != self._label_names or any(v.shape != (n,) for v in labels.values()):
            raise UserError(f"Labels {tuple(labels)} must be {self._label_names}, with one value per pose ({n}).")
        if n_joints != self._joints.shape[1] or (self.joint_names and len(self.joint_names) != n_joints):
            expected = len(self.joint_names) if self.joint_names else self._joints.shape[1]
            raise UserError(f"Poses have {n_joints} joints, expected {expected}.")
        group_of_pose, groups = _group(list(labels.values()), n)
        for group in groups:
            self._groups.setdefault(group, np.zeros((len(self.metrics) + 1, 2)))
        for start in range(0, n, CHUNK_POSES):
            part = slice(start, start + CHUNK_POSES)
            self._add(pred[part], true[part], valid[part], group_of_pose[part], groups)

    def _add(self, pred, true, valid, group_of_pose, groups):
        errors = {a: self._errors(pred, true, valid, a) for a in dict.fromkeys(m.alignment for m in self.metrics)}
        added = np.zeros((len(groups), len(self.metrics) + 1, 2))

        def per_group(values):
            return np.bincount(group_of_pose, weights=values, minlength=len(groups))

        for i, metric in enumerate(self.metrics):
            scores, scored = metric.joint_scores(*errors[metric.alignment])
            added[:, i, 0] = per_group(scores.sum(1))
            added[:, i, 1] = per_group(scored.sum(1))
            if not metric.worst_joint:
                joints = slice(None) if metric.joints is None else list(metric.joints)
                self._joints[i, joints, 0] += scores.sum(0)
                self._joints[i, joints, 1] += scored.sum(0)
        added[:, -1, :] = per_group(valid.any(1))[:, None]
        for group, sums in zip(groups, added, strict=True):
            self._groups[group] += sums
        self.n_poses += int(valid.any(1).sum())
        self.n_joints += int(valid.sum())
        if "root" in errors:
            self.n_poses_without_root += int((valid.any(1) & ~errors["root"][1].any(1)).sum())

    def _errors(self, pred, true, valid, alignment):
        return joint_errors(pred, true, valid, alignment=alignment, root=self.root)

    def values(self) -> dict[str, float]:
        """Metric name -> value over all poses; NaN where nothing was scored."""
        total = sum(self._groups.values(), np.zeros((len(self.metrics) + 1, 2)))
        return self._named(_ratio(total[:-1]))

    def by(self, label: str, order: Sequence[str] | None = None) -> list[dict]:
        """One row per value of a label, in sorted order (or as `order` lists them), with the number of poses."""
        sums = self.sums_by(label)
        listed = sorted(sums) if order is None else [v for v in order if v in sums]
        return [
            {label: value, "poses": int(sums[value][-1, 0]), **self._named(_ratio(sums[value][:-1]))}
            for value in listed
        ]

    def by_joint(self) -> list[dict]:
        """One row per joint: the metrics that score joints singly, and how many labels of the joint were scored."""
        if self._joints is None:
            return []
        names = self.joint_names or [str(j) for j in range(self._joints.shape[1])]
        kept = [i for i, m in enumerate(self.metrics) if not m.worst_joint]
        rows = []
        for j, name in enumerate(names):
            values = {self.metrics[i].name: float(_ratio(self._joints[i, j])) for i in kept}
            rows.append({"joint": name, "labels": int(self._joints[:, j, 1].max(initial=0)), **values})
        return rows

    def intervals(
        self, over: str = "sequence", *, confidence=0.95, n_resamples=1000, seed=0
    ) -> dict[str, tuple[float, float]]:
        """Percentile bootstrap intervals: what the values would be had other sequences of this kind been recorded.

        Poses of a sequence are not independent, so whole sequences are drawn with replacement (Efron and Tibshirani
        1993, ch. 8). Too few of them to say anything (fewer than 2, or no such label): NaN, NaN.
        """
        by_value = self.sums_by(over) if over in (self._label_names or ()) else {}
        if len(by_value) < 2:
            return {m.name: (float("nan"), float("nan")) for m in self.metrics}
        values = resampled(np.stack(list(by_value.values())), n_resamples, seed)
        low, high = percentiles(values, confidence)
        return {m.name: (float(a), float(b)) for m, a, b in zip(self.metrics, low, high, strict=True)}

    def sums_by(self, label: str) -> dict[str, np.ndarray]:
        """Value of a label -> [M + 1, 2] sums and counts of each metric's scores; the last row counts poses."""
        names = self._label_names or ()
        if label not in names:
            raise UserError(f"Poses have no label '{label}'; labels given: {', '.join(names) or 'none'}.")
        position, sums = names.index(label), {}
        for group, values in self._groups.items():
            sums[group[position]] = sums.get(group[position], 0) + values
        return sums

    def _named(self, values) -> dict[str, float]:
        return {m.name: float(v) for m, v in zip(self.metrics, values, strict=True)}


def resampled(sums: np.ndarray, n_resamples: int, seed: int) -> np.ndarray:
    """[n_resamples, M] metrics of as many sequences as there are, drawn with replacement, from [S, M + 1, 2] sums."""
    draws = np.random.default_rng(seed).multinomial(len(sums), np.full(len(sums), 1 / len(sums)), size=n_resamples)
    return _ratio(np.tensordot(draws.astype(float), sums[:, :-1], 1))


def percentiles(values: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper end of the central interval over the first axis; NaN where all values are."""
    empty = np.isnan(values).all(0)
    tail = 50 * (1 - confidence)
    low, high = np.nanpercentile(np.where(empty, 0.0, values), (tail, 100 - tail), axis=0)
    return np.where(empty, np.nan, low), np.where(empty, np.nan, high)


def paired_difference(
    first: PoseMetrics, second: PoseMetrics, *, over: str = "sequence", confidence=0.95, n_resamples=1000, seed=0
) -> dict[str, tuple[float, float, float]]:
    """How much two models differ on the same data: both are scored on the same drawn sequences.

    Returns:
        metric name -> (first minus second, low, high); an interval that excludes 0 is a difference.

    Raises:
        UserError: other metrics, or other sequences.
    """
    sums = [p.sums_by(over) for p in (first, second)]
    metrics = [[(m.name, m.joints) for m in p.metrics] for p in (first, second)]
    if metrics[0] != metrics[1] or sums[0].keys() != sums[1].keys() or len(sums[0]) < 2:
        raise UserError(f"A paired comparison needs the same metrics and the same values of '{over}', at least two.")
    a, b = (resampled(np.stack([s[k] for k in sums[0]]), n_resamples, seed) for s in sums)
    low, high = percentiles(a - b, confidence)
    values = [(first.values()[m.name] - second.values()[m.name]) for m in first.metrics]
    return {m.name: (v, float(x), float(y)) for m, v, x, y in zip(first.metrics, values, low, high, strict=True)}


def _group(columns: list[np.ndarray], n: int) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """Index of each pose's combination of labels, and the combinations."""
    codes = np.zeros(n, np.int64)
    for column in columns:
        _, inverse = np.unique(column, return_inverse=True)
        _, codes = np.unique(codes * (inverse.max(initial=0) + 1) + inverse, return_inverse=True)
    _, first = np.unique(codes, return_index=True)
    return codes, [tuple(str(c[i]) for c in columns) for i in first]


def _ratio(sums: np.ndarray) -> np.ndarray:
    """sums[..., 0] / sums[..., 1], NaN where the count is zero."""
    total, count = sums[..., 0], sums[..., 1]
    return np.where(count > 0, total / np.where(count > 0, count, 1), np.nan)
