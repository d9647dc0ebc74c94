"""Stored results beside the published numbers: in the tables, and cell by cell for a run on the real datasets."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from experiments import report
from experiments.experiment import Experiment
from experiments.scales import Scale
from experiments.steps import Places
from metrabs_acae import tables
from metrabs_acae.errors import UserError

BENCHMARK_NAMES = {"mupots": "MuPoTS-3D", "3dpw": "3DPW", "mpi_inf_3dhp": "MPI-INF-3DHP", "human36m": "Human3.6M"}
WORSE = "worse"


def known_values(experiment: Experiment, scale: Scale, group: str) -> dict[str, dict[str, float]]:
    """Row -> metric -> published value, of the benchmark whose store or protocol the group is."""
    found: dict[str, dict[str, float]] = {}
    for label, model in experiment.same_as.items():
        for k in experiment.known:
            if k.model == model and group in (k.benchmark, scale.benchmarks.get(k.benchmark)):
                found.setdefault(label, {})[k.metric] = k.value
    return found


def published_tables(experiment: Experiment, fmt: str) -> list[str]:
    """A table for each source: models by benchmarks, the numbers of a benchmark in one cell."""
    shown = []
    for source in dict.fromkeys(k.source for k in experiment.known):
        of_source = [k for k in experiment.known if k.source == source]
        metrics: dict[str, dict[str, None]] = {}
        for k in of_source:
            metrics.setdefault(k.benchmark, {})[k.metric] = None
        value = {(k.model, k.benchmark, k.metric): f"{k.value:.1f}" for k in of_source}
        rows = []
        for model in dict.fromkeys(k.model for k in of_source):
            row = {"": model}
            for benchmark, names in sorted(metrics.items(), key=lambda item: list(BENCHMARK_NAMES).index(item[0])):
                heading = f"{BENCHMARK_NAMES[benchmark]}: {' / '.join(report.number(m).heading for m in names)}"
                row[heading] = " / ".join(value.get((model, benchmark, m), tables.MISSING) for m in names)
            rows.append(row)
        shown.append(tables.render(rows, fmt, title=f"Published, on the real benchmarks ({source})"))
    return shown


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
                number = report.number(k.metric)
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
