"""--train-acae: from a file of poses to an affine-combining autoencoder and a report on it."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.commands import models
from metrabs_acae.config import Config


def run(config: Config) -> None:
    """Fits the autoencoder to --poses-file (default: that of the run) and writes --acae and its report."""
    from metrabs_acae.acae import train_acae

    poses_path = Path(config.files.poses_file or models.find_run(config.files.load_path).poses)
    acae_path = Path(config.files.acae or poses_path.with_name(models.ACAE_FILE))
    train_acae(poses_path, acae_path, config.acae_settings, seed=config.training.seed)
