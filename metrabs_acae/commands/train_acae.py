"""--train-acae: from a file of poses to an affine-combining autoencoder and a report on it."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.commands import models
from metrabs_acae.config import Config


def run(config: Config) -> None:
    """Fits the autoencoder to --poses-file (default: that of the run) and writes --acae and its report."""
    from metrabs_acae.acae import train_acae

    settings = config.acae_settings
    poses_path = Path(config.files.poses_file or models.find_run(config.files.load_path).poses)
    train_acae(
        poses_path,
        Path(config.files.acae or poses_path.with_name(models.ACAE_FILE)),
        n_latents=settings.n_latents,
        n_center_latents=settings.n_center_latents,
        weights=settings.acae_weights,
        sparsity=settings.sparsity,
        loss_space=settings.acae_loss_space,
        chiral=settings.chiral,
        head_weight=settings.head_weight,
        threshold=settings.weight_threshold,
        seed=config.training.seed,
        n_restarts=settings.n_restarts,
        steps=settings.acae_steps,
        batch_size=settings.acae_batch_size,
    )
