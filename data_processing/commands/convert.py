"""`python -m data_processing <dataset> --raw DIR --out STORE`: raw files to a pose store."""

from __future__ import annotations

from pathlib import Path

from data_processing.options import Options
from metrabs_acae.settings import section, setting, settings


@settings
class Settings:
    """Converts a dataset to a pose store. Started again after an interruption it goes on where it stopped."""

    raw: Path
    """Folder of the dataset's raw files."""
    out: Path
    """The pose store to make."""
    workers: int | None = setting(None, at_least=0)
    """Processes; none: one per processor core; 0: no other process."""
    conversion: Options = section(Options)
    skip_broken: bool = False
    """Make the store without the units that cannot be converted."""
    allow_suspicious_data: bool = False
    """Make the store although its labels cannot be right by what the checks say."""


def run(settings: Settings, info) -> None:
    """Converts the dataset that a `DatasetInfo` describes."""
    from data_processing.conversion import convert
    from data_processing.detection import check_detector
    from data_processing.segmentation import check_segmenter
    from metrabs_acae.data.records import SPLITS
    from metrabs_acae.data.store import PoseStore
    from metrabs_acae.errors import UserError

    options = settings.conversion
    if options.split and options.split not in SPLITS:
        raise UserError(f"'{options.split}' is not a split; use {', '.join(SPLITS)}.")
    check_detector(options.detector)
    check_segmenter(options.segmenter)
    if not settings.raw.is_dir():
        raise UserError(f"The raw folder {settings.raw} does not exist. {info.steps or 'Fetch it with `download`.'}")
    converter = info.load_converter()(info, settings.raw, options)
    convert(
        converter,
        settings.out,
        workers=settings.workers,
        skip_broken=settings.skip_broken,
        allow_suspicious=settings.allow_suspicious_data,
    )
    counts = ", ".join(f"{split} {n:,}" for split, n in PoseStore(settings.out).splits.items())
    print(f"{settings.out}: {counts}")
