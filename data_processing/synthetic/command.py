"""`python -m data_processing synthetic`: its flags and what it does."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from metrabs_acae.settings import setting, settings


@settings
class Settings:
    """Renders people with exact labels and writes them as pose stores: no download, no licence to sign."""

    size: Literal["tiny", "small", "medium", "large"] = "small"
    """About 400, 8,000, 26,000 or 107,000 images."""
    out: Path = Path("synthetic-data")
    """Folder that gets one pose store per dataset."""
    seed: int = 0
    """Another seed makes other people, poses and pictures."""
    workers: int | None = setting(None, at_least=1)
    """Processes; none: one per processor core. The result is the same for any number."""
    stores: tuple[str, ...] = ()
    """Names of the stores to write; empty: all."""


def run(settings: Settings) -> None:
    from data_processing.synthetic.generate import generate
    from metrabs_acae.data.store import PoseStore

    paths = generate(
        settings.out, size=settings.size, seed=settings.seed, workers=settings.workers, stores=settings.stores or None
    )
    for path in paths:
        store = PoseStore(path)
        splits = ", ".join(f"{count} {split}" for split, count in store.splits.items())
        print(f"{path}: {store.kind}, {store.skeleton.n_joints} joints, {splits}")
