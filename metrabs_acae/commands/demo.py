"""--demo: poses of photographs, videos and webcams, drawn and in files."""

from __future__ import annotations

from metrabs_acae.commands import export, models
from metrabs_acae.config import Config
from metrabs_acae.training import run_folder


def run(config: Config) -> None:
    """Poses what is named, with an exported model or a run's; where there is no run, with the model in the box."""
    from metrabs_acae.inference.demo import run_demo
    from metrabs_acae.inference.multiview import run_multiview

    path = config.files.load_path or default_path()
    folder = run_folder.open_run(path, or_exported=True)
    load = None
    if folder and not folder.is_box and (folder.model / "saved_model.pb").exists():
        path = folder.model
    elif folder:
        detector = "none" if config.demo_settings.boxes else ""

        def load(_):
            return export.estimator_of(folder, detector=detector)

    inputs = list(config.verbs.demo)
    run = run_multiview if config.demo_settings.multiview.calibration else run_demo
    run(path, inputs, out_dir=config.files.out_dir, settings=config.demo_settings, load=load)


def default_path() -> str:
    """The newest finished run; where there is none, the model in the box."""
    no_run = not any(models.RUNS.glob("*/finished.json"))
    return run_folder.PRETRAINED if no_run and run_folder.BOX.exists() else str(models.find_run("").path)
