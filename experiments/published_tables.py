"""The published numbers of an experiment: beside ours, and in tables of their own."""

from __future__ import annotations

from experiments.experiment import Experiment
from experiments.numbers import number
from experiments.scales import Scale
from metrabs_acae import tables

BENCHMARK_NAMES = {"mupots": "MuPoTS-3D", "3dpw": "3DPW", "mpi_inf_3dhp": "MPI-INF-3DHP", "human36m": "Human3.6M"}


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
                heading = f"{BENCHMARK_NAMES[benchmark]}: {' / '.join(number(m).heading for m in names)}"
                row[heading] = " / ".join(value.get((model, benchmark, m), tables.MISSING) for m in names)
            rows.append(row)
        shown.append(tables.render(rows, fmt, title=f"Published, on the real benchmarks ({source})"))
    return shown
