"""Training curves from the metrics file of a run."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.files import replacing

X_COLUMN = "step"
NOT_PLOTTED = frozenset({"images_per_s", "bad_examples", "memory_gb", "waiting_for_input", "loading_cpu_share"})


def read_metrics(csv_path) -> dict[str, np.ndarray]:
    """Columns by name, float64; empty cells are NaN. Rows cut short (a run that was killed) are left out."""
    path = Path(csv_path)
    if not path.exists():
        raise UserError(f"{path} does not exist; it is written while a training runs.")
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    if not rows or X_COLUMN not in rows[0]:
        raise UserError(f"{path} is not a metrics file: its first line names no column '{X_COLUMN}'.")
    kept = [row for row in rows[1:] if len(row) == len(rows[0])]
    return {name: np.array([_number(row[i]) for row in kept]) for i, name in enumerate(rows[0])}


def plot_curves(csv_path, png_path) -> None:
    """Draws every column of a metrics file against the step; `x` and `val_x` share a panel."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    columns = read_metrics(csv_path)
    steps = columns[X_COLUMN]
    panels: dict[str, list[str]] = {}
    for name, values in columns.items():
        if name != X_COLUMN and name not in NOT_PLOTTED and np.isfinite(values).any():
            panels.setdefault(name.removeprefix("val_"), []).append(name)

    n_columns = min(3, max(1, len(panels)))
    n_rows = max(1, -(-len(panels) // n_columns))
    figure = Figure(figsize=(4.2 * n_columns, 2.8 * n_rows), layout="constrained")
    axes = np.atleast_1d(figure.subplots(n_rows, n_columns, squeeze=False)).ravel()
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis, (title, names) in zip(axes, panels.items(), strict=False):
        for name in names:
            seen = np.isfinite(columns[name])
            label = "validation" if name.startswith("val_") else "training"
            axis.plot(steps[seen], columns[name][seen], label=label, marker="." if seen.sum() < 30 else "")
        positive = np.concatenate([columns[n][np.isfinite(columns[n])] for n in names])
        if positive.min() > 0 and positive.max() > 10 * positive.min():
            axis.set_yscale("log")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step", fontsize=8)
        axis.tick_params(labelsize=8)
        axis.grid(alpha=0.3)
        if len(names) > 1 or names[0].startswith("val_"):
            axis.legend(fontsize=8)
    with replacing(png_path) as temporary:
        figure.savefig(temporary, dpi=100)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return float("nan")
