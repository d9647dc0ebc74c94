"""Do the skeletons of a prediction file agree? With labels of several skeletons, or without any."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation import consistency, metrics
from metrabs_acae.evaluation.definitions import Number
from metrabs_acae.evaluation.predictions import Predictions
from metrabs_acae.evaluation.protocols.base import Protocol, pair_by_frame, usable
from metrabs_acae.evaluation.results import Result
from metrabs_acae.evaluation.root import MEAN
from metrabs_acae.evaluation.truth import Truth
from metrabs_acae.geometry.body_size import limbs

STATEMENT = {
    "joints": "all that share their base name with a joint of another convention, e.g. lkne_h36m and lkne_coco",
    "root": "none",
    "frames": "all predicted people; with labels, those that are labelled, paired by sequence, frame and person number",
    "spreads": "two conventions may put a joint at two places, but the distance between these is nearly the "
    "same in every pose: its standard deviation over poses, mean over pairs, then over anatomical points; and the "
    "standard deviation over poses of the difference in the length of an arm's or a leg's half, mean over pairs, then "
    "over these",
    "agreed pose": "the one nearby in which all skeletons lie to each other as on a body (docs/acae.md); of the "
    "package's conventions only. Disagreement: difference of two like-named joints' offsets from it; per skeleton: "
    "mean distance to it; CPS: share of people whose worst joint (of all, or of the skeleton) is less far from it",
    "with labels": "--truth names a store that has the joints of several conventions: also how much like-named joints "
    "differ in their errors (disagreement), to which a limb that is turned wrongly in all skeletons adds, and the CPS "
    "about the mean joint",
    "missing predictions": "only with labels: refused (option missing='skip': left out and counted); a prediction that "
    "is not finite is refused (option on_nan='drop': treated as missing)",
}
NUMBERS = (
    Number("distance_mm", "mm", "distance"),
    Number("distance_spread_mm", "mm", "spread of distance"),
    Number("limb_spread_mm", "mm", "spread of limb length"),
    *consistency.AGREEMENT_NUMBERS,
    *(replace(n, label=f"with labels: {n.heading}") for n in consistency.NUMBERS),
    Number("cps@200", "%", "with labels: CPS@200"),
)


def evaluate(
    predictions: Predictions, truth: Truth | None = None, *, missing: str = "refuse", on_nan: str = "refuse"
) -> Result:
    """Measures how far the skeletons of predicted people agree; see `STATEMENT`."""
    predictions, counts = usable(predictions, predictions.joint_names, on_nan)
    names, poses = predictions.joint_names, predictions.poses3d_mm
    points = consistency.like_named(names)
    if not points or len(poses) < 2:
        raise UserError(
            f"Consistency needs two or more people and joints of several skeletons; the file has {len(poses)} people "
            f"and {len(points)} joints that two skeletons share."
        )
    rows = [{"point": base, "skeletons": len(ends), **_distances(poses, ends)} for base, ends in points.items()]
    whole = {k: float(np.mean([row[k] for row in rows])) for k in ("distance_mm", "distance_spread_mm")}
    whole["limb_spread_mm"] = _limb_spread(poses, names)
    breakdowns = {"point": rows}
    if (found := consistency.agreement(poses, names)) is not None:
        of_agreed, breakdowns["skeleton"] = found
        whole |= of_agreed
    if truth is not None:
        common = [n for n in truth.joint_names if n in set(names)]
        pred_index, truth_index, paired = pair_by_frame(predictions, truth, missing, by_person=True)
        labelled = truth.rows(truth_index).select_joints(common)
        pred = predictions.select_joints(common).poses3d_mm[pred_index]
        whole |= consistency.consistency_metrics(pred, labelled.poses3d_mm, common)
        whole["cps@200"] = metrics.cps(pred, labelled.poses3d_mm, root=MEAN)
        counts = {**counts, **paired, "points_compared_with_labels": whole.pop("n_points")}
    return Result(
        protocol=PROTOCOL.name,
        statement=STATEMENT,
        options={"missing": missing, "on_nan": on_nan},
        rows=[{"subset": "all", "poses": len(poses), **whole}],
        breakdowns=breakdowns,
        counts={**counts, "points_that_several_skeletons_have": len(points)},
        numbers=NUMBERS,
    )


def _distances(poses: np.ndarray, members: list[int]) -> dict[str, float]:
    """Mean over pairs of joints of the mean and of the standard deviation of their distance, over poses."""
    pairs = np.array(list(itertools.combinations(members, 2)))
    distance = np.linalg.norm(poses[:, pairs[:, 0]] - poses[:, pairs[:, 1]], axis=-1)
    return {"distance_mm": float(distance.mean()), "distance_spread_mm": float(distance.std(0).mean())}


def _limb_spread(poses: np.ndarray, names: tuple[str, ...]) -> float:
    """See `STATEMENT`; NaN where no two skeletons have a limb."""
    by_limb: dict[tuple[str, str], list[np.ndarray]] = {}
    for limb, a, b in limbs(names):
        by_limb.setdefault(limb, []).append(np.linalg.norm(poses[:, a] - poses[:, b], axis=-1))
    spreads = [
        np.mean([(x - y).std() for x, y in itertools.combinations(lengths, 2)])
        for lengths in by_limb.values()
        if len(lengths) > 1
    ]
    return float(np.mean(spreads)) if spreads else float("nan")


PROTOCOL = Protocol("consistency", "agreement of skeletons", STATEMENT, evaluate, needs_truth=False)
