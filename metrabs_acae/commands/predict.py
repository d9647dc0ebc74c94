"""--predict: a model's predictions of a benchmark's people, as a file that --evaluate scores."""

from __future__ import annotations

import dataclasses
from contextlib import closing
from pathlib import Path

from metrabs_acae.commands import models, stores
from metrabs_acae.config import Config
from metrabs_acae.evaluation.prediction_settings import PredictionSettings
from metrabs_acae.evaluation.settings import Benchmark
from metrabs_acae.models.kinds import require_absolute
from metrabs_acae.training.run_folder import open_run


def run(config: Config) -> None:
    """Predicts the store of --predict in the way of --protocol; the same command goes on with an interrupted run."""
    from metrabs_acae.evaluation.predict import predict_store
    from metrabs_acae.evaluation.protocols import protocol_from_flag
    from metrabs_acae.progress import Progress

    protocol = protocol_from_flag(config.benchmark.protocol or "generic")
    store, split = stores.open_split(config.verbs.predict)
    settings = settings_for(protocol.prediction, config.benchmark, config.demo_settings.num_aug)
    path = config.files.load_path or models.find_run("").path
    estimator, joint_names, model = load_estimator(path, with_detector=settings.boxes == "detector")
    target = config.benchmark.predictions
    if not target:
        run = open_run(path, or_exported=True)
        target = (run.outputs if run else Path()) / "predictions" / f"{store.name}.npz"
    print(f"{store.name}:{split} as {protocol.name}: {describe(settings)}", flush=True)
    with closing(Progress("Images", None)) as bar:
        predictions = predict_store(
            estimator,
            joint_names,
            store,
            split,
            target,
            settings=settings,
            metadata={"protocol": protocol.name, "model": model},
            max_bad_fraction=config.data.max_bad_fraction,
            progress=lambda done, total, people: bar.to(done, total, remark=f"{people} people"),
        )
    print(
        f"Wrote {len(predictions)} people of {len(predictions.joint_names)} joints in "
        f"{predictions.metadata['images']} images to {target}"
    )


def settings_for(settings: PredictionSettings, flags: Benchmark, num_aug: int | None) -> PredictionSettings:
    """A benchmark's settings, changed by flags."""
    changes = {}
    if flags.boxes_from:
        changes["boxes"] = flags.boxes_from
    if num_aug is not None:
        changes["num_aug"] = num_aug
    if flags.real_intrinsics:
        changes["known_camera"] = True
    return dataclasses.replace(settings, **changes)


def describe(settings: PredictionSettings) -> str:
    if settings.boxes == "detector":
        most = "" if settings.max_detections < 0 else f", at most {settings.max_detections}"
        boxes = f"detected people (score from {settings.detector_threshold:g}{most})"
    else:
        boxes = "the labelled people's boxes"
    camera = "calibrated cameras" if settings.known_camera else f"an assumed field of view of {settings.fov_degrees:g}°"
    return f"{boxes}, {camera}, {settings.num_aug} test-time augmentation(s), antialiasing {settings.antialias_factor}."


def load_estimator(path: str | Path, *, with_detector: bool):
    """(multi-person model, its joint names, what identifies it) from a SavedModel or a run folder.

    A run's is the one that --export would write, with the project's own detector where one is wanted.
    """
    from metrabs_acae.commands.export import estimator_of
    from metrabs_acae.inference.demo import load_saved_model
    from metrabs_acae.inference.export import CHECKSUMS_FILE, sha256
    from metrabs_acae.training import checkpoints

    run = open_run(path, or_exported=True)
    if run is None:
        estimator, listed = load_saved_model(path), Path(path) / CHECKSUMS_FILE
        model = {"path": str(path), "sha256": sha256(listed) if listed.exists() else ""}
    else:
        require_absolute(models.settings_of(run).model.model, "--predict")
        estimator = estimator_of(run, detector="" if with_detector else "none")
        model = {"path": str(path), "step": checkpoints.newest_step(run.checkpoints)}
    return estimator, tuple(n.decode() for n in estimator.per_skeleton_joint_names[""].numpy()), model
