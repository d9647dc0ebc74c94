"""`python -m data_processing verify STORE...`: checks pose stores and writes a page with pictures for each."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Checks pose stores: pictures, missing labels, units, sides, cameras, boxes, bone lengths, duplicates."""

    stores: Positional[list[Path]]
    """Pose stores."""
    out: Path = Path("verify")
    """Folder of the reports."""
    rows: int = setting(2000, at_least=0)
    """Examples per split to examine closely, evenly spread; 0: all."""


def run(settings: Settings) -> int:
    """Returns 1 if a store is broken; UserError, after the others were checked, if one cannot be read at all."""
    from data_processing import verify_report
    from data_processing.verify import verify
    from metrabs_acae.errors import UserError

    if not settings.stores:
        raise UserError("Which pose stores? Say `verify STORE...`.")
    broken, unreadable = 0, []
    for path in settings.stores:
        try:
            report = verify(path, rows=settings.rows)
        except UserError as error:
            unreadable.append(str(error))
            continue
        page = verify_report.write(report, settings.out)
        broken += report.broken
        print(f"{path}: {'BROKEN' if report.broken else 'fine'}, {len(report.warnings)} warnings, see {page}")
        for text in report.errors:
            print(f"  error: {text}")
        for text in report.warnings:
            print(f"  warning: {text}")
    if unreadable:
        raise UserError(" ".join(unreadable))
    return 1 if broken else 0
