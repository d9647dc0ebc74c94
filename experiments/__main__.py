"""`python -m experiments run|table|check|plot|status|list|page`: the paper's tables and figures."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

from tyro.conf import Positional

from experiments import comparison, report, results, runner
from experiments.registry import EXPERIMENTS, get_experiments
from experiments.scales import Scale, get_scale
from experiments.steps import Places, in_order
from metrabs_acae import tables
from metrabs_acae.errors import UserError
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.flags import parse
from metrabs_acae.settings import setting, settings

PROGRAM = "python -m experiments"
WORK = Path("runs") / "experiments"


@settings
class Where:
    """What all commands have."""

    scale: str = setting("small")
    """tiny, small, small-random-start or paper."""
    work_dir: str = setting("")
    """Runs and other large files; empty: runs/experiments/SCALE."""
    results_dir: str = setting("")
    """Results; empty: experiments/results/SCALE."""
    stores: str = setting("")
    """Pose stores; empty: synthetic-data/SIZE; at the paper's scale: pose-stores."""


@settings
class Status(Where):
    """What has been run."""

    seeds: tuple[int, ...] = setting(())
    """Seeds; empty: the scale's."""


@settings
class Named(Where):
    names: Positional[tuple[str, ...]] = setting(())
    """Experiments, or all."""


@settings
class Run(Named, Status):
    """Run what is missing; can be killed and started again."""

    jobs: int | None = setting(None, at_least=1)
    """Steps at a time, each on its share of the cores; none: the scale's."""
    dry_run: bool = setting(False)
    """Only list the steps with their expected cost."""


@settings
class Table(Named, Status):
    """Print the tables of stored results."""

    format: Literal["text", "markdown", "latex", "csv", "json"] = setting("text")
    """How they are printed."""


@settings
class Check:
    """Compare results on the real datasets with the published numbers, cell by cell; exit code 1 if one is worse."""

    results: Positional[Path] = setting(results.ROOT / "paper")
    """Folder of the results."""
    scale: str = setting("paper")
    """The scale that they were made at."""
    tolerance_mm: float = setting(1.5, at_least=0)
    """Of errors. (Two published tables differ by up to 1.3 mm for the same models.)"""
    tolerance_percent: float = setting(1.5, at_least=0)
    """Of shares of joints and poses, percentage points."""
    format: Literal["text", "markdown", "latex", "csv", "json"] = setting("text")
    """How the table is printed."""


@settings
class Plot(Named):
    """Draw the figures of stored results."""

    out: Path = setting(results.HOME / "docs" / "img" / "experiments")
    """Folder of the pictures."""


@settings
class List(Where):
    """What there is."""


@settings
class Page(Where):
    """Write the page of results."""

    out: str = setting("")
    """The page; empty: docs/results.md, for another scale than `small` docs/results-random-start.md and so on."""


def main(arguments: list[str] | None = None) -> int:
    """The exit code, see `metrabs_acae.exit_codes`; 2 for a failed step as well."""
    arguments = sys.argv[1:] if arguments is None else arguments
    if arguments and arguments[0] in ("-h", "--help"):
        print(f"Usage: {PROGRAM} COMMAND ...; COMMAND --help shows the flags")
        for name, (flags, _) in COMMANDS.items():
            print(f"  {name:8} {flags.__doc__}")
        return 0
    return exit_code(lambda: _run(arguments), interrupted="Interrupted; the same command goes on from here.")


def _run(arguments: list[str]) -> int | None:
    name = arguments[0] if arguments else ""
    if name not in COMMANDS:
        raise UserError(f"There is no command '{name}'; known ones: {', '.join(COMMANDS)}.")
    flags, function = COMMANDS[name]
    return function(parse(flags, arguments[1:], f"{PROGRAM} {name}"))


def places_of(flags: Where, scale: Scale) -> Places:
    stores = Path("synthetic-data") / scale.subfolder if scale.synthetic_size else Path("pose-stores")
    return Places(
        Path(flags.work_dir or WORK / scale.name),
        Path(flags.results_dir or results.ROOT / scale.name),
        Path(flags.stores or stores),
    )


def _scale_and_seeds(flags: Status) -> tuple[Scale, tuple[int, ...]]:
    scale = get_scale(flags.scale)
    return scale, tuple(flags.seeds or scale.seeds)


def run(flags: Run) -> None:
    scale, seeds = _scale_and_seeds(flags)
    places = places_of(flags, scale)
    chosen = get_experiments(flags.names)
    # Seed by seed: what is there after an hour is complete for the first seeds.
    steps = [step for seed in seeds for e in chosen for step in e.steps(scale, (seed,))]
    jobs = scale.jobs if flags.jobs is None else flags.jobs
    if flags.dry_run:
        plan(in_order(steps), scale, places, jobs)
        return
    done = runner.run(steps, scale, places, jobs=jobs, report=lambda line: print(line, flush=True))
    print(f"{len(done)} steps run, {len(in_order(steps)) - len(done)} were there.", flush=True)
    for experiment in chosen:
        print(f"\n{report.render(experiment, scale, places, seeds=seeds)}", flush=True)


def plan(ordered, scale: Scale, places: Places, jobs: int) -> None:
    """Prints the steps with their state and expected cost."""
    missing = runner.missing(ordered, places)
    for step in ordered:
        state = runner.state(step, places)
        state = "again" if state == "done" and step in missing else state  # its output is not there, but needed
        print(f"{state:15s} {runner.minutes(step.cost_s):>8s}  {step.name}")
    whole, left = (sum(step.cost_s for step in steps) for steps in (ordered, missing))
    print(
        f"{len(ordered)} steps, {jobs} at a time, about {runner.minutes(whole / jobs)} on {scale.costs.machine}; "
        f"what is missing: about {runner.minutes(left / jobs)}."
    )


def table(flags: Table) -> None:
    scale, seeds = _scale_and_seeds(flags)
    shown = [
        report.render(e, scale, places_of(flags, scale), flags.format, seeds) for e in get_experiments(flags.names)
    ]
    print("\n\n".join(shown))


def check(flags: Check) -> int:
    tolerances = {"mm": flags.tolerance_mm, "%": flags.tolerance_percent}
    places = Places(Path(), flags.results, Path())
    cells = comparison.check(EXPERIMENTS.values(), get_scale(flags.scale), places, tolerances)
    print(tables.render(cells, flags.format))
    verdicts = [cell["verdict"] for cell in cells]
    if flags.format in ("text", "markdown"):
        print(
            "\n" + ", ".join(f"{verdicts.count(v)} {v}" for v in dict.fromkeys(verdicts)) + f" of {len(cells)} numbers."
        )
    return int(comparison.WORSE in verdicts)


def plot(flags: Plot) -> None:
    from experiments import plots

    scale = get_scale(flags.scale)
    for experiment in get_experiments(flags.names):
        path = flags.out / f"{experiment.name}-{scale.name}.png"
        plots.draw(experiment, scale, places_of(flags, scale), path)
        print(f"Wrote {path}")


def status(flags: Status) -> None:
    scale, seeds = _scale_and_seeds(flags)
    places = places_of(flags, scale)
    for experiment in EXPERIMENTS.values():
        ordered = in_order(experiment.steps(scale, seeds))
        states = [runner.state(s, places) for s in ordered]
        missing = sum(s.cost_s for s in runner.missing(ordered, places))
        others = ", ".join(f"{states.count(k)} {k}" for k in ("begun", "other settings") if k in states)
        print(
            f"{experiment.name:20s} {states.count('done'):3d} of {len(ordered):3d} steps done"
            + (f" ({others})" if others else "")
            + (f"; missing: about {runner.minutes(missing / scale.jobs)}" if missing else "")
        )


def list_experiments(flags: List) -> None:
    for experiment in EXPERIMENTS.values():
        print(f"{experiment.name}: {experiment.title}. Varies {experiment.varies}. Paper: {experiment.paper}.")


def page(flags: Page) -> None:
    from experiments import page as writer

    scale = get_scale(flags.scale)
    usual = f"results-{scale.name}.md".replace("-small", "")
    out = Path(flags.out or results.HOME / "docs" / usual)
    writer.write(out, scale, places_of(flags, scale))
    print(f"Wrote {out}")


COMMANDS = {
    "run": (Run, run),
    "table": (Table, table),
    "check": (Check, check),
    "plot": (Plot, plot),
    "status": (Status, status),
    "list": (List, list_experiments),
    "page": (Page, page),
}


if __name__ == "__main__":
    sys.exit(main())
