"""--demo: poses of photographs, drawn."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.commands import models
from metrabs_acae.config import Config
from metrabs_acae.training.run_folder import RunFolder, newest_finished


def run(config: Config) -> None:
    """Draws the poses of the named photographs with an exported model."""
    from metrabs_acae.inference.demo import run_demo

    settings = config.demo_settings
    path = Path(config.files.load_path) if config.files.load_path else newest_finished(models.RUNS).path
    if RunFolder(path).exists:
        path = RunFolder(path).model
    run_demo(
        path,
        list(config.verbs.demo),
        boxes=settings.boxes or None,
        out_dir=config.files.out_dir,
        skeleton=settings.skeleton,
        intrinsics=settings.intrinsics or None,
        fov_degrees=settings.fov,
        num_aug=settings.num_aug,
    )
