"""`python -m experiments.unseen`: models of few and many datasets on people who are in no benchmark's place.

The benchmarks of the embedded data imitate the places, cameras and motions of some training set, so that a model of
that set alone has seen much of what it is tested on. The store that has every skeleton's joints imitates none: its
people do anything, anywhere, in everyday clothes. The rows of `many-datasets` on it, by the joints and the root of each
benchmark; a single dataset's model is measured by its own joints. Needs the trainings of `many-datasets`, and takes
what is there.
"""

from __future__ import annotations

import sys
from pathlib import Path

from experiments import __main__ as program
from experiments import library, many_datasets, report
from experiments.report import Collected
from experiments.scales import Scale, get_scale
from experiments.steps import Places
from metrabs_acae import tables
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.metrics import mpjpe
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings

PROGRAM = "python -m experiments.unseen"
TITLE = "MPJPE by each benchmark's joints, people in no benchmark's place (mm; mean ± standard deviation over seeds)"


@settings
class Settings(program.Where):
    """Measures models of few and many datasets on people who are in no benchmark's place."""

    format: str = setting("markdown")
    """text, markdown, latex, csv or json."""


def measure(scale: Scale, places: Places) -> Collected:
    """MPJPE about the benchmark's root in mm, by row of `many-datasets` and by benchmark whose joints count."""
    from data_processing.synthetic.datasets import BENCHMARKS

    values: dict = {}
    for seed in scale.seeds:
        for row, steps in many_datasets.rows(scale, seed).items():
            of_steps = [[b] for b in BENCHMARKS] if row.startswith(many_datasets.OWN) else [BENCHMARKS]
            for step, benchmarks in zip(steps, of_steps, strict=True):
                run = Path(places.fill(step.output))
                if not (run / "evaluation.json").is_file():  # not trained, or not to its end
                    continue
                names = [name for b in benchmarks for name in b.joint_names]
                store, found = library.predicted(run, places.stores / scale.all_joints_store, names)
                for b in benchmarks:
                    own = store.skeleton.indices(b.joint_names)
                    root = b.joint_names.index(b.root)
                    error = mpjpe(found.pred_mm[:, own], found.true_mm[:, own], valid=found.valid[:, own], root=root)
                    values.setdefault(row, {}).setdefault(b.store, {}).setdefault("mpjpe", {})[seed] = error
    return Collected(values, {}, [], 0)


def table(collected: Collected) -> list[dict]:
    """A row for each model, a column for each benchmark whose joints count and one for their mean."""
    rows = []
    for label in collected.values:
        of_column = {group: collected.get(label, group, "mpjpe") for group in collected.groups()}
        of_column["mean"] = collected.mean(label, collected.groups(), "mpjpe")
        cells = {column: report.cell(by_seed) for column, by_seed in of_column.items() if by_seed}
        seeds = max(len(by_seed) for by_seed in of_column.values())
        rows.append({"": label, **cells, "seeds": seeds})
    return rows


def run(values: Settings) -> None:
    scale = get_scale(values.scale)
    if not scale.all_joints_store:
        raise UserError(f"The scale '{scale.name}' has no store with every skeleton's joints.")
    collected = measure(scale, program.places_of(values, scale))
    if not collected.values:
        raise UserError("There is no training of many-datasets; run it first: python -m experiments run many-datasets.")
    if values.format in ("csv", "json"):
        print(tables.render(report.flat(table(collected)), values.format))
        return
    said = report.finding_lines(many_datasets.EXPERIMENT, scale, collected)
    print(tables.render(table(collected), values.format, title=TITLE) + "\n")
    print(report.as_list(report.FINDINGS, said, values.format))


def main(arguments: list[str] | None = None) -> int:
    return exit_code(
        lambda: run(parse(Settings, sys.argv[1:] if arguments is None else arguments, PROGRAM, description=__doc__))
    )


if __name__ == "__main__":
    sys.exit(main())
