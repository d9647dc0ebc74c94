"""`python -m data_processing unpack ARCHIVE... --out DIR`: unpacks archives safely."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from metrabs_acae.settings import settings


@settings
class Settings:
    """Unpacks zip and tar archives; one that would write outside the folder is refused."""

    archives: Positional[list[Path]]
    """Archives."""
    out: Path
    """Folder to unpack into."""


def run(settings: Settings) -> None:
    from data_processing.safe_archive import extract
    from metrabs_acae.errors import UserError

    if not settings.archives:
        raise UserError("Which archives? Say `unpack ARCHIVE... --out DIR`.")
    for archive in settings.archives:
        print(f"{archive}: {len(extract(archive, settings.out))} files")
