"""Figures of stored results."""

from __future__ import annotations

import textwrap
from pathlib import Path

import numpy as np

from experiments import numbers, report, results
from experiments.experiment import Experiment
from experiments.scales import Scale
from experiments.steps import Places
from metrabs_acae.errors import UserError
from metrabs_acae.files import replacing

VIEWS = {"front": 0, "between": 50, "side, depth to the right": 90}
"""Name -> degrees about the vertical."""


def draw(experiment: Experiment, scale: Scale, places: Places, path: Path) -> None:
    """Writes the experiment's figure as a picture; UserError where nothing has been run."""
    collected = report.collect(experiment, scale, places)
    if collected.empty:
        raise UserError(
            f"Nothing of '{experiment.name}' has been run at scale '{scale.name}'; run it first: "
            f"python -m experiments run {experiment.name} --scale {scale.name}"
        )
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    kind = experiment.figure.kind
    figure = Figure((9, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    drawers = {"bars": _bars, "lines": _lines, "split bars": _split_bars, "people": _people, "latents": _latents}
    drawers[kind](figure, experiment, collected, scale, places)
    figure.suptitle(f"{experiment.title} ({scale.name} scale)", fontsize=11)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _groups(experiment: Experiment, collected: report.Collected) -> list[str]:
    metric = experiment.figure.metrics[0]
    having = [g for g in collected.groups() if any(collected.get(label, g, metric) for label in collected.values)]
    return [g for g in having if g in experiment.figure.groups] if experiment.figure.groups else having


def _stats(values: dict[int, float]) -> tuple[float, float]:
    found = list(values.values())
    return (float(np.mean(found)) if found else np.nan), (float(np.std(found, ddof=1)) if len(found) > 1 else 0.0)


def _axis_label(metric: str) -> str:
    number = numbers.number(metric)
    return f"{number.heading}, {number.unit}" if number.unit else number.heading


def _bars(figure, experiment, collected, scale, places) -> None:
    """Groups along the axis, a bar for each row, whiskers of one standard deviation over seeds."""
    axes, metric, groups = figure.add_subplot(), experiment.figure.metrics[0], _groups(experiment, collected)
    labels = list(collected.values)
    width = 0.8 / len(labels)
    for i, label in enumerate(labels):
        means, spreads = zip(*(_stats(collected.get(label, g, metric)) for g in groups), strict=True)
        at = np.arange(len(groups)) + (i - (len(labels) - 1) / 2) * width
        axes.bar(at, means, width, yerr=spreads, label=label, capsize=2)
    axes.set_xticks(range(len(groups)), groups, fontsize=8)
    axes.set_ylabel(_axis_label(metric))
    columns = 3
    axes.margins(y=max(0.2, 0.1 + 0.06 * -(-len(labels) // columns)))  # room for the legend
    axes.legend(fontsize=8, ncols=columns, loc="upper right")


def _lines(figure, experiment, collected, scale, places) -> None:
    """The number in each row's label along the axis, a line for each group."""
    axes, metric = figure.add_subplot(), experiment.figure.metrics[0]
    labels = [label for label in collected.values if _number(label) is not None]
    at = np.array([_number(label) for label in labels])
    order = np.argsort(at)
    for group in _groups(experiment, collected):
        means, spreads = zip(*(_stats(collected.get(label, group, metric)) for label in labels), strict=True)
        axes.errorbar(at[order], np.array(means)[order], np.array(spreads)[order], marker="o", capsize=3, label=group)
    axes.set_xlabel(experiment.figure.x_label)
    axes.set_ylabel(_axis_label(metric))
    axes.set_xticks(at)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def _number(label: str) -> int | None:
    digits = label.split()[0].replace(",", "")
    return int(digits) if digits.isdigit() else None


def _split_bars(figure, experiment, collected, scale, places) -> None:
    """Rows along the axis, a bar for each metric of one group."""
    axes, group = figure.add_subplot(), experiment.figure.groups[0]
    labels, metrics = list(collected.values), experiment.figure.metrics
    width = 0.8 / len(metrics)
    for i, metric in enumerate(metrics):
        means, spreads = zip(*(_stats(collected.get(label, group, metric)) for label in labels), strict=True)
        at = np.arange(len(labels)) + (i - (len(metrics) - 1) / 2) * width
        axes.bar(at, means, width, yerr=spreads, label=numbers.number(metric).heading, capsize=2)
    axes.set_xticks(range(len(labels)), [textwrap.fill(label, 14) for label in labels], fontsize=8)
    axes.set_ylabel("mm")
    axes.legend(fontsize=8)


def _people(figure, experiment, collected, scale, places) -> None:
    """One person as the skeletons of each model see it, from three directions; in metres from its middle."""
    shown = {}
    for label, steps in experiment.rows(scale, scale.seeds[0]).items():
        result = results.read(places.results, steps[0])
        if result is not None and not result["stale"]:
            shown[label] = result["details"]
    if not shown:
        raise UserError(f"The first seed of '{experiment.name}' has not been run; its example cannot be drawn.")
    figure.set_size_inches(9, 9)
    for i, (label, details) in enumerate(shown.items()):
        pose = np.array(details["pred_mm"]) / 1000
        pose -= np.median(pose, axis=0)
        conventions = [n.partition("_")[2] for n in details["joint_names"]]
        colors = {c: f"C{k}" for k, c in enumerate(dict.fromkeys(conventions))}
        for j, (view, turn) in enumerate(VIEWS.items()):
            axes = figure.add_subplot(len(VIEWS), len(shown), j * len(shown) + i + 1)
            across = pose @ [np.cos(np.radians(turn)), 0, np.sin(np.radians(turn))]
            for a, b in details["edges"]:
                axes.plot(across[[a, b]], pose[[a, b], 1], color=colors[conventions[a]], linewidth=0.8)
            axes.set_aspect("equal")
            axes.set_xlim(-0.8, 0.8)
            axes.set_ylim(1.1, -1.1)
            axes.tick_params(labelsize=6)
            axes.set_ylabel("m", fontsize=7)
            axes.set_title(f"{label}, {view}", fontsize=8)
    handles = [figure.axes[0].plot([], [], color=color, label=c)[0] for c, color in colors.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles), fontsize=7, frameon=False)


def _latents(figure, experiment, collected, scale, places) -> None:
    """The joints that each latent drives most, the darker the larger the decoder's weight."""
    (steps,) = (s for s in list(experiment.rows(scale, scale.seeds[0]).values())[:1])
    result = results.read(places.results, steps[0])
    if result is None:
        raise UserError(f"The first seed of '{experiment.name}' has not been run.")
    driven = result["details"]["latents"]
    axes = figure.add_subplot()
    strongest = {}
    for latent, text in driven.items():
        parts = [part.rsplit(" ", 1) for part in text.split(", ") if " " in part]
        strongest[latent] = [(name, float(weight)) for name, weight in parts]
    for i, parts in enumerate(strongest.values()):
        for k, (name, weight) in enumerate(parts):
            axes.text(i, k, name, rotation=90, fontsize=5, ha="center", va="center", alpha=0.35 + 0.65 * min(1, weight))
    axes.set_xticks(range(len(strongest)), list(strongest), rotation=90, fontsize=5)
    axes.set_xlim(-1, len(strongest))
    axes.set_ylim(-0.6, 3.6)
    axes.set_yticks(range(4), ["1st", "2nd", "3rd", "4th"], fontsize=7)
    axes.set_ylabel("joints it drives most")
