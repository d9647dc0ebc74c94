"""Which pose stores a training reads, and how their examples share its batches."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from metrabs_acae.errors import UserError
from metrabs_acae.settings import setting, settings


@settings
class Data:
    """Which pose stores, and how many examples of each stand in a batch."""

    dataset3d: tuple[str, ...] = setting(())
    """3D pose stores as PATH or PATH:EXAMPLES_PER_BATCH; empty: the embedded synthetic ones."""
    dataset2d: tuple[str, ...] = setting(())
    """2D pose stores for weak supervision, as --dataset3d."""
    validate_on: tuple[str, ...] = setting(())
    """Pose stores whose valid split is the validation set; empty: all of --dataset3d that have one."""
    test_on: tuple[str, ...] = setting((), used_by=("train", "evaluate", "pack"), free_on_resume=True)
    """Pose stores whose test split is evaluated; empty: those of --dataset3d that have one, or the synthetic ones."""
    synthetic_size: Literal["tiny", "small", "medium", "large"] = setting("small")
    """Size of the embedded synthetic data."""
    synthetic_mixture: Literal["broad", "focused"] = setting("broad")
    """How the embedded 3D stores share a batch: broad, or focused on those most like the harder test sets."""
    batch_size: int = setting(28, above=0)
    """3D-labelled examples per batch, shared among the stores that name no number; if all do, their sum counts. The
    embedded ones share it in the proportions of --synthetic-mixture."""
    batch_size_2d: int = setting(4, at_least=0)
    """2D-labelled examples per batch, shared likewise."""
    batch_size_test: int = setting(64, above=0, used_by=("train", "pseudo_labels", "evaluate"), free_on_resume=True)
    """Examples per batch in validation and evaluation."""
    test_time_mirror_aug: bool = setting(False, used_by=("train", "evaluate"), free_on_resume=True)
    """Let each test pose be the mean over the crop and its mirror image."""
    workers: int | None = setting(None, used_by=("train", "show_batches", "pseudo_labels"), free_on_resume=True)
    """Loader workers; none: one per processor core."""
    max_bad_fraction: float = setting(
        0.01,
        at_least=0,
        at_most=1,
        used_by=("train", "show_batches", "pseudo_labels", "predict", "evaluate"),
        free_on_resume=True,
    )
    """What is at work stops when more than this fraction of the examples or images cannot be read."""
    allow_suspicious_data: bool = setting(False, free_on_resume=True)
    """Train although the labels of a pose store cannot be right by what the checks at the start say."""


def store_and_count(text: str) -> tuple[Path, int | None]:
    """A store's path and, where given, its examples per batch, from PATH or PATH:COUNT."""
    path, colon, count = text.rpartition(":")
    if not colon:
        return Path(text), None
    if not count.isdigit() or int(count) == 0:
        raise UserError(
            f"'{text}': what follows the last colon must be the examples per batch, a whole number above 0."
        )
    return Path(path), int(count)


def store_and_split(text: str, split: str) -> tuple[str, str]:
    """What STORE or STORE:SPLIT names; without a split, the one given."""
    store, colon, name = text.rpartition(":")
    return (store, name) if colon and "/" not in name else (text, split)
