"""`python -m experiments.unseen`: models of few and many datasets on people who are in no benchmark's place.

The benchmarks of the embedded data imitate the places, cameras and motions of some training set, so that a model of
that set alone has seen much of what it is tested on. The store that has every skeleton's joints imitates none: its
people do anything, anywhere, in everyday clothes. The rows of `many-datasets` on it, by the joints and the root of each
benchmark; a single dataset's model is measured by its own joints. Needs the trainings of `many-datasets`, and takes
what is there.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from experiments import __main__ as program
from experiments import library, many_datasets
from experiments.scales import Scale, get_scale
from experiments.statistics import compare, sentence
from experiments.steps import Places
from metrabs_acae import tables
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.metrics import mpjpe
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings

PROGRAM = "python -m experiments.unseen"
MEAN = "mean"

Errors = Mapping[str, Mapping[str, Mapping[int, float]]]
"""Row -> benchmark whose joints count, or `MEAN` -> seed -> MPJPE in mm."""


@settings
class Settings(program.Where):
    """Measures models of few and many datasets on people who are in no benchmark's place."""

    format: str = setting("markdown")
    """text, markdown, latex, csv or json."""


def with_means(errors: Mapping[tuple[str, str, int], float], n_columns: int) -> Errors:
    """Errors by row, benchmark and seed, with the mean of a row and seed where it has all columns."""
    found: dict = defaultdict(lambda: defaultdict(dict))
    for (row, benchmark, seed), value in errors.items():
        found[row][benchmark][seed] = value
    for columns in found.values():
        for seed in dict.fromkeys(seed for of_seed in columns.values() for seed in of_seed):
            values = [of_seed[seed] for of_seed in columns.values() if seed in of_seed]
            if len(values) == n_columns:
                columns[MEAN][seed] = float(np.mean(values))
    return found


def measure(scale: Scale, places: Places) -> dict[tuple[str, str, int], float]:
    """MPJPE about the benchmark's root by row of `many-datasets`, benchmark and seed, mm."""
    from data_processing.synthetic.datasets import BENCHMARKS

    errors = {}
    for seed in scale.seeds:
        for row, steps in many_datasets.rows(scale, seed).items():
            of_steps = [[b] for b in BENCHMARKS] if len(steps) > 1 else [BENCHMARKS]
            for step, benchmarks in zip(steps, of_steps, strict=True):
                run = Path(places.fill(step.output))
                if not (run / "evaluation.json").is_file():  # not trained, or not to its end
                    continue
                names = [name for b in benchmarks for name in b.joint_names]
                store, found = library.predicted(run, places.stores / scale.all_joints_store, names)
                for b in benchmarks:
                    own = store.skeleton.indices(b.joint_names)
                    root = b.joint_names.index(b.root)
                    value = mpjpe(found.pred_mm[:, own], found.true_mm[:, own], valid=found.valid[:, own], root=root)
                    errors[row, b.store, seed] = value
    return errors


def run(values: Settings) -> None:
    scale = get_scale(values.scale)
    if not scale.all_joints_store:
        raise UserError(f"The scale '{scale.name}' has no store with every skeleton's joints.")
    errors = with_means(measure(scale, program.places_of(values, scale)), len(scale.benchmarks))
    if not errors:
        raise UserError("There is no training of many-datasets; run it first: python -m experiments run many-datasets.")
    table = []
    for row, columns in errors.items():
        cells = {column: np.array([*of_seed.values()]) for column, of_seed in columns.items()}
        shown = {c: f"{v.mean():.1f}" + (f" ± {v.std(ddof=1):.1f}" if len(v) > 1 else "") for c, v in cells.items()}
        table.append({"MPJPE in mm, joints of": row, **shown, "seeds": len(next(iter(cells.values())))})
    print(tables.render(table, values.format) + "\n")
    for finding in many_datasets.findings(scale):
        first, second = (errors.get(row, {}).get(MEAN, {}) for row in (finding.first, finding.second))
        print(f"- {finding.text}: {sentence(compare(first, second, expected=finding.expected), 'mm')}")


def main(arguments: list[str] | None = None) -> int:
    return exit_code(
        lambda: run(parse(Settings, sys.argv[1:] if arguments is None else arguments, PROGRAM, description=__doc__))
    )


if __name__ == "__main__":
    sys.exit(main())
