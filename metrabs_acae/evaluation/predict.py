"""Running a multi-person model over the full images of a pose store's split, resumable at any image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.data.images import read_picture
from metrabs_acae.data.loading import DataHealth
from metrabs_acae.data.store import CameraParams, PoseStore
from metrabs_acae.errors import BadExample, UserError
from metrabs_acae.evaluation.prediction_settings import PredictionSettings
from metrabs_acae.evaluation.prediction_writer import PredictionWriter
from metrabs_acae.evaluation.predictions import Predictions
from metrabs_acae.evaluation.truth import row_names
from metrabs_acae.evaluation.views import View, person_view, project
from metrabs_acae.skeletons import Skeleton, corresponding_joints

IMAGES_PER_CALL = 8
"""Images of one size that go to the model together; its crops are batched on top of that."""
VIEW_SCALE = 2
"""Side of the view of a person through a lens that the estimator does not know, in sides of the model's crops."""


@dataclass(frozen=True)
class Frame:
    """One image of a split, the rows of its labelled people, and their numbers."""

    image_key: str
    sequence: str
    frame: int
    rows: tuple[int, ...]
    people: tuple[int, ...]


def predict_store(
    estimator,
    model_joints: tuple[str, ...],
    store: PoseStore,
    split: str,
    path: str | Path,
    *,
    settings: PredictionSettings,
    metadata: Mapping | None = None,
    max_bad_fraction: float = 0.01,
    progress: Callable[[int, int, int], None] | None = None,
) -> Predictions:
    """Predicts all images of a split and writes a prediction file with the joints of the store that the model has.

    Args:
        estimator: `PoseEstimator`, or an exported one loaded again.
        model_joints: names of all joints of the estimator's output.
        metadata: plain types for the file; they must be the same when an interrupted run goes on.
        max_bad_fraction: predicting stops if more of the images than this cannot be read. (What a missing frame costs
            is the protocol's rule.)
        progress: receives (images done, images in all, people so far).

    Raises:
        UserError: no common joint, boxes from a detector that the model does not have, a 2D store, bad images.
    """
    if store.kind != "3d" or not store.splits.get(split):
        raise UserError(f"{store.path} has no 3D-labelled examples in split '{split}'; it has {store.splits}.")
    if settings.boxes == "detector" and not hasattr(estimator, "detect_poses_batched"):
        raise UserError(
            "This benchmark's people are found by a detector, and the model has none; export it with one, or take the "
            "labelled people's boxes with --boxes-from store."
        )
    names, index = common_joints(Skeleton("model", model_joints), store.skeleton.joint_names, store)
    described = {"store": f"{store.path}:{split}", **asdict(settings), **(metadata or {})}
    frames = frames_of(store, split)
    if settings.boxes == "detector":
        require_distinct(frames, store)
    writer = PredictionWriter(path, names, described)
    health = DataHealth(max_bad_fraction, n_total=len(frames), n_bad=len(writer.bad_images))
    people_so_far = 0
    for batch in batches(store, split, frames[writer.images_done :], known_camera=settings.known_camera):
        for frame in batch.bad:
            health.add_bad(f"{store.name} {split} ({frame.image_key})", "the image cannot be read", replaced=False)
        people = _predict(estimator, store, split, batch, settings, index) if batch.frames else _nobody(len(index))
        writer.append(people, images=len(batch.frames) + len(batch.bad), bad_images=[f.image_key for f in batch.bad])
        people_so_far += len(people["frame"])
        if progress:
            progress(writer.images_done, len(frames), people_so_far)
    return writer.close({"images": len(frames)})


def common_joints(model: Skeleton, wanted: tuple[str, ...], store: PoseStore) -> tuple[list[str], np.ndarray]:
    """The store's joints that the model has, and their places in its output."""
    names, index = [], []
    for name in wanted:
        try:
            index.append(int(corresponding_joints(model, [name])[0]))
        except UserError:
            continue
        names.append(name)
    if not names:
        raise UserError(
            f"The model ({', '.join(model.joint_names[:4])}, ...) has none of the joints of {store.path} "
            f"({', '.join(wanted[:4])}, ...); train on a store of that skeleton."
        )
    return names, np.array(index)


def frames_of(store: PoseStore, split: str) -> list[Frame]:
    """The images of a split in order of first appearance; UserError where they cannot be told apart (`row_names`)."""
    sequence, frame, person = row_names(store, split)
    keys, rows = store.column(split, "image_key"), {}
    for i in range(store.splits[split]):
        rows.setdefault(keys.text(i), []).append(i)
    return [
        Frame(key, str(sequence[r[0]]), int(frame[r[0]]), tuple(r), tuple(person[r].tolist()))
        for key, r in rows.items()
    ]


def require_distinct(frames: list[Frame], store: PoseStore) -> None:
    """UserError where two images have one sequence and frame: their detected people would be mixed up."""
    first: dict[tuple[str, int], Frame] = {}
    for frame in frames:
        other = first.setdefault((frame.sequence, frame.frame), frame)
        if other is not frame:
            raise UserError(
                f"The pictures {other.image_key} and {frame.image_key} of {store.path} are both frame {frame.frame} of "
                f"sequence '{frame.sequence}'; name the camera in the sequence, or number the frames."
            )


@dataclass(frozen=True)
class Batch:
    """Images of one size whose cameras share the upward direction, and those on the way that could not be read."""

    frames: list[Frame]
    images: list[np.ndarray]
    cameras: list[CameraParams]
    bad: list[Frame]

    def fits(self, image: np.ndarray, camera: CameraParams, *, known_camera: bool) -> bool:
        if not self.frames:
            return True
        up = not known_camera or np.array_equal(camera.world_up, self.cameras[0].world_up)
        lens = not known_camera or _is_lens_known(camera) == _is_lens_known(self.cameras[0])
        return image.shape == self.images[0].shape and up and lens and len(self.frames) < IMAGES_PER_CALL


def batches(store: PoseStore, split: str, frames: list[Frame], *, known_camera: bool) -> Iterator[Batch]:
    batch = Batch([], [], [], [])
    for frame in frames:
        image, camera = read_image(store, frame.image_key), store.row(split, frame.rows[0]).camera
        if image is None or (known_camera and camera is None):
            batch.bad.append(frame)
            continue
        if not batch.fits(image, camera, known_camera=known_camera):
            yield batch
            batch = Batch([], [], [], [])
        batch.frames.append(frame)
        batch.images.append(image)
        batch.cameras.append(camera)
    if batch.frames or batch.bad:
        yield batch


def read_image(store: PoseStore, key: str) -> np.ndarray | None:
    """[H, W, 3] uint8 RGB as its labels count pixels (no EXIF rotation); None where it is missing or broken."""
    import cv2

    try:
        data = np.frombuffer(read_picture(store.images, key), np.uint8)
        return cv2.imdecode(data, cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION) if data.size else None
    except (BadExample, cv2.error):
        return None


def _predict(estimator, store, split, batch: Batch, settings: PredictionSettings, joints) -> dict[str, np.ndarray]:
    import tensorflow as tf

    views = None
    if settings.known_camera and not _is_lens_known(batch.cameras[0]):
        views = _views(estimator, store, split, batch, settings)
    arguments = {
        **_cameras([v.camera for v in views] if views else batch.cameras, settings),
        "num_aug": settings.num_aug,
        "antialias_factor": settings.antialias_factor,
        "skeleton": "",
    }
    images = tf.constant(np.stack([v.image for v in views] if views else batch.images))
    if settings.boxes == "detector":
        result = estimator.detect_poses_batched(
            images,
            detector_threshold=settings.detector_threshold,
            detector_nms_iou_threshold=settings.detector_nms_iou_threshold,
            max_detections=settings.max_detections,
            detector_flip_aug=settings.detector_flip_aug,
            suppress_implausible_poses=settings.suppress_implausible_poses,
            **arguments,
        )
    else:
        boxes = [[store.row(split, i).box_ltwh_px for i in f.rows] for f in batch.frames]
        boxes = [[v.box_ltwh_px] for v in views] if views else boxes
        ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(boxes).astype(np.float32), [len(b) for b in boxes])
        result = estimator.estimate_poses_batched(images, ragged, **arguments)
    counts = [len(f.rows) for f in batch.frames] if views else result["poses3d"].row_lengths().numpy()
    poses2d = np.asarray(result["poses2d"].values)[:, joints]
    poses = np.asarray(result["poses3d"].values)[:, joints].astype(np.float64)
    if settings.known_camera:  # the estimator's world is the camera's frame turned upright
        rotation = np.repeat([c.R for c in batch.cameras], counts, axis=0).reshape(-1, 3, 3)
        poses = np.einsum("nij,npj->npi", rotation, poses)
    if views:
        seen_by = np.repeat(np.arange(len(batch.cameras)), counts)
        poses2d = np.stack([project(pose, batch.cameras[i]) for pose, i in zip(poses, seen_by, strict=True)])
    if settings.boxes == "detector":
        person = np.concatenate([np.arange(c) for c in counts])
        score = np.asarray(result["boxes"].values)[:, 4]
    else:
        person = np.array([number for f in batch.frames for number in f.people])
        score = np.full(len(poses), np.nan)
    return {
        "poses3d_mm": poses,
        "poses2d_px": poses2d,
        "sequence": np.repeat([f.sequence for f in batch.frames], counts),
        "frame": np.repeat([f.frame for f in batch.frames], counts),
        "person": person,
        "score": score,
    }


def _views(estimator, store, split, batch: Batch, settings: PredictionSettings) -> list[View]:
    """One view of each labelled person, whose lens the estimator does not know."""
    if settings.boxes == "detector":
        raise UserError(
            f"{store.path} has cameras with a {batch.cameras[0].lens.model} lens that the detector's poses cannot take "
            "into account; predict with the labelled people's boxes: --boxes-from store."
        )
    side = VIEW_SCALE * int(estimator.crop_model.input_resolution)
    views = []
    for frame, image, camera in zip(batch.frames, batch.images, batch.cameras, strict=True):
        try:
            views += [person_view(image, camera, store.row(split, i).box_ltwh_px, side) for i in frame.rows]
        except ValueError as error:
            raise UserError(f"The people in {frame.image_key} of {store.path} cannot be cropped: {error}.") from None
    return views


def _cameras(cameras: list[CameraParams], settings: PredictionSettings) -> dict:
    """Arguments for the estimator. Extrinsics only turn: positions stay relative to the camera."""
    if not settings.known_camera:
        return {"default_fov_degrees": settings.fov_degrees}
    extrinsics = np.tile(np.eye(4, dtype=np.float32), (len(cameras), 1, 1))
    extrinsics[:, :3, :3] = [c.R for c in cameras]
    return {
        "intrinsic_matrix": np.stack([c.K for c in cameras]).astype(np.float32),
        "distortion_coeffs": np.stack([c.lens.estimator_coefficients for c in cameras]),
        "extrinsic_matrix": extrinsics,
        "world_up_vector": np.asarray(cameras[0].world_up, np.float32),
    }


def _is_lens_known(camera: CameraParams) -> bool:
    return camera.lens.estimator_coefficients is not None


def _nobody(n_joints: int) -> dict[str, np.ndarray]:
    none = np.zeros(0)
    shaped = {"poses3d_mm": np.zeros((0, n_joints, 3)), "poses2d_px": np.zeros((0, n_joints, 2))}
    return {**shaped, "sequence": none.astype(str), "frame": none, "person": none, "score": none}
