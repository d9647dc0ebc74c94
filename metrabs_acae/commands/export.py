"""--export: a trained run as a SavedModel that needs nothing but TensorFlow."""

from __future__ import annotations

from pathlib import Path

from metrabs_acae.commands import models
from metrabs_acae.config import Config
from metrabs_acae.skeletons import Skeleton, available_output_skeletons
from metrabs_acae.training.run_folder import RunFolder


def run(config: Config) -> None:
    """Writes the SavedModel of a run to --export-file, or to the run's own model folder."""
    folder = models.find_run(config.files.load_path)
    pose_model, skeleton, _ = models.load_pose_model(folder)
    target = Path(config.files.export_file) if config.files.export_file else folder.model
    export_run(pose_model, skeleton, folder, target)
    print(f"Wrote {target}")


def export_run(pose_model, skeleton: Skeleton, folder: RunFolder, target: Path) -> None:
    """Writes the SavedModel with a model card of the run's settings, versions and results."""
    from metrabs_acae.inference.detectors import ssdlite_available, ssdlite_detector
    from metrabs_acae.inference.export import export_saved_model

    detector = ssdlite_detector() if ssdlite_available() else None
    if detector is None:
        print(
            'No person detector is installed (pip install ".[detector]"): the exported model needs boxes.', flush=True
        )
    card = {"settings": folder.read_json("config.json"), "versions": folder.read_json("versions.json")}
    if (folder.path / "evaluation.json").exists():
        card["evaluation"] = folder.read_json("evaluation.json")
    export_saved_model(
        pose_model,
        skeleton,
        target,
        image_size=pose_model.grid.image_size,
        output_skeletons=available_output_skeletons(skeleton),
        detector=detector,
        model_card=card,
    )
