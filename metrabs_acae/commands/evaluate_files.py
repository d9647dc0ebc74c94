"""--evaluate FILE...: prediction files, ours or others', scored by a benchmark's protocol."""

from __future__ import annotations

import inspect
import json
from pathlib import Path

from metrabs_acae import tables
from metrabs_acae.commands import stores
from metrabs_acae.config import Benchmark, Config
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predictions import Predictions, load_predictions
from metrabs_acae.evaluation.protocols import evaluate_predictions, get_protocol
from metrabs_acae.evaluation.protocols.base import Protocol
from metrabs_acae.evaluation.results import Result


def run(config: Config) -> None:
    """Writes each file's report, with all tables, into a folder beside the file, and prints it."""
    for name in config.verbs.evaluate:
        result = evaluate_file(Path(name), config.benchmark)
        folder = Path(config.benchmark.report_dir or Path(name).with_suffix(""))
        if config.benchmark.report_dir and len(config.verbs.evaluate) > 1:
            folder /= Path(name).stem
        write_report(result, folder)  # first, so that it is there even where `| head` ends the printing
        print(result.report(config.benchmark.report_format), flush=True)
        if config.benchmark.report_format == "text":
            print(f"\nWrote the tables to {folder}")


def evaluate_file(path: Path, flags: Benchmark) -> Result:
    """Scores one file; what the flags leave open is as the file's metadata say."""
    predictions = load_predictions(path)
    protocol = get_protocol(flags.protocol or _noted(predictions, "protocol") or "generic")
    truth = flags.truth or _noted(predictions, "store")
    if not truth:
        raise UserError(f"{path} does not say which pose store was predicted; name the one with the labels by --truth.")
    store, split = stores.store_and_split(truth)
    options = parse_options(protocol, flags.protocol_options)
    return evaluate_predictions(predictions, store, protocol=protocol.name, split=split, **options)


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
