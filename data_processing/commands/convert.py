"""`python -m data_processing <dataset> --raw DIR --out STORE`: raw files to a pose store."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Converts a dataset to a pose store. Started again after an interruption it goes on where it stopped."""

    raw: Path
    """Folder of the dataset's raw files."""
    out: Path
    """The pose store to make."""
    split: str = ""
    """Convert only this split (train, valid, test); empty: all."""
    workers: int | None = setting(None, at_least=0)
    """Processes; none: one per processor core; 0: no other process."""
    detector: str = "none"
    """Finds people: none, json:FILE, ssdlite, onnx:FILE or savedmodel:FOLDER."""
    segmenter: str = "none"
    """Finds people's pixels, for background replacement: none, masks:FOLDER, onnx:FILE or savedmodel:FOLDER."""
    limit: int = setting(0, at_least=0)
    """Convert only the first so many units (videos, sequences) for a quick look; 0: all."""
    body_models: str = ""
    """Folder with the SMPL, SMPL-H and SMPL-X model files that some datasets need; empty: body_models in --raw."""
    as_published: bool = False
    """Leave the dataset's known faults (`list --name`) as they are; without it they are mended or left out."""
    skip_broken: bool = False
    """Make the store without the units that cannot be converted."""
    allow_suspicious_data: bool = False
    """Make the store although its labels cannot be right by what the checks say."""


def run(settings: Settings, info) -> None:
    """Converts the dataset that a `DatasetInfo` describes."""
    from data_processing.conversion import convert
    from data_processing.converter import Options
    from data_processing.detection import check_detector
    from data_processing.segmentation import check_segmenter
    from metrabs_acae.data.records import SPLITS
    from metrabs_acae.data.store import PoseStore
    from metrabs_acae.errors import UserError

    if settings.split and settings.split not in SPLITS:
        raise UserError(f"'{settings.split}' is not a split; use {', '.join(SPLITS)}.")
    check_detector(settings.detector)
    check_segmenter(settings.segmenter)
    if not settings.raw.is_dir():
        raise UserError(f"The raw folder {settings.raw} does not exist. {info.steps or 'Fetch it with `download`.'}")
    converter = info.load_converter()(
        info,
        settings.raw,
        Options(
            split=settings.split,
            detector=settings.detector,
            segmenter=settings.segmenter,
            limit=settings.limit,
            body_models=settings.body_models,
            as_published=settings.as_published,
        ),
    )
    convert(
        converter,
        settings.out,
        workers=settings.workers,
        skip_broken=settings.skip_broken,
        allow_suspicious=settings.allow_suspicious_data,
    )
    counts = ", ".join(f"{split} {n:,}" for split, n in PoseStore(settings.out).splits.items())
    print(f"{settings.out}: {counts}")
