"""What the protocols share: their description, pairing predictions with labels by frame, and scoring."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.accumulators import PoseMetrics
from metrabs_acae.evaluation.definitions import Metric
from metrabs_acae.evaluation.prediction_settings import PredictionSettings
from metrabs_acae.evaluation.predictions import Predictions, count_within_groups, row_codes
from metrabs_acae.evaluation.results import SHOWN_IN_BREAKDOWNS, Result, statement_lines
from metrabs_acae.evaluation.truth import Truth, truth_from_store

if TYPE_CHECKING:
    from metrabs_acae.data.store import PoseStore


@dataclass(frozen=True)
class Protocol:
    """One benchmark: how its people are predicted and how they are scored.

    Attributes:
        name: what the command line calls it; `aliases`: what else.
        title: what people call it.
        statement: aspect -> what it assumes, one sentence each.
        function: (predictions, truth, *, options...) -> Result.
        prediction: how `--predict` shows its images to a model: boxes, camera, test-time augmentation.
        needs_truth: whether it cannot do without labels.
        needs_2d: (options) -> whether the labels' image positions are needed.
        shown: of the paper's 19 metrics those in printed breakdowns.
    """

    name: str
    title: str
    statement: Mapping[str, str]
    function: Callable[..., Result]
    aliases: tuple[str, ...] = ()
    prediction: PredictionSettings = PredictionSettings()
    needs_truth: bool = True
    needs_2d: Callable[[Mapping], bool] = lambda options: False
    shown: tuple[str, ...] = SHOWN_IN_BREAKDOWNS

    @property
    def options(self) -> dict[str, object]:
        """Name of each option and its default."""
        parameters = inspect.signature(self.function).parameters.values()
        return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}

    def evaluate(self, predictions: Predictions, truth: Truth | None, **options) -> Result:
        """Scores predictions; UserError on unknown options and on predictions that the protocol refuses."""
        unknown = sorted(set(options) - set(self.options))
        if unknown:
            known = ", ".join(self.options) or "none"
            raise UserError(f"Protocol '{self.name}' has no option {', '.join(unknown)}; it has {known}.")
        return replace(self.function(predictions, truth, **options), shown=self.shown)

    def evaluate_on(self, predictions: Predictions, store: PoseStore, split: str = "test", **options) -> Result:
        """`evaluate` with the labels of a benchmark's pose store."""
        needs_2d = self.needs_2d({**self.options, **options})
        return self.evaluate(predictions, truth_from_store(store, split, with_2d=needs_2d), **options)

    def describe(self) -> str:
        """The statement, for people."""
        options = {f"option {k}": f"default {v}" for k, v in self.options.items()}
        return "\n".join([f"{self.name}: {self.title}", *statement_lines({**self.statement, **options})])


MISSING_RULE = (
    "a labelled frame without a prediction is refused (option missing='skip': left out and counted); a prediction that "
    "is not finite is refused (option on_nan='drop': treated as missing); predictions of other frames are ignored and "
    "counted; of several people in a frame the one of highest score counts, and without scores the file is refused"
)


LIKE_CONVENTIONS = {"mupots": "3dhp"}
"""Conventions that a benchmark's files name differently although its joints are the same (our suffix for MuPoTS-3D)."""


def under_protocol_names(rows, joint_names: Sequence[str]):
    """`rows` (predictions or truth) with joints of a like convention renamed to the protocol's, unless it has those."""
    if set(rows.joint_names) & set(joint_names):
        return rows
    renamed = []
    for name in rows.joint_names:
        base, _, suffix = name.partition("_")
        renamed.append(f"{base}_{LIKE_CONVENTIONS[suffix]}" if suffix in LIKE_CONVENTIONS else name)
    changed = {"joint_names": tuple(renamed)}
    if isinstance(rows, Truth) and rows.joint_names_2d == rows.joint_names:
        changed["joint_names_2d"] = tuple(renamed)
    return replace(rows, **changed)


def usable(
    predictions: Predictions, joint_names: Sequence[str], on_nan: str, *, needs_2d=False
) -> tuple[Predictions, dict]:
    """Predictions of the protocol's joints, in its order, all finite; and counts of what was dropped."""
    choose("on_nan", on_nan, ("refuse", "drop"))
    if needs_2d and predictions.poses2d_px is None:
        raise UserError("This protocol matches people in the image: the predictions need poses2d_px.")
    predictions = under_protocol_names(predictions, joint_names)
    reordered = tuple(predictions.joint_names) != tuple(joint_names)
    predictions = predictions.select_joints(joint_names)
    broken = ~np.isfinite(predictions.poses3d_mm).all((1, 2))
    if needs_2d:
        broken |= ~np.isfinite(predictions.poses2d_px).all((1, 2))
    if broken.any() and on_nan == "refuse":
        first = int(np.flatnonzero(broken)[0])
        raise UserError(
            f"{int(broken.sum())} of {len(broken)} predicted people are not finite (first: frame "
            f"{predictions.frame[first]} of sequence '{predictions.sequence[first]}'); predict them, or pass "
            "on_nan='drop' to treat them as missing."
        )
    counts = {"predicted_people": len(broken), "not_finite_dropped": int(broken.sum())}
    if reordered:
        counts["joints_selected_by_name"] = len(joint_names)
    return predictions.rows(~broken) if broken.any() else predictions, counts


def pair_by_frame(
    predictions: Predictions, truth: Truth, missing: str, *, by_person=False
) -> tuple[np.ndarray, np.ndarray, dict]:
    """Rows of predictions and of truth that show the same person: one per frame, or by the `person` numbers.

    Returns:
        indices into predictions, indices into truth (in the truth's order), and counts.
    """
    choose("missing", missing, ("refuse", "skip"))
    if not by_person:
        first = np.flatnonzero(count_within_groups(truth.sequence, truth.frame) > 0)
        if len(first):
            raise UserError(f"The truth has several people in frame {_where(truth, first[0])}; one is expected.")
    columns = ("sequence", "frame", "person") if by_person else ("sequence", "frame")
    codes = row_codes(*(np.concatenate([getattr(truth, c), getattr(predictions, c)]) for c in columns))
    truth_codes, pred_codes = codes[: len(truth)], codes[len(truth) :]

    order = np.arange(len(predictions))
    several = count_within_groups(pred_codes) > 0
    several &= np.isin(pred_codes, truth_codes)
    if several.any():
        if predictions.score is None:
            raise UserError(
                f"{several.sum()} frames have more than one predicted person (first: frame "
                f"{_where(predictions, np.flatnonzero(several)[0])}); keep one person, or give scores so that the "
                "highest can be chosen."
            )
        order = np.argsort(-np.nan_to_num(predictions.score, nan=-np.inf), kind="stable")
    found, position = np.unique(pred_codes[order], return_index=True)
    slot = np.searchsorted(found, truth_codes)
    present = np.zeros(len(truth), bool)
    inside = slot < len(found)
    present[inside] = found[slot[inside]] == truth_codes[inside]
    if not present.all() and missing == "refuse":
        raise UserError(
            f"{int((~present).sum())} of {len(truth)} labelled people have no prediction (first: frame "
            f"{_where(truth, np.flatnonzero(~present)[0])}); predict them, or pass missing='skip' to leave them out."
        )
    if not present.any():
        raise UserError("No prediction belongs to any labelled frame; are the sequence names and frame numbers right?")
    truth_index = np.flatnonzero(present)
    counts = {
        "labelled_people": len(truth),
        "missing_skipped": int((~present).sum()),
        "extra_people_ignored": int(several.sum()),
        "other_frames_ignored": int((~np.isin(pred_codes, truth_codes)).sum()),
    }
    return order[position[slot[present]]], truth_index, counts


def score(
    pred_mm: np.ndarray,
    true_mm: np.ndarray,
    metrics: Sequence[Metric],
    *,
    root,
    joint_names: Sequence[str],
    labels: Mapping[str, np.ndarray],
    valid: np.ndarray | None = None,
) -> PoseMetrics:
    """A filled accumulator of all poses."""
    scored = PoseMetrics(metrics, root=root, joint_names=joint_names)
    scored.update(pred_mm, true_mm, valid=valid, labels=labels)
    return scored


def whole(scored: PoseMetrics, subset: str = "all") -> dict:
    """The row of the whole benchmark."""
    return {"subset": subset, "poses": scored.n_poses, **scored.values()}


def choose(option: str, value, choices: Sequence) -> None:
    """UserError unless the option's value is one of the choices."""
    if value not in choices:
        listed = ", ".join(repr(c) for c in choices)
        raise UserError(f"Option {option} must be one of {listed}, not {value!r}.")


def natural_order(names) -> list[str]:
    """Sorted so that TS2 comes before TS10."""

    def key(name):
        return [(0, int(part), "") if part.isdecimal() else (1, 0, part) for part in re.split(r"(\d+)", name)]

    return sorted(set(names), key=key)


def _where(rows, i) -> str:
    return f"{rows.frame[i]} of sequence '{rows.sequence[i]}'"
