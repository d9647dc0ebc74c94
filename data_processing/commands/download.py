"""`python -m data_processing download <dataset>`: fetches what may be fetched without registration."""

from __future__ import annotations

from pathlib import Path

from tyro.conf import Positional

from metrabs_acae.settings import settings


@settings
class Settings:
    """Downloads a dataset, or prints the steps that a person must take. Interrupted downloads go on where they were."""

    name: Positional[str]
    """Dataset, as in `list`."""
    out: Path
    """Raw folder."""
    sequences: tuple[str, ...] = ()
    """Only these sequences, where the dataset has some."""
    unpack: bool = True
    """Unpack the archives."""


def run(settings: Settings) -> None:
    from data_processing.download import download_dataset
    from data_processing.picture_sets import PICTURE_SETS, PictureSet
    from data_processing.registry import get_dataset

    info = PICTURE_SETS.get(settings.name) or get_dataset(settings.name)
    print(f"{info.title}: licence: {info.licence}. Read its terms at {info.url}.")
    download_dataset(info, settings.out, sequences=settings.sequences or None, unpack=settings.unpack)
    if isinstance(info, PictureSet):
        print(info.use)
    elif info.steps:
        print(f"To do by hand: {info.steps}")
