"""--demo: poses of photographs, videos and webcams, drawn and in files."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.commands import models
from metrabs_acae.config import Config
from metrabs_acae.training.run_folder import RunFolder, newest_finished


def run(config: Config) -> None:
    """Poses what is named, with an exported model or a run's."""
    from metrabs_acae.inference.demo import run_demo

    path = Path(config.files.load_path) if config.files.load_path else newest_finished(models.RUNS).path
    if RunFolder(path).exists:
        path = RunFolder(path).model
    run_demo(path, list(config.verbs.demo), out_dir=config.files.out_dir, settings=config.demo_settings)
