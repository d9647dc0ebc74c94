"""--evaluate FILE...: prediction files, ours or others', scored by a benchmark's protocol."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from metrabs_acae import tables
from metrabs_acae.commands import stores
from metrabs_acae.config import Config
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.accumulators import paired_difference
from metrabs_acae.evaluation.predictions import Predictions, load_predictions
from metrabs_acae.evaluation.protocols import get_protocol, protocol_from_flag
from metrabs_acae.evaluation.protocols.base import Protocol
from metrabs_acae.evaluation.results import Result
from metrabs_acae.evaluation.settings import Benchmark


def run(config: Config) -> None:
    """Writes each file's report, with all tables, into a folder beside the file, and prints it.

    Of several files each further one is compared with the first.
    """
    from metrabs_acae.inference.demo_inputs import unique_stems

    flags, results = config.benchmark, []
    stems = unique_stems([Path(name).stem for name in config.verbs.evaluate])
    for name, stem in zip(config.verbs.evaluate, stems, strict=True):
        result = score_file(Path(name), flags)
        folder = Path(flags.report_dir or Path(name).with_suffix(""))
        if flags.report_dir and len(stems) > 1:
            folder /= stem
        write_report(result, folder)  # first, so that it is there even where `| head` ends the printing
        print(result.report(flags.report_format), flush=True)
        if flags.report_format == "text":
            print(f"\nWrote the tables to {folder}")
        results.append(result)
    if flags.report_format == "text":
        for name, result in zip(config.verbs.evaluate[1:], results[1:], strict=True):
            print(f"\n{comparison(result, results[0], f'{name} less {config.verbs.evaluate[0]}')}")


def comparison(result: Result, other: Result, title: str) -> str:
    """How much a file's metrics are above another's, with paired intervals, or why that cannot be said."""
    if result.scored is None or other.scored is None:
        return f"{title}: cannot be said, because the protocol scores nobody's poses against labels."
    try:
        differences = paired_difference(result.scored, other.scored)
    except UserError as error:
        return f"{title}: {error}"
    rows = []
    for name, interval in differences.items():
        number = result.number(name)
        rows.append({"metric": number.heading, "unit": number.unit, "difference": tables.Interval(*interval)})
    return tables.render(rows, title=title)


def score_file(path: Path, flags: Benchmark) -> Result:
    """Scores one file; what the flags leave open is as the file's metadata say."""
    predictions = load_predictions(path)
    if flags.protocol:
        protocol = protocol_from_flag(flags.protocol)
    else:
        protocol = get_protocol(_noted(predictions, "protocol") or "generic")
    options = parse_options(protocol, flags.protocol_options)
    truth = flags.truth or (_noted(predictions, "store") if protocol.needs_truth else "")
    if truth:
        store, split = stores.open_split(truth)
        return protocol.evaluate_on(predictions, store, split, **options)
    if protocol.needs_truth:
        raise UserError(f"{path} does not say which pose store was predicted; name the one with the labels by --truth.")
    return protocol.evaluate(predictions, None, **options)


def _noted(predictions: Predictions, key: str) -> str:
    value = predictions.metadata.get(key, "")
    return value if isinstance(value, str) else ""


def parse_options(protocol: Protocol, texts: tuple[str, ...]) -> dict:
    """NAME=VALUE texts as the protocol's function takes them; UserError on unknown names and unfit values."""
    parameters = inspect.signature(protocol.function).parameters
    options = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or name not in protocol.options:
            known = ", ".join(f"{k}={v}" for k, v in protocol.options.items())
            raise UserError(f"'{text}' is no option of protocol {protocol.name}; options and their defaults: {known}.")
        kind = str(parameters[name].annotation)
        try:
            options[name] = _parse(value, kind)
        except ValueError:
            raise UserError(
                f"Option {name} of protocol {protocol.name} must be of type {kind}, not '{value}'."
            ) from None
    return options


def _parse(value: str, kind: str):
    if kind.startswith("tuple") or kind.startswith("Sequence"):
        return tuple(part.strip() for part in value.split(","))
    if kind == "bool":
        if value.lower() not in ("true", "false"):
            raise ValueError(value)
        return value.lower() == "true"
    return int(value) if kind == "int" else value


def write_report(result: Result, folder: Path) -> None:
    """report.md, report.tex, report.json, overall.csv and a CSV table for each breakdown."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.md").write_text(result.report("markdown") + "\n")
    (folder / "report.tex").write_text(result.report("latex") + "\n")
    (folder / "report.json").write_text(json.dumps(result.to_dict(), indent=1) + "\n")
    (folder / "overall.csv").write_text(tables.render(list(result.rows), "csv") + "\n")
    for name in result.breakdowns:
        (folder / f"per_{name}.csv").write_text(result.table(name, "csv") + "\n")
