"""Tables of stored results, and what they say about the paper's findings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from experiments import experiment as ex
from experiments import published_tables, results, statistics
from experiments.experiment import Experiment, Finding
from experiments.numbers import NUMBERS, number
from experiments.scales import Scale
from experiments.steps import Places
from metrabs_acae import tables

PAPER = ", paper"
"""Ends the heading of a column of published numbers."""
FINDINGS = f"Expected findings (difference of two rows, {statistics.CONFIDENCE:.0%} t interval, paired by seed)"


@dataclass(frozen=True)
class Collected:
    """Stored numbers of an experiment: ``values[label][group][metric][seed]``, of each skeleton
    ``skeletons[label][skeleton][metric][seed]``, and whose they are."""

    values: dict[str, dict[str, dict[str, dict[int, float]]]]
    skeletons: dict[str, dict[str, dict[str, dict[int, float]]]]
    provenance: list[dict]
    n_steps: int

    @property
    def empty(self) -> bool:
        return not self.provenance

    def groups(self) -> list[str]:
        found = {g: None for by_group in self.values.values() for g in by_group}
        last = (ex.CONSISTENCY, ex.AUTOENCODER)
        return sorted(found, key=lambda g: last.index(g) + 1 if g in last else 0)

    def get(self, label: str, group: str, metric: str) -> dict[int, float]:
        """Seed -> value."""
        return self.values.get(label, {}).get(group, {}).get(metric, {})

    def pair(self, finding: Finding) -> tuple[dict[int, float], dict[int, float]]:
        """Seed -> value of a finding's two rows; for `experiment.BENCHMARKS` means over the benchmarks of both."""
        labels, metric = (finding.first, finding.second), finding.metric
        if finding.group != ex.BENCHMARKS:
            first, second = (self.get(label, finding.group, metric) for label in labels)
            return first, second
        special = (ex.CONSISTENCY, ex.AUTOENCODER)
        groups = [g for g in self.groups() if g not in special and all(self.get(label, g, metric) for label in labels)]
        first, second = (self.mean(label, groups, metric) for label in labels)
        return first, second

    def mean(self, label: str, groups: list[str], metric: str) -> dict[int, float]:
        """Mean over the groups for every seed that has them all."""
        listed = [self.get(label, g, metric) for g in groups]
        seeds = set.intersection(*map(set, listed)) if listed else set()
        return {s: float(np.mean([v[s] for v in listed])) for s in sorted(seeds)}


def collect(experiment: Experiment, scale: Scale, places: Places, seeds: Iterable[int] = ()) -> Collected:
    """Reads what is stored, also of seeds beyond the scale's; results of other settings do not count."""
    values: dict = {}
    skeletons: dict = {}
    provenance, n_steps = {}, 0
    expected = tuple(seeds) or scale.seeds
    for seed in (*expected, *(() if seeds else results.more_seeds(places.results, scale.seeds))):
        for label, steps in experiment.rows(scale, seed).items():
            values.setdefault(label, {})
            for step in steps:
                result = results.read(places.results, step)
                there = result is not None and not result["stale"]
                n_steps += seed in expected or there
                if not there:
                    continue
                provenance[step.name] = result
                of_skeletons = {row["skeleton"]: row for row in result.get("details", {}).get("skeletons", ())}
                for stored, groups in ((values, result["numbers"]), (skeletons, of_skeletons)):
                    for group, numbers in groups.items():
                        for metric, value in numbers.items():
                            of_group = stored.setdefault(label, {}).setdefault(group, {})
                            of_group.setdefault(metric, {})[seed] = value
    return Collected(values, skeletons, list(provenance.values()), n_steps)


def render(experiment: Experiment, scale: Scale, places: Places, fmt: str = "text", seeds: Iterable[int] = ()) -> str:
    """All tables of an experiment, its findings and the published numbers, as text, Markdown, LaTeX, CSV or JSON."""
    collected = collect(experiment, scale, places, seeds)
    found = group_tables(experiment, scale, collected)
    if fmt in ("csv", "json"):
        rows = [{"group": group, **row} for group, rows in found.items() for row in flat(rows)]
        return tables.render(rows, fmt)
    digits = {n.heading: n.digits for n in NUMBERS}
    parts = [tables.render(rows, fmt, title=title(group, rows), digits=digits) for group, rows in found.items()]
    if not parts:
        parts = [f"No step of '{experiment.name}' at scale '{scale.name}' has been run."]
    parts.append(skeleton_table(experiment, collected, fmt))
    parts.append(as_list(FINDINGS, finding_lines(experiment, scale, collected), fmt))
    parts += published_tables.published_tables(experiment, fmt)
    if collected.provenance:
        parts.append(provenance_line(collected, fmt))
    return "\n\n".join(p for p in parts if p)


def group_tables(experiment: Experiment, scale: Scale, collected: Collected) -> dict[str, list[dict]]:
    """Group -> rows: one per label, a mean and spread over seeds per metric, and the published value where there is."""
    found = {}
    for group in collected.groups():
        rows, known = [], published_tables.known_values(experiment, scale, group)
        known = {label: values for label, values in known.items() if collected.values[label].get(group)}
        published = dict.fromkeys(m for values in known.values() for m in values)
        for label in collected.values:
            row: dict = {"": label}
            seeds = 0
            for metric in dict.fromkeys((*columns(experiment, group), *published)):
                by_seed = collected.get(label, group, metric)
                if by_seed:
                    seeds = max(seeds, len(by_seed))
                    row[number(metric).heading] = cell(by_seed)
            row |= {number(m).heading + PAPER: known.get(label, {}).get(m) for m in published}
            if seeds:
                rows.append({**row, "seeds": seeds})
        if rows:
            found[group] = rows
    return found


def cell(by_seed: Mapping[int, float]) -> tables.PlusMinus | float:
    """Mean and spread over seeds, or the value of the only seed."""
    values = list(by_seed.values())
    return tables.PlusMinus(float(np.mean(values)), float(np.std(values, ddof=1))) if len(values) > 1 else values[0]


def skeleton_table(experiment: Experiment, collected: Collected, fmt: str) -> str:
    """A row for each skeleton, a column for each model; "" where nothing was measured, or the experiment shows none."""
    metrics = ("off_mm", "agreed_cps@100")
    rows: dict[str, dict] = {}
    for label, by_skeleton in collected.skeletons.items() if experiment.by_skeleton else ():
        for skeleton, found in by_skeleton.items():
            means = (float(np.mean(list(found[m].values()))) for m in metrics)
            rows.setdefault(skeleton, {"": skeleton})[label] = " / ".join(f"{v:.0f}" for v in means)
    said = (
        "consistency by skeleton (mm off the agreed pose / % of people with all of its joints less than 100 mm off it; "
        "means over seeds)"
    )
    return tables.render(list(rows.values()), fmt, title=said) if rows else ""


def columns(experiment: Experiment, group: str) -> tuple[str, ...]:
    if experiment.only:
        return experiment.only
    special = {ex.CONSISTENCY: ex.CONSISTENCY_COLUMNS, ex.AUTOENCODER: ex.ACAE_COLUMNS}
    return special.get(group, ex.BENCHMARK_COLUMNS)


def title(group: str, rows: list[dict]) -> str:
    units = {ex.CONSISTENCY: "mm, between skeletons", ex.AUTOENCODER: "mm, reconstruction of held-out poses"}
    paper = any(name.endswith(PAPER) for name in rows[0])
    beside = f";{PAPER.removeprefix(',')}: published, on the real benchmark" if paper else ""
    return f"{group} ({units.get(group, 'mm and %')}; mean ± standard deviation over seeds{beside})"


def finding_lines(experiment: Experiment, scale: Scale, collected: Collected) -> list[str]:
    """One line per finding, with what the seeds say."""
    return [f"{f.text}: {statement(f, collected)}." for f in experiment.findings(scale)]


def statement(finding: Finding, collected: Collected) -> str:
    comparison, unit = compared(finding, collected)
    return f"{statistics.sentence(comparison, unit)} ({finding.first} less {finding.second}: {where(finding)})"


def compared(finding: Finding, collected: Collected) -> tuple[statistics.Comparison, str]:
    """What the seeds say, and the unit of it."""
    first, second = collected.pair(finding)
    return statistics.compare(first, second, expected=finding.expected), number(finding.metric).unit


def where(finding: Finding) -> str:
    """The number that is compared, and of what."""
    group = "mean of the benchmarks" if finding.group == ex.BENCHMARKS else finding.group
    return f"{number(finding.metric).heading}, {group}"


def provenance_line(collected: Collected, fmt: str) -> str:
    machines = sorted({r["machine"] for r in collected.provenance})
    dates = sorted(r["date"] for r in collected.provenance)
    revisions = sorted({r["git_revision"][:7] for r in collected.provenance})
    seconds = sum(r["cpu_seconds"] for r in collected.provenance)
    resumed = sum(r["attempts"] > 1 for r in collected.provenance)
    uncounted = f" ({resumed} of them resumed after a stop: counted from there)" if resumed else ""
    text = (
        f"{len(collected.provenance)} results; machine {'; '.join(machines)}; {dates[0]} to {dates[-1]}; revisions "
        f"{', '.join(revisions)}; {seconds / 3600:.2f} h of processor time in all{uncounted}."
    )
    return f"% {text}" if fmt == "latex" else text


def as_list(heading: str, lines: list[str], fmt: str) -> str:
    if not lines:
        return ""
    if fmt == "latex":
        return "\n".join([f"% {heading}", *(f"% - {line}" for line in lines)])
    if fmt == "markdown":
        return "\n".join([f"**{heading}**", "", *(f"- {line}" for line in lines)])
    return "\n".join([heading, *(f"- {line}" for line in lines)])


def flat(rows: list[dict]) -> list[dict]:
    """Means and spreads as columns of their own."""
    flat = []
    for row in rows:
        out = {}
        for name, value in row.items():
            if isinstance(value, tables.PlusMinus):
                out[name], out[f"{name} sd"] = value.value, value.spread
            else:
                out[name or "row"] = value
        flat.append(out)
    return flat
