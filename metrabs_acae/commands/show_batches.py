"""--show-batches N: the first look at new data, a contact sheet of training crops and figures per dataset."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.commands import stores
from metrabs_acae.commands.train import augmentation_settings
from metrabs_acae.config import Config
from metrabs_acae.data.show import show_batches


def run(config: Config) -> None:
    """Writes `batches.png` into --out-dir and prints the mixture and the figures."""
    mixture = stores.training_mixture(config.data, data_dir=config.files.data_dir, seed=config.training.seed)
    print(mixture.describe(config.training.training_steps), flush=True)
    picture = Path(config.files.out_dir) / "batches.png"
    figures = show_batches(
        mixture,
        config.verbs.show_batches,
        picture,
        image_size=config.model.proc_side,
        augmentation=augmentation_settings(config.augmentation),
        workers=config.data.workers,
    )
    print(f"\n{figures}\n\nThe crops, with their joints: {picture}")
