"""docs/results.md: every experiment's tables from stored results, with a reading where somebody has written one.

A reading of an experiment is a text `readings/SCALE/NAME.md` beside this file: what was reproduced, what not, why. What
is settled stands in front, see `questions`.
"""

from __future__ import annotations

from pathlib import Path

from experiments import questions, report
from experiments.registry import EXPERIMENTS
from experiments.scales import Scale
from experiments.steps import Places

READINGS = Path(__file__).parent / "readings"


def write(path: Path, scale: Scale, places: Places) -> None:
    """Writes the page anew."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text(path, scale, places))


def text(path: Path, scale: Scale, places: Places) -> str:
    """The page as Markdown; `path` is where it will stand, beside the figures."""
    parts = [introduction(path, scale)]
    reasons = READINGS / scale.name / "questions.md"
    if settled := questions.answers(EXPERIMENTS.values(), scale, places, reasons):
        parts += ["## What is settled, and what is not", settled]
    for experiment in EXPERIMENTS.values():
        collected = report.collect(experiment, scale, places)
        reading = READINGS / scale.name / f"{experiment.name}.md"
        parts.append(f"## {experiment.title}")
        parts.append(
            f"`python -m experiments run {experiment.name} --scale {scale.name}`. Varies {experiment.varies}. The "
            f"paper: {experiment.paper}. Expected here: {experiment.reach}."
        )
        if collected.empty:
            parts.append("Not run yet.")
            continue
        if reading.exists():
            parts.append(reading.read_text().strip())
        if len(collected.provenance) < collected.n_steps:
            parts.append(f"{len(collected.provenance)} of {collected.n_steps} results are there.")
        parts.append(report.render(experiment, scale, places, "markdown"))
        picture = f"img/experiments/{experiment.name}-{scale.name}.png"
        if (path.parent / picture).exists():
            parts.append(f"![{experiment.title}]({picture})")
    return "\n\n".join(parts) + "\n"


def introduction(path: Path, scale: Scale) -> str:
    opening = READINGS / scale.name / "introduction.md"
    written = f"\n\n{opening.read_text().strip()}" if opening.exists() else ""
    flags = "" if scale.name == "small" else f" --scale {scale.name} --out docs/{path.name}"
    return f"""# Results at the `{scale.name}` scale

The paper's tables and figures, written by `python -m experiments page{flags}` from the results in
`experiments/results/{scale.name}/` (each with its machine, date, seed and revision). Numbers are means over seeds ±
their standard deviation; a finding counts as *shown* if the 95 % t interval of the difference, paired by seed, lies on
the expected side of zero, as *contradicted* if on the other, and as *undecided* otherwise (of forty statements without
any substance, one would come out as shown and one as contradicted). The embedded benchmarks imitate the real ones;
their numbers cannot be compared with published ones.{written}"""
