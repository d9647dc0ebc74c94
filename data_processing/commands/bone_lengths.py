"""`python -m data_processing bone-lengths`: mean bone lengths of pose stores, for the plausibility filter."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.settings import settings


@settings
class Settings:
    """Measures the bones of 3D pose stores: mean, standard deviation and number of examples of each."""

    stores: tuple[Path, ...]
    """3D pose stores."""
    out: Path
    """.json or .npz to write; --export --bone-lengths reads it."""
    split: str = "train"
    """Which examples."""


def run(settings: Settings) -> None:
    import numpy as np

    from data_processing.plain_files import check_suffix
    from metrabs_acae.data.bones import bone_statistics
    from metrabs_acae.data.store import PoseStore

    check_suffix(settings.out, (".json", ".npz"))
    statistics = bone_statistics([PoseStore(path) for path in settings.stores], split=settings.split)
    statistics.save(settings.out)
    measured = np.count_nonzero(statistics.count)
    examples = sum(s["examples"] for s in statistics.sources)
    print(f"{settings.out}: {measured} bones, {examples} examples of {len(statistics.sources)} stores")
