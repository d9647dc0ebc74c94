"""A trained model packed as a folder that loads with TensorFlow alone."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.inference.model_card import SKELETONS_FILE, render_card
from metrabs_acae.numpy_runtime.crop_views import REFERENCE_RANGES, AugmentationRanges
from metrabs_acae.skeletons import Skeleton, shown

CROP_MODEL_FOLDER = "crop_model"
PORTABLE_FOLDER = "portable"
CARD_FILE = "model_card.md"
CHECKSUMS_FILE = "SHA256SUMS"


def export_saved_model(
    model,
    skeleton: Skeleton,
    path,
    *,
    image_size: int,
    output_skeletons: Mapping[str, Skeleton],
    detector=None,
    bone_lengths: np.ndarray | None = None,
    joint_transform: np.ndarray | None = None,
    transformed_skeleton: Skeleton | None = None,
    rotation_mode: str = "limited",
    augmentation_ranges: AugmentationRanges = REFERENCE_RANGES,
    error_map=None,
    model_card: Mapping | None = None,
    archive: bool = False,
    serving: Sequence[str] = (),
    crop_formats: Sequence[str] = (),
    crop_batch_size: int = 1,
    photographs: Sequence = (),
    portable: Sequence[str] = (),
    portable_precisions: Sequence[str] = ("float32",),
    log=print,
) -> Path:
    """Writes the SavedModel folder `path`; it appears only when complete and then replaces an older one.

    Beside the graph it holds `model_card.md`, `skeletons.json` and `SHA256SUMS`.

    Args:
        model: Keras model or other callable, see `crop_model.CropModel`.
        skeleton: joints of the model's output.
        image_size: crop side, px.
        output_skeletons: by name, what the `skeleton` argument of the methods offers.
        detector: `detectors.PersonDetector`; None: the file has only the estimate methods.
        bone_lengths: [E] mean lengths in mm of the output's edges, NaN = unknown, for the plausibility filter.
        joint_transform, transformed_skeleton, rotation_mode, augmentation_ranges, error_map: see `PoseEstimator`.
        model_card: more entries for the card: values are text, numbers or nested dicts.
        archive: also write `path` + ".tar.gz".
        serving: "tensorflow", "triton", "tfhub": more, for servers, see `write_serving`.
        crop_formats: "onnx", "litert": also the network alone, in `crop_model/`, see `crop_export`; its report goes to
            `log`, into the folder and into the card. crop_batch_size, photographs: for that.
        portable, portable_precisions: "onnx", "litert": also the whole way and the detector, in `portable/`, see
            `portable`.

    Returns:
        `path`.
    """
    import tensorflow as tf

    from metrabs_acae.inference.multiperson import PoseEstimator

    _require_tensorflow_weights(model)
    if detector is not None and not detector.packable:
        raise UserError("An ONNX detector cannot be packed into a SavedModel; export without it, or give a SavedModel.")
    estimator = PoseEstimator(
        model,
        skeleton,
        image_size=image_size,
        output_skeletons=output_skeletons,
        detector=detector,
        joint_transform=joint_transform,
        transformed_skeleton=transformed_skeleton,
        mean_bone_lengths_mm=bone_lengths,
        rotation_mode=rotation_mode,
        augmentation_ranges=augmentation_ranges,
        error_map=error_map,
    )
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    try:
        try:
            tf.saved_model.save(estimator, str(temporary), signatures=serving_signatures(estimator))
        except tf.errors.OpError as error:  # TensorFlow's words for a full disk, too
            raise UserError(f"The model cannot be written to {path.parent} ({error.message}).") from error
        (temporary / "fingerprint.pb").unlink(missing_ok=True)
        skeletons = {"": transformed_skeleton or skeleton, **output_skeletons}
        way = {
            "image_size": image_size,
            "output_skeletons": skeletons,
            "joint_transform": joint_transform,
            "rotation_mode": rotation_mode,
            "augmentation_ranges": augmentation_ranges,
            "error_map": error_map,
        }
        described = {name: shown(name, s).to_dict() for name, s in skeletons.items()}
        (temporary / SKELETONS_FILE).write_text(json.dumps(described, indent=1))
        parity = ""
        if crop_formats:
            from metrabs_acae.inference import crop_export

            report = crop_export.export_crop_model(
                model,
                skeleton,
                temporary / CROP_MODEL_FOLDER,
                formats=crop_formats,
                batch_size=crop_batch_size,
                estimator=estimator,
                photographs=photographs,
                log=log,
                **way,
            )
            parity = crop_export.render_parity(report)
        if portable:
            from metrabs_acae.inference.portable import export_portable

            export_portable(
                model,
                skeleton,
                temporary / PORTABLE_FOLDER,
                formats=portable,
                precisions=portable_precisions,
                with_detector=detector is not None and detector.portable,
                **way,
            )
        card = render_card(
            image_size=image_size,
            skeletons=skeletons,
            has_detector=detector is not None,
            has_entropy=estimator.crop_model.has_entropy,
            has_error_map=error_map is not None,
            n_known_bones=0 if bone_lengths is None else int(np.isfinite(bone_lengths).sum()),
            parity=parity,
            portable=sorted(p.name for p in (temporary / PORTABLE_FOLDER).glob("*") if p.suffix != ".json"),
            more=model_card or {},
        )
        (temporary / CARD_FILE).write_text(card)
        write_checksums(temporary)
        os.chmod(temporary, 0o755)
        replace_folder(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    if archive:
        write_archive(path)
    for kind in serving:
        write_serving(path, kind, has_detector=detector is not None)
    return path


def write_serving(path: Path, kind: str, *, has_detector: bool) -> None:
    """The exported model `path` laid out for a server beside it, whole or not at all."""
    from metrabs_acae.inference import serving

    if kind == "tfhub":
        write_archive(path, f"{path.name}.tfhub.tar.gz", inside="")
        return
    target = path.with_name(f"{path.name}.{kind}")
    temporary = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=path.parent))
    try:
        write = serving.write_triton if kind == "triton" else serving.write_tensorflow_serving
        write(path, temporary, has_detector=has_detector)
        os.chmod(temporary, 0o755)
        replace_folder(temporary, target, mark=f"{path.name}/{serving.VERSION}")
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def serving_signatures(estimator) -> dict:
    """`serving_default`: image and boxes to poses; `detect`, with a detector: image to boxes and poses."""
    import tensorflow as tf

    image = tf.TensorSpec([None, None, 3], tf.uint8, name="image")
    boxes = tf.TensorSpec([None, 4], tf.float32, name="boxes")
    intrinsics = tf.TensorSpec([3, 3], tf.float32, name="intrinsic_matrix")

    @tf.function(input_signature=[image, boxes, intrinsics])
    def serving_default(image, boxes, intrinsic_matrix):
        return estimator.estimate_poses(image, boxes, intrinsic_matrix=intrinsic_matrix)

    signatures = {"serving_default": serving_default}
    if estimator.detector is not None:

        @tf.function(input_signature=[image, intrinsics])
        def detect(image, intrinsic_matrix):
            return estimator.detect_poses(image, intrinsic_matrix=intrinsic_matrix)

        signatures["detect"] = detect
    return signatures


def write_checksums(folder: Path) -> None:
    """SHA256SUMS of all files, in the format of `sha256sum -c`."""
    files = sorted(p for p in folder.rglob("*") if p.is_file() and p.name != CHECKSUMS_FILE)
    lines = [f"{sha256(p)}  {p.relative_to(folder).as_posix()}\n" for p in files]
    (folder / CHECKSUMS_FILE).write_text("".join(lines))


def sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_archive(path: Path, name: str = "", *, inside: str | None = None) -> Path:
    """`path`.tar.gz of the folder `path`, byte-identical for identical files.

    Args:
        name: another name, beside `path`.
        inside: folder inside the archive; None: that of `path`. tensorflow_hub needs "": no folder.
    """
    target = path.with_name(name or path.name + ".tar.gz")
    inside = path.name if inside is None else inside
    temporary = target.with_name(f".{target.name}.tmp")

    def plain(info):
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        return info

    try:
        with tarfile.open(temporary, "w:gz", compresslevel=6) as tar:
            for file in sorted(path.rglob("*")):
                tar.add(
                    file,
                    arcname=f"{inside}/{file.relative_to(path).as_posix()}".lstrip("/"),
                    recursive=False,
                    filter=plain,
                )
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return target


def replace_folder(source: Path, target: Path, *, mark: str = "saved_model.pb") -> None:
    """Renames `source` to `target`; what was there is removed last. Refuses to replace a folder without `mark`."""
    require_replaceable(target, mark)
    old = None
    if target.exists():
        old = target.with_name(f".{target.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        target.rename(old)
    source.rename(target)
    if old is not None:
        shutil.rmtree(old)


def require_replaceable(target: Path, mark: str) -> None:
    """UserError if something without `mark` stands there, which is then no older export."""
    if target.exists() and (not target.is_dir() or (any(target.iterdir()) and not (target / mark).exists())):
        raise UserError(f"{target} exists and is not an exported model; choose another path or remove it.")


def _require_tensorflow_weights(model) -> None:
    if hasattr(model, "trainable_weights"):
        import keras

        if keras.backend.backend() != "tensorflow":
            raise UserError(
                "A SavedModel is written by the TensorFlow backend, but Keras runs on "
                f"{keras.backend.backend()}; export with KERAS_BACKEND=tensorflow."
            )
