"""`python -m experiments.merging`: what merging like-named joints costs by itself, and when that shows.

A model of merged joints can at best predict the mean of the places that the conventions of its mixture give a joint,
weighted by their examples in a batch. That mean's distance to a skeleton's own joint is added to the errors of the
model of separate heads, as they are and made smaller, on the store that has every skeleton's joints: the rise of MPJPE
is what merging costs if nothing else changes. What a trained model of merged joints gains or loses beyond that comes
from sharing its joints among datasets. Needs the first seed's `train-full` run.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from experiments import __main__ as program
from experiments import library, recipes
from experiments.scales import get_scale
from metrabs_acae import tables
from metrabs_acae.evaluation.consistency import like_named
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings

PROGRAM = "python -m experiments.merging"
SHARES = (1.0, 0.75, 0.5, 0.3)
"""Of the model's errors."""


@settings
class Settings(program.Where):
    """Measures what merging costs."""

    seed: int = setting(1)
    """Whose model it is."""
    format: str = setting("markdown")
    """text, markdown, latex, csv or json."""


def offsets_mm(true_mm: np.ndarray, names: Sequence[str], weights: Mapping[str, float]) -> np.ndarray:
    """[N, J, 3]: from each joint to the weighted mean of its like-named ones.

    Args:
        true_mm: [N, J, 3]. weights: of each of the J names.
    """
    found = np.zeros_like(true_mm)
    for members in like_named(names).values():
        share = np.array([weights[names[i]] for i in members])
        mean = np.tensordot(true_mm[:, members], share / share.sum(), axes=(1, 0))
        found[:, members] = mean[:, None] - true_mm[:, members]
    return found


def costs(pred_mm: np.ndarray, true_mm: np.ndarray, offset_mm: np.ndarray) -> list[tuple[float, float]]:
    """For each of `SHARES`: MPJPE about the mean joint, and its rise by the offsets; mm, all [N, J, 3]."""
    error, offset = (x - x.mean(axis=1, keepdims=True) for x in (pred_mm - true_mm, offset_mm))
    found = []
    for share in SHARES:
        alone = np.linalg.norm(share * error, axis=-1).mean()
        found.append((float(alone), float(np.linalg.norm(share * error + offset, axis=-1).mean() - alone)))
    return found


def run(values: Settings) -> None:
    from metrabs_acae.data.store import PoseStore

    scale = get_scale(values.scale)
    places = program.places_of(values, scale)
    weights: dict[str, float] = {}
    for store, count in scale.mixtures["full"]:
        for name in PoseStore(places.stores / store).skeleton.joint_names:
            weights[name] = weights.get(name, 0) + count
    model = Path(places.fill(recipes.train(scale, values.seed).output))
    store, found = library.predicted(model, places.stores / scale.all_joints_store)
    names = store.skeleton.joint_names
    offset = offsets_mm(found.true_mm, names, weights)
    rows = []
    for benchmark in dict.fromkeys(scale.benchmarks.values()):
        own = [names.index(n) for n in PoseStore(places.stores / benchmark).skeleton.joint_names]
        measured = costs(found.pred_mm[:, own], found.true_mm[:, own], offset[:, own])
        of_shares = {f"{s:.0%} of the errors": f"{a:.0f} + {b:.1f}" for s, (a, b) in zip(SHARES, measured, strict=True)}
        distance = float(np.linalg.norm(offset[:, own], axis=-1).mean())
        rows.append({"joints of": benchmark, "offset": distance, **of_shares})
    print(tables.render(rows, values.format))


def main(arguments: list[str] | None = None) -> int:
    return exit_code(
        lambda: run(parse(Settings, sys.argv[1:] if arguments is None else arguments, PROGRAM, description=__doc__))
    )


if __name__ == "__main__":
    sys.exit(main())
