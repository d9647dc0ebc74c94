"""What an evaluation hands back: numbers, how they were made, and how to print them."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from metrabs_acae import tables
from metrabs_acae.evaluation import definitions
from metrabs_acae.evaluation.accumulators import PoseMetrics
from metrabs_acae.evaluation.definitions import STANDARD

SHOWN_IN_BREAKDOWNS = ("mpjpe", "pa_mpjpe", "pck@100", "pck@150", "auc@150", "cps@200")


@dataclass(frozen=True)
class Result:
    """The outcome of one protocol on one set of predictions.

    Attributes:
        protocol: its name.
        statement: aspect (``"joints"``, ``"root"``, ...) -> what the protocol assumes.
        options: the settings that differ between runs of the protocol.
        rows: one dict per subset of the data: ``subset`` and metric name -> value (mm or percent). The first is the
            whole benchmark.
        intervals: metric name -> (low, high), 95 % bootstrap over sequences, of the first row.
        breakdowns: ``"activity"``, ``"sequence"``, ``"joint"``, ... -> rows.
        counts: what was scored, matched, missing, ignored.
        scored: the sums that the first row is made of, to compare it with another's.
        numbers: what further numbers are that `definitions` does not know by name.
        shown: of the paper's 19 metrics, those in printed breakdowns; CSV and JSON have all.
    """

    protocol: str
    statement: Mapping[str, str]
    options: Mapping[str, object]
    rows: Sequence[Mapping]
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    breakdowns: Mapping[str, Sequence[Mapping]] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    scored: PoseMetrics | None = None
    numbers: Sequence[definitions.Number] = ()
    shown: Sequence[str] = SHOWN_IN_BREAKDOWNS

    def __getitem__(self, metric: str) -> float:
        """The value of a metric over the whole benchmark."""
        return self.rows[0][metric]

    def number(self, name: str) -> definitions.Number:
        """What the number called `name` is: its unit and heading."""
        return definitions.number(name, (*self.numbers, *(self.scored.metrics if self.scored else ())))

    def overall_rows(self) -> list[dict]:
        """One row per metric, one column per subset; the first column with its interval."""
        listed = []
        for name in (k for k in self.rows[0] if k not in ("subset", "poses")):
            number = self.number(name)
            row = {"metric": number.heading, "unit": number.unit}
            for i, subset in enumerate(self.rows):
                value = subset.get(name, float("nan"))
                if i == 0 and name in self.intervals:
                    value = tables.Interval(value, *self.intervals[name])
                row[str(subset.get("subset", "all"))] = value
            listed.append(row)
        return listed

    def table(self, which: str = "overall", fmt: str = "text", **settings) -> str:
        """One table: ``"overall"`` or a name of `breakdowns`; `settings` as in `tables.render`."""
        if which == "overall":
            return tables.render(self.overall_rows(), fmt, **settings)
        rows = self.breakdowns[which]
        names = list(dict.fromkeys(k for row in rows for k in row))
        numbers = {n: self.number(n) for n in names}
        defaults = {"headers": {n: v.heading for n, v in numbers.items()}}
        defaults["digits"] = {n: v.digits for n, v in numbers.items()}
        if fmt not in ("csv", "json"):
            defaults["columns"] = [n for n in names if n not in STANDARD or n in self.shown]
        return tables.render(rows, fmt, **{**defaults, **settings})

    def describe(self) -> str:
        """What the numbers assume and what was scored, for people."""
        lines = [f"Protocol {self.protocol}", *statement_lines(self.statement)]
        lines += [f"  option {name} = {value}" for name, value in self.options.items()]
        lines += [f"  {name.replace('_', ' ')}: {n}" for name, n in self.counts.items()]
        return "\n".join(lines)

    def report(self, fmt: str = "text") -> str:
        """Statement, overall table and all breakdowns; JSON is one object of everything."""
        if fmt == "json":
            return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)
        if fmt == "csv":
            return self.table("overall", "csv")
        statement = self.describe()
        if fmt == "latex":
            statement = "\n".join(f"% {line}" for line in statement.splitlines())
        elif fmt == "markdown":
            statement = "\n".join(["```", statement, "```"])
        parts = [statement, self.table("overall", fmt)]
        parts += [self.table(name, fmt, title=f"Per {name}") for name in self.breakdowns]
        return "\n\n".join(parts)

    def to_dict(self) -> dict:
        """Everything, as JSON can hold it."""

        def plain(rows):
            return json.loads(tables.render(rows, "json"))

        return {
            "protocol": self.protocol,
            "statement": dict(self.statement),
            "options": {k: str(v) if not isinstance(v, bool | int | float) else v for k, v in self.options.items()},
            "counts": dict(self.counts),
            "results": plain(self.rows),
            "intervals": {k: plain([{"low": a, "high": b}])[0] for k, (a, b) in self.intervals.items()},
            "breakdowns": {k: plain(v) for k, v in self.breakdowns.items()},
        }


def statement_lines(statement: Mapping[str, str]) -> list[str]:
    """A protocol's statement, indented and wrapped for a terminal."""
    wrapped = [
        textwrap.wrap(f"{aspect}: {text}", 110, initial_indent="  ", subsequent_indent="    ")
        for aspect, text in statement.items()
    ]
    return [line for lines in wrapped for line in lines]
