"""Runs a converter: units in parallel, results kept until the store is complete.

While a conversion runs, everything is in `.<store>.work` beside the store: `units/*.jsonl` (the examples of finished
units) and `images/`. A killed conversion started again skips the finished units; what a killed unit left behind is
overwritten. At the end the rows become the pose store, the pictures are linked into it, and the work folder goes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import shutil
import threading
import traceback
from collections import Counter
from pathlib import Path

from data_processing.converter import Converter, Unit, UnitOutput
from data_processing.guards import LabelFault
from data_processing.plausibility import BoneCheck
from data_processing.rows import read_rows, read_summary
from data_processing.work_pool import in_processes
from metrabs_acae.data.store import PoseStoreWriter
from metrabs_acae.errors import UserError
from metrabs_acae.files import load_json
from metrabs_acae.locks import held
from metrabs_acae.progress import Progress

FORMAT_VERSION = 2
_BUSY = "Another conversion is working in {} ({{holder}}); wait for it or stop it."
LABEL_FAULT = "labels: "
"""Beginning of the sentences of the guards."""
MAX_FAULTS = 5
"""If the first so many units all have labels that cannot be right, the rest is not tried."""
FEW = 0.5
"""A store with a smaller share of the expected examples is said to be small."""
PATIENCE_S = 20
"""After so long without a finished unit the reasons are given."""


def convert(
    converter: Converter,
    out,
    *,
    workers: int | None = None,
    skip_broken: bool = False,
    progress: bool = True,
    allow_suspicious: bool = False,
) -> Path:
    """Converts a dataset to the pose store `out`, or goes on where an earlier call stopped.

    Args:
        workers: processes; None for one per core, 0 for this process alone.
        skip_broken: make the store without the units that fail; else they are reported at the end and the store is
            not made (what was converted stays, so that the next call only does the failed ones).
        allow_suspicious: make the store although its labels cannot be right by what `guards` and `store_checks` say.

    Returns:
        the store's path.

    Raises:
        UserError: wrong raw folder, failed units, or another conversion of the same store is running.
    """
    converter = dataclasses.replace(converter, checked=not allow_suspicious)
    out = Path(out)
    work = out.parent / f".{out.name}.work"
    if out.exists():
        if (out / "store.json").exists() and work.exists():
            with held(work / "lock", _BUSY.format(work)):  # killed after the store was done
                shutil.rmtree(work)
            return out
        raise UserError(f"{out} exists already; remove it or choose another folder for the pose store.")
    units, faulty = _without_faulty(converter, converter.units())
    if converter.options.limit:
        units = units[: converter.options.limit]
    if not units:
        raise UserError(f"{converter.raw} has nothing to convert for {converter.info.name}.")
    work.mkdir(parents=True, exist_ok=True)
    _say_faults(converter, faulty, progress)
    with held(work / "lock", _BUSY.format(work)):
        _check_settings(work, converter)
        pending = [u for u in units if not _row_path(work, u).exists()]
        failures = _run(converter, pending, work, len(units), workers, progress)
        if failures and not skip_broken:
            raise UserError(_failure_text(failures, len(units), work))
        done = [u for u in units if _row_path(work, u).exists()]
        _assemble(converter, done, failures, faulty, work, out, progress, allow_suspicious)
    shutil.rmtree(work)
    return out


def _without_faulty(converter: Converter, units: list[Unit]) -> tuple[list[Unit], list[str]]:
    """The units without those that are known to be unusable, and the names of these."""
    faulty = [u.name for u in units if converter.faults("unit", u.name)]
    return [u for u in units if u.name not in set(faulty)], faulty


def _say_faults(converter: Converter, faulty: list[str], progress: bool) -> None:
    if not converter.info.faults or not progress:
        return
    left = " (as published: left as it is)" if converter.options.as_published else ""
    for fault in converter.info.faults:
        print(f"{converter.info.name}, known fault: {fault}{left}")
    if faulty:
        named = ", ".join(faulty[:5]) + " ..." * (len(faulty) > 5)
        print(f"{converter.info.name}: {len(faulty)} units left out: {named}")


def _run(converter, pending: list[Unit], work: Path, n_units: int, workers, progress: bool) -> dict[str, str]:
    """Converts the pending units; returns what went wrong, by unit name."""
    failures: dict[str, str] = {}
    bar = Progress(f"{converter.info.name}: units", n_units, start=n_units - len(pending), enabled=progress)
    convert_unit = functools.partial(_convert_unit, converter, work)
    patience = threading.Timer(PATIENCE_S, _say_why_it_takes_long, [bar])
    patience.daemon = True
    patience.start()
    try:
        for unit, error in in_processes(convert_unit, pending, workers):
            patience.cancel()
            bar.step(note=_note(failures, unit, error))
            _stop_if_all_faulty(failures, bar, n_units - len(pending))
    finally:
        patience.cancel()
    return failures


def _say_why_it_takes_long(bar: Progress) -> None:
    bar.say(f"{bar.title}: none is done after {PATIENCE_S} s; a first start compiles some code, long videos take time")


def _stop_if_all_faulty(failures: dict[str, str], bar: Progress, n_before: int) -> None:
    """UserError where all of the first units have labels that cannot be right: the others will be no better."""
    faulty = [error for error in failures.values() if error.startswith(LABEL_FAULT)]
    if len(faulty) >= MAX_FAULTS and len(faulty) == bar.done - n_before:
        raise LabelFault(f"The first {len(faulty)} units all have labels that cannot be right: {faulty[0]}")


def _convert_unit(converter: Converter, work: Path, unit: Unit) -> str | None:
    """Converts one unit; the error as a sentence, or None."""
    output = UnitOutput(work / "images", _row_path(work, unit))
    try:
        converter.convert(unit, output)
        if converter.checked:
            output.check(unit.name, converter.info.get_skeleton())
    except LabelFault as fault:
        output.rows.discard()
        return f"{LABEL_FAULT}{fault}"
    except UserError as error:
        output.rows.discard()
        return str(error)
    except Exception as error:
        output.rows.discard()
        log = work / "errors" / (_row_path(work, unit).stem + ".txt")
        log.parent.mkdir(exist_ok=True)
        log.write_text(f"{unit.name}\n{traceback.format_exc()}")
        return f"{type(error).__name__}: {error} (details in {log})"
    output.rows.close(dict(output.skipped), output.notes)
    return None


def _assemble(
    converter: Converter,
    units: list[Unit],
    failures,
    faulty: list[str],
    work: Path,
    out: Path,
    progress: bool,
    allow_suspicious: bool,
) -> None:
    info = converter.info
    paths = [_row_path(work, u) for u in units]
    skipped: Counter = Counter()
    notes: set[str] = set()
    summaries = [read_summary(path) for path in paths]
    for summary in summaries:
        skipped.update(summary["skipped"])
        notes.update(summary.get("notes", ()))
    n_rows = sum(summary["rows"] for summary in summaries)
    if not n_rows:
        raise UserError(
            f"{info.name}: no example was found in {converter.raw}; left out: {dict(skipped) or 'nothing'}."
        )
    skeleton = info.get_skeleton()
    check = BoneCheck(skeleton, enabled=info.store_kind == "3d" and info.bone_check)
    for path in paths if check.enabled else ():
        for row in read_rows(path):
            if row.split == "train":
                check.learn(row)
    provenance = {
        "converter": f"data_processing {info.name}, format {FORMAT_VERSION}",
        "citation": info.citation,
        "url": info.url,
        "options": _options(converter),
        "failed_units": sorted(failures),
        "left_out": skipped,
        "notes": sorted(notes),
    }
    if few := _far_too_few(converter, n_rows):
        provenance["warning"] = few
    if info.faults:
        provenance["known_faults"] = {
            "mended": not converter.options.as_published,
            "faults": [str(fault) for fault in info.faults],
            "units_left_out": faulty,
        }
    writer = PoseStoreWriter(
        out,
        name=info.name,
        kind=info.store_kind,
        skeleton=skeleton,
        licence=info.licence,
        realistic_background=info.realistic_background,
        color_fix=None if info.color_fix is None else dict(info.color_fix),
        clean=info.clean,
        provenance=provenance,
        allow_suspicious=allow_suspicious,
    )
    bar = Progress(f"{info.name}: examples", n_rows, enabled=progress)
    with writer:
        for path in paths:
            for row in read_rows(path):
                bar.step()
                reason = check.fault(row) if row.split == "train" else None
                if reason:
                    skipped[reason] += 1
                    continue
                target = writer.image_path(row.image_key)
                if not target.exists():
                    _link(work / "images" / row.image_key, target)
                fields = {k: v for k, v in vars(row).items() if k != "split"}
                writer.add(row.split, **fields)
    for note in (*sorted(notes), *([few] if few else [])):
        bar.say(note)
    if skipped:
        bar.say("left out: " + ", ".join(f"{n} ({reason})" for reason, n in skipped.most_common()))


def _far_too_few(converter: Converter, n_rows: int) -> str:
    """A sentence where a whole dataset has given less than half of what it should; else empty."""
    info, options = converter.info, converter.options
    if options.limit or options.split or not n_rows < FEW * info.n_examples:
        return ""
    return (
        f"{info.name}: only {n_rows:,} examples; the paper's tools made about {info.n_examples:,} of the whole dataset."
        " If you have all of it, look at what was left out and why."
    )


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _row_path(work: Path, unit: Unit) -> Path:
    readable = "".join(c if c.isalnum() or c in "-_." else "_" for c in unit.name)[-80:]
    digest = hashlib.sha256(unit.name.encode()).hexdigest()[:8]
    return work / "units" / f"{readable}-{digest}.jsonl"


def _note(failures: dict, unit: Unit, error: str | None) -> str:
    if error is None:
        return ""
    failures[unit.name] = error
    return f"{unit.name}: {error}"


def _failure_text(failures: dict[str, str], n_units: int, work: Path) -> str:
    shown = " ".join(f"[{name}] {error}" for name, error in list(failures.items())[:3])
    more = f" ... and {len(failures) - 3} more." if len(failures) > 3 else ""
    return (
        f"{len(failures)} of {n_units} units could not be converted: {shown}{more} The others are kept in {work}: mend "
        "the files and start the same command again, or add --skip-broken to make the store without them."
    )


def _options(converter: Converter) -> dict:
    return {k: v for k, v in vars(converter.options).items() if v not in ("", "none", 0)}


def _check_settings(work: Path, converter: Converter) -> None:
    """Refuses to mix the results of different settings in one work folder."""
    settings = {
        "dataset": converter.info.name,
        "raw": str(converter.raw.resolve()),
        "format": FORMAT_VERSION,
        "options": {k: v for k, v in _options(converter).items() if k != "limit"},
    }
    path = work / "settings.json"
    try:
        old = load_json(path)
    except FileNotFoundError:
        path.write_text(json.dumps(settings))
        return
    except ValueError:
        old = None
    if old != settings:
        raise UserError(
            f"{work} holds an unfinished conversion with other settings ({old}); remove it or use those settings."
        )
