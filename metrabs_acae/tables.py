"""Tables: a list of rows (dicts) to text, Markdown, LaTeX, CSV or JSON. Every table of the project is printed here."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from metrabs_acae.errors import UserError

FORMATS = ("text", "markdown", "latex", "csv", "json")
MISSING = "-"


@dataclass(frozen=True)
class Interval:
    """A cell: a value and its confidence interval, printed ``57.1 [55.0, 59.3]``."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PlusMinus:
    """A cell: a mean and its spread (say over seeds), printed ``57.1 ± 0.4``."""

    value: float
    spread: float


def render(
    rows: Sequence[Mapping],
    fmt: str = "text",
    *,
    columns: Sequence[str] | None = None,
    headers: Mapping[str, str] | None = None,
    digits: int | Mapping[str, int] = 1,
    best: Mapping[str, str] | None = None,
    title: str = "",
) -> str:
    """The table as a string that ends without a newline.

    Args:
        rows: a dict each. Cells: numbers, strings, booleans, None, `Interval`, `PlusMinus`; None and NaN are empty.
        fmt: one of `FORMATS`. CSV and JSON hold full precision, machine-readable, with the rows' own keys (an
            `Interval` becomes value, low, high); the others are rounded and aligned for people.
        columns: which columns, in which order; default: all, in order of first appearance.
        headers: column -> printed name (not in CSV and JSON).
        digits: decimals of floats, for all columns or by column (1 where not named).
        best: column -> ``"min"`` or ``"max"``: the best value is emphasised (not in CSV and JSON).
        title: a line above the table (not in CSV and JSON).

    Raises:
        UserError: unknown format or column.
    """
    if fmt not in FORMATS:
        raise UserError(f"There is no table format '{fmt}'; choose one of {', '.join(FORMATS)}.")
    known = list(dict.fromkeys(key for row in rows for key in row))
    unknown = [c for c in columns or () if c not in known] if rows else []
    if unknown:
        raise UserError(f"The table has no column {', '.join(unknown)}; it has {', '.join(map(str, known))}.")
    columns = list(columns if columns is not None else known)
    if fmt == "json":
        return json.dumps([{c: _plain(row.get(c)) for c in columns} for row in rows], indent=2, ensure_ascii=False)
    if fmt == "csv":
        return _csv(rows, columns)
    cells = _cells(rows, columns, digits, "\\pm" if fmt == "latex" else "±")
    _emphasise(cells, rows, columns, best or {}, fmt)
    names = [str((headers or {}).get(c, c)) for c in columns]
    numeric = [any(_number(row.get(c)) is not None for row in rows) for c in columns]
    return {"text": _text, "markdown": _markdown, "latex": _latex}[fmt](names, cells, numeric, title)


def _number(value) -> float | None:
    """The number by which a cell is compared; None for text, booleans and empty cells."""
    if isinstance(value, Interval | PlusMinus):
        value = value.value
    if isinstance(value, bool | str) or value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return None if math.isnan(number) else number


def _is_integer(value) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


def _format(value, digits: int, plus_minus: str) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return MISSING
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Interval):
        if _number(value) is None or math.isnan(value.low):
            return _format(value.value, digits, plus_minus)
        return f"{value.value:.{digits}f} [{value.low:.{digits}f}, {value.high:.{digits}f}]"
    if isinstance(value, PlusMinus):
        if _number(value) is None or math.isnan(value.spread):
            return _format(value.value, digits, plus_minus)
        return f"{value.value:.{digits}f} {plus_minus} {value.spread:.{digits}f}"
    if _number(value) is None:
        return str(value)
    if _is_integer(value):
        return str(int(value))
    return f"{float(value):.{digits}f}"


def _cells(rows, columns, digits, plus_minus) -> list[list[str]]:
    by_column = digits if isinstance(digits, Mapping) else dict.fromkeys(columns, digits)
    return [[_format(row.get(c), by_column.get(c, 1), plus_minus) for c in columns] for row in rows]


def _emphasise(cells, rows, columns, best, fmt) -> None:
    """Marks the best cells in place; equal printed values are all marked."""
    mark = {"text": "{}*", "markdown": "**{}**", "latex": "\\textbf{{{}}}"}[fmt]
    for column, direction in best.items():
        if direction not in ("min", "max"):
            raise UserError(f"The best of column '{column}' must be 'min' or 'max', not '{direction}'.")
        if column not in columns:
            continue
        j = columns.index(column)
        numbers = [_number(row.get(column)) for row in rows]
        present = [n for n in numbers if n is not None]
        if len(present) < 2:
            continue
        winner = cells[numbers.index((min if direction == "min" else max)(present))][j]
        for row in cells:
            if row[j] == winner:
                row[j] = mark.format(row[j])
            elif fmt == "text" and row[j] != MISSING:
                row[j] += " "  # keeps the decimal points below one another


def _pad(names, cells, numeric, at_least=1) -> tuple[list[str], list[list[str]], list[int]]:
    widths = [max(len(n), at_least, *(len(row[j]) for row in cells)) for j, n in enumerate(names)]

    def pad(row):
        return [v.rjust(w) if right else v.ljust(w) for v, w, right in zip(row, widths, numeric, strict=True)]

    return pad(names), [pad(row) for row in cells], widths


def _text(names, cells, numeric, title) -> str:
    names, cells, widths = _pad(names, cells, numeric)
    lines = ["  ".join(row).rstrip() for row in [names, ["-" * w for w in widths], *cells]]
    return "\n".join([title, *lines] if title else lines)


def _markdown(names, cells, numeric, title) -> str:
    def escape(text):
        return text.replace("|", "\\|").replace("\n", " ")

    names, cells = [escape(n) for n in names], [[escape(v) for v in row] for row in cells]
    names, cells, widths = _pad(names, cells, numeric, at_least=3)
    rule = ["-" * (w - 1) + ":" if right else "-" * w for w, right in zip(widths, numeric, strict=True)]
    lines = ["| " + " | ".join(row) + " |" for row in [names, rule, *cells]]
    return "\n".join([f"**{escape(title)}**", "", *lines] if title else lines)


def _latex(names, cells, numeric, title) -> str:
    cells = [[_latex_cell(v) for v in row] for row in cells]
    names, cells, _ = _pad([_latex_escape(n) for n in names], cells, numeric)
    alignment = "".join("r" if right else "l" for right in numeric)
    lines = [f"\\begin{{tabular}}{{{alignment}}}", "\\toprule", " & ".join(names) + r" \\", "\\midrule"]
    lines += [" & ".join(row) + r" \\" for row in cells]
    lines += ["\\bottomrule", "\\end{tabular}"]
    return "\n".join([f"% {title}".replace("\n", " "), *lines] if title else lines)


def _latex_escape(text: str) -> str:
    special = {c: f"\\{c}" for c in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\n": " "}
    return "".join(special.get(c, c) for c in text)


def _latex_cell(text: str) -> str:
    if text.startswith("\\textbf{") and text.endswith("}"):
        return f"\\textbf{{{_latex_cell(text[8:-1])}}}"
    if text == MISSING:
        return "--"
    return " $\\pm$ ".join(_latex_escape(part) for part in text.split(" \\pm "))


def _plain(value):
    """A value that JSON can hold."""
    if isinstance(value, Interval):
        return {k: _plain(v) for k, v in vars(value).items()}
    if isinstance(value, PlusMinus):
        return {k: _plain(v) for k, v in vars(value).items()}
    if value is None or isinstance(value, bool | str):
        return value
    if _is_integer(value):
        return int(value)
    number = _number(value)
    if number is None:
        return None if _is_nan(value) else str(value)
    return number if math.isfinite(number) else str(number)


def _is_nan(value) -> bool:
    try:
        return math.isnan(value)
    except TypeError:
        return False


def _csv(rows, columns) -> str:
    flat = []
    for row in rows:
        flat.append({})
        for column in columns:
            value = _plain(row.get(column))
            for key, part in value.items() if isinstance(value, dict) else [("value", value)]:
                flat[-1][str(column) if key == "value" else f"{column}_{key}"] = "" if part is None else part
    names = list(dict.fromkeys(k for row in flat for k in row)) or [str(c) for c in columns]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)
    return stream.getvalue().rstrip("\n")
