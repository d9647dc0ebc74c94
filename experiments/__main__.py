"""`python -m experiments run|table|plot|status|list|page`: the paper's tables and figures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from experiments import report, results, runner
from experiments.registry import EXPERIMENTS, get_experiments
from experiments.scales import SCALES, Scale, get_scale
from experiments.steps import Places, in_order
from metrabs_acae.errors import UserError
from metrabs_acae.exit_codes import exit_code
from metrabs_acae.tables import FORMATS

WORK = Path("runs") / "experiments"


class Parser(argparse.ArgumentParser):
    """Wrong arguments end in one sentence, like any other bad input."""

    def error(self, message: str):
        raise UserError(f"{message[0].upper()}{message[1:].rstrip('.')}. See python -m experiments --help.")


def main(arguments: list[str] | None = None) -> int:
    """The exit code, see `metrabs_acae.exit_codes`; 2 for a failed step as well."""

    def work() -> None:
        settings = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
        settings.function(settings)

    return exit_code(work, interrupted="Interrupted; the same command goes on from here.")


def parser() -> Parser:
    whole = Parser(prog="python -m experiments", description=__doc__)
    verbs = whole.add_subparsers(dest="verb", required=True, parser_class=Parser)
    places = argparse.ArgumentParser(add_help=False)
    places.add_argument("--scale", default="small", help=f"{', '.join(SCALES)} (default: small)")
    places.add_argument("--work-dir", help=f"runs and other large files (default: {WORK}/SCALE)")
    places.add_argument("--results-dir", help="results (default: experiments/results/SCALE)")
    places.add_argument("--stores", help="pose stores (default: synthetic-data/SIZE; paper: pose-stores)")
    seeds = argparse.ArgumentParser(add_help=False)
    seeds.add_argument("--seeds", type=int, nargs="+", help="default: the scale's")

    def add(name: str, function, help: str, *parents, several: bool | None = None):
        verb = verbs.add_parser(name, help=help, description=help, parents=[places, *parents])
        verb.set_defaults(function=function)
        if several is not None:
            verb.add_argument("names", nargs="+" if several else 1, metavar="NAME", help="an experiment, or all")
        return verb

    run_verb = add("run", run, "Run what is missing; can be killed and started again.", seeds, several=True)
    run_verb.add_argument(
        "--jobs", type=int, help="steps at a time, each on its share of the cores (default: the scale's)"
    )
    run_verb.add_argument("--dry-run", action="store_true", help="only list the steps with their expected cost")
    table_verb = add("table", table, "Print the tables of stored results.", seeds, several=True)
    table_verb.add_argument("--format", choices=FORMATS, default="text")
    plot_verb = add("plot", plot, "Draw the figures of stored results.", several=True)
    plot_verb.add_argument("--out", help="folder of the pictures (default: docs/img/experiments)")
    add("status", status, "What has been run.", seeds)
    add("list", list_experiments, "What there is.")
    page_verb = add("page", page, "Write the page of results, docs/results.md.")
    page_verb.add_argument("--out", default=str(Path(__file__).parents[1] / "docs" / "results.md"))
    return whole


def places_of(settings, scale: Scale) -> Places:
    stores = Path("synthetic-data") / scale.subfolder if scale.synthetic_size else Path("pose-stores")
    return Places(
        Path(settings.work_dir or WORK / scale.name),
        Path(settings.results_dir or results.ROOT / scale.name),
        Path(settings.stores or stores),
    )


def _scale_and_seeds(settings) -> tuple[Scale, tuple[int, ...]]:
    scale = get_scale(settings.scale)
    return scale, tuple(getattr(settings, "seeds", None) or scale.seeds)


def run(settings) -> None:
    scale, seeds = _scale_and_seeds(settings)
    places = places_of(settings, scale)
    chosen = get_experiments(settings.names)
    # Seed by seed: what is there after an hour is complete for the first seeds.
    steps = [step for seed in seeds for e in chosen for step in e.steps(scale, (seed,))]
    jobs = scale.jobs if settings.jobs is None else settings.jobs
    if jobs < 1:
        raise UserError(f"--jobs is {jobs}; it must be at least 1.")
    if settings.dry_run:
        plan(in_order(steps), scale, places, jobs)
        return
    done = runner.run(steps, scale, places, jobs=jobs, report=lambda line: print(line, flush=True))
    print(f"{len(done)} steps run, {len(in_order(steps)) - len(done)} were there.", flush=True)
    for experiment in chosen:
        print(f"\n{report.render(experiment, scale, places, seeds=seeds)}", flush=True)


def plan(ordered, scale: Scale, places: Places, jobs: int) -> None:
    """Prints the steps with their state and expected cost."""
    missing = 0.0
    for step in ordered:
        state = runner.state(step, places)
        missing += 0 if state == "done" else step.cost_s
        print(f"{state:15s} {runner.minutes(step.cost_s):>8s}  {step.name}")
    whole = sum(step.cost_s for step in ordered)
    print(
        f"{len(ordered)} steps, {jobs} at a time, about {runner.minutes(whole / jobs)} on {scale.costs.machine}; what "
        f"is missing: about {runner.minutes(missing / jobs)}."
    )


def table(settings) -> None:
    scale, seeds = _scale_and_seeds(settings)
    shown = [
        report.render(e, scale, places_of(settings, scale), settings.format, seeds)
        for e in get_experiments(settings.names)
    ]
    print("\n\n".join(shown))


def plot(settings) -> None:
    from experiments import plots

    scale = get_scale(settings.scale)
    folder = Path(settings.out or Path(__file__).parents[1] / "docs" / "img" / "experiments")
    for experiment in get_experiments(settings.names):
        path = folder / f"{experiment.name}-{scale.name}.png"
        plots.draw(experiment, scale, places_of(settings, scale), path)
        print(f"Wrote {path}")


def status(settings) -> None:
    scale, seeds = _scale_and_seeds(settings)
    places = places_of(settings, scale)
    for experiment in EXPERIMENTS.values():
        ordered = in_order(experiment.steps(scale, seeds))
        states = [runner.state(s, places) for s in ordered]
        missing = sum(s.cost_s for s, state in zip(ordered, states, strict=True) if state != "done")
        others = ", ".join(f"{states.count(k)} {k}" for k in ("begun", "other settings") if k in states)
        print(
            f"{experiment.name:20s} {states.count('done'):3d} of {len(ordered):3d} steps done"
            + (f" ({others})" if others else "")
            + (f"; missing: about {runner.minutes(missing / scale.jobs)}" if missing else "")
        )


def list_experiments(settings) -> None:
    for experiment in EXPERIMENTS.values():
        print(f"{experiment.name}: {experiment.title}. Varies {experiment.varies}. Paper: {experiment.paper}.")


def page(settings) -> None:
    from experiments import page as writer

    scale = get_scale(settings.scale)
    writer.write(Path(settings.out), scale, places_of(settings, scale))
    print(f"Wrote {settings.out}")


if __name__ == "__main__":
    sys.exit(main())
