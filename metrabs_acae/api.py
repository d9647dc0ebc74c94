"""A trained model for programs that know neither TensorFlow nor this project: pictures in, NumPy arrays out.

model = metrabs_acae.load("pretrained")
people = model("photo.jpg")
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
import numpy.typing as npt

from metrabs_acae.data.lens import PINHOLE
from metrabs_acae.errors import UserError
from metrabs_acae.inference import demo_inputs, demo_poses, pose_files
from metrabs_acae.inference.demo_cameras import DemoCameras
from metrabs_acae.inference.demo_inputs import DemoInput
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.image_list import checked_image
from metrabs_acae.inference.photographs import Photograph, read_photograph
from metrabs_acae.numpy_runtime.estimator import DESCRIPTION_FILE
from metrabs_acae.numpy_runtime.networks import FORMATS
from metrabs_acae.training.run_folder import open_run

Picture = str | os.PathLike[str] | npt.NDArray[np.uint8]
"""A file, or [H, W, 3] uint8 RGB."""


@dataclass(frozen=True)
class People(pose_files.People):
    """The people of one picture: the arrays of `pose_files.People`, P people and J joints, and what they are of.

    Attributes:
        source: the picture's name and size, the camera assumed, and the skeleton.
    """

    source: pose_files.Source

    @property
    def name(self) -> str:
        """Of the picture's file; of an array "picture" and its number."""
        return self.source.name

    @property
    def joint_names(self) -> tuple[str, ...]:
        return self.source.joint_names

    @property
    def edges(self) -> tuple[tuple[int, int], ...]:
        """Pairs of joint numbers."""
        return self.source.edges


class Model:
    """Poses of the people in pictures; made by `load`.

    Attributes:
        estimator: what does the work: a loaded SavedModel, or a `PoseEstimator`, perhaps that of `numpy_runtime`.
        skeletons: names that the `skeleton` argument takes.
        has_detector: whether it finds people; else boxes must be given.
    """

    def __init__(self, estimator: Any):
        self.estimator = estimator
        self.skeletons: tuple[str, ...] = tuple(filter(None, demo_poses.skeletons_of(estimator)))
        self.has_detector: bool = hasattr(estimator, "detect_poses_batched")

    @overload  # a text is a sequence of texts, too
    def __call__(  # type: ignore[overload-overlap]
        self,
        picture: Picture,
        *,
        boxes: npt.ArrayLike | None = None,
        intrinsics: npt.ArrayLike | None = None,
        fov: float | None = None,
        skeleton: str = "",
        num_aug: int = 1,
        detector_threshold: float = 0.3,
    ) -> People: ...

    @overload
    def __call__(
        self,
        picture: Sequence[Picture],
        *,
        boxes: Sequence[npt.ArrayLike] | None = None,
        intrinsics: npt.ArrayLike | None = None,
        fov: float | None = None,
        skeleton: str = "",
        num_aug: int = 1,
        detector_threshold: float = 0.3,
    ) -> list[People]: ...

    def __call__(self, picture, *, boxes=None, intrinsics=None, fov=None, **settings):
        """The people of a picture, or a list of them for a list of pictures or a folder.

        Args:
            picture: a file, an array [H, W, 3] uint8 RGB, a list of those, or a folder (its pictures by name).
            boxes: [P, 4] left, top, width, height in px; of several pictures a list of such, of a folder a dict by file
                name. None: the model's detector finds people.
            intrinsics: [3, 3] or (fx, fy, cx, cy) in px, the same for all pictures; None: from `fov`.
            fov: field of view along the larger side, degrees; None: from the file's EXIF data, else 55.
            skeleton: one of `skeletons`; "": the first usual one.
            num_aug: crops per person, averaged.
            detector_threshold: lowest score of a detected person.

        Raises:
            UserError: for a picture that cannot be read, boxes or a camera that cannot be right, an unknown skeleton.
        """
        if isinstance(picture, str | os.PathLike) and Path(picture).is_dir():
            return self.folder(picture, boxes=boxes, intrinsics=intrinsics, fov=fov, **settings)
        estimate = self._estimate(intrinsics, fov, settings)
        if isinstance(picture, str | os.PathLike | np.ndarray):
            return estimate(picture, boxes, "picture 0")
        pictures = list(picture)
        if boxes is not None and len(boxes) != len(pictures):
            raise UserError(f"There are {len(pictures)} pictures, but boxes for {len(boxes)}; give a list for each.")
        of_each = [None] * len(pictures) if boxes is None else boxes
        return [estimate(p, b, f"picture {i}") for i, (p, b) in enumerate(zip(pictures, of_each, strict=True))]

    def folder(
        self,
        path: str | os.PathLike[str],
        *,
        boxes: Mapping[str, npt.ArrayLike] | None = None,
        intrinsics: npt.ArrayLike | None = None,
        fov: float | None = None,
        **settings: Any,
    ) -> list[People]:
        """The people of each picture inside a folder, by name; what a call with a folder gives."""
        items = [item for item in demo_inputs.find_inputs([os.fspath(path)]) if item.kind == "image"]
        of_file = demo_inputs.parse_boxes(boxes)
        estimate = self._estimate(intrinsics, fov, settings)
        found = ((item, demo_inputs.boxes_for(of_file, item)) for item in items)
        return [estimate(item.path, None if b is None else b(0), item.name) for item, b in found]

    def _estimate(self, intrinsics, fov: float | None, settings: dict):
        """A function of one picture, its boxes and its name, if it has none."""
        demo_settings, given = Demo(fov=fov, **settings), demo_inputs.parse_intrinsics(intrinsics)

        def given_camera(item: DemoInput, image_size_wh: Sequence[int], focal=None):
            demo_inputs.check_view(given, image_size_wh, item.name, "intrinsics")
            return given, PINHOLE, "intrinsics"

        cameras = DemoCameras(demo_settings) if given is None else given_camera
        estimator = demo_poses.Estimator(self.estimator, cameras, demo_settings)

        def estimate(picture, boxes, name: str) -> People:
            if isinstance(picture, np.ndarray):
                photograph = Photograph(checked_image(picture, name))
            else:
                name = os.fspath(picture)
                photograph = read_photograph(name)
            boxes, image = demo_inputs.parse_boxes(boxes), photograph.image
            if boxes is None and not self.has_detector:
                raise UserError("This model has no detector; give the people's boxes: model(picture, boxes=...).")
            item = DemoInput("image", name, name)
            source = estimator.source(item, image, detected=boxes is None, tracked=False, focal=photograph.focal)
            (people,) = estimator([image], None if boxes is None else [boxes], source)
            return People(**vars(people), source=source)

        return estimate


def load(model: str | os.PathLike[str] = "pretrained") -> Model:
    """A model for use from Python.

    Args:
        model: "pretrained" (the model that comes with the project), a run folder, an exported model's folder, or the
            ONNX or LiteRT network of an export (`crop_model/`, or a file in it), which runs without TensorFlow.

    Raises:
        UserError: if there is none.
    """
    model = os.fspath(model)
    for runtime, name in FORMATS.items():
        folder = model if os.path.isdir(model) else os.path.dirname(model)
        named = os.path.isdir(model) or os.path.basename(model) == name
        if named and all(os.path.isfile(os.path.join(folder, n)) for n in (name, DESCRIPTION_FILE)):
            return Model(_numpy_estimator(folder, runtime))
    from metrabs_acae.backend import import_tensorflow_quietly, set_up_keras
    from metrabs_acae.commands.export import estimator_of

    run = open_run(model, or_exported=True)
    import_tensorflow_quietly()
    if run is None:
        return Model(demo_poses.load_saved_model(model))
    if not run.is_box and (run.model / "saved_model.pb").exists():
        return Model(demo_poses.load_saved_model(run.model))
    os.environ["KERAS_BACKEND"] = "tensorflow"  # checkpoints of a training on JAX fit as well
    set_up_keras()
    return Model(estimator_of(run))


def _numpy_estimator(folder: str, runtime: str):
    from metrabs_acae.numpy_runtime import PoseEstimator

    try:
        return PoseEstimator(folder, runtime)
    except ImportError as error:
        package = {"onnx": "onnxruntime", "litert": "ai-edge-litert"}[runtime]
        raise UserError(f"{folder} needs {package} ({error}); install it with: pip install {package}.") from None
