"""A run on the real datasets held against the published numbers, cell by cell."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from experiments import numbers, report
from experiments.experiment import Experiment
from experiments.published_tables import BENCHMARK_NAMES
from experiments.scales import Scale
from experiments.steps import Places
from metrabs_acae.errors import UserError

WORSE = "worse"


def check(
    experiments: Iterable[Experiment], scale: Scale, places: Places, tolerances: Mapping[str, float]
) -> list[dict]:
    """A row for each published cell that an experiment has, too.

    Args:
        tolerances: by unit, ``"mm"`` and ``"%"``: larger differences are ``"better"`` or ``"worse"``, others
            ``"within"``; what has no result is ``"not run"``.

    Raises:
        UserError: the scale is not that of the real datasets, or nothing has been run.
    """
    if scale.synthetic_size:
        raise UserError(
            f"The scale '{scale.name}' has embedded data, whose numbers cannot be compared with published ones; only "
            "results of --scale paper can."
        )
    cells = []
    for experiment in experiments:
        collected = report.collect(experiment, scale, places)
        for label, model in experiment.same_as.items():
            for k in (k for k in experiment.known if k.model == model):
                groups = (k.benchmark, scale.benchmarks[k.benchmark])
                ours = next((v for g in groups if (v := collected.get(label, g, k.metric))), {})
                number = numbers.number(k.metric)
                mean = float(np.mean(list(ours.values()))) if ours else None
                cells.append(
                    {
                        "experiment": experiment.name,
                        "row": label,
                        "benchmark": BENCHMARK_NAMES[k.benchmark],
                        "metric": number.heading,
                        "ours": mean,
                        "paper": k.value,
                        "difference": None if mean is None else mean - k.value,
                        "tolerance": tolerances[number.unit],
                        "verdict": _verdict(
                            mean, k.value, tolerances[number.unit], lower_is_better=number.unit == "mm"
                        ),
                    }
                )
    if all(cell["ours"] is None for cell in cells):
        raise UserError(
            f"{places.results} has no result of an experiment with published numbers, made with the settings of scale "
            f"'{scale.name}'."
        )
    return cells


def _verdict(ours: float | None, paper: float, tolerance: float, *, lower_is_better: bool) -> str:
    if ours is None:
        return "not run"
    # Both are decimal fractions: a difference of just the tolerance is within it.
    if abs(ours - paper) <= tolerance + 1e-9:
        return "within"
    return "better" if (ours < paper) == lower_is_better else WORSE
