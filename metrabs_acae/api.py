"""A trained model for programs that know neither TensorFlow nor this project: pictures in, NumPy arrays out.

model = metrabs_acae.load("pretrained")
people = model("photo.jpg")
"""

from __future__ import annotations

import importlib.util
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
from metrabs_acae.inference.image_list import checked_image, has_detector
from metrabs_acae.inference.photographs import Photograph, read_photograph
from metrabs_acae.numpy_runtime import estimator, networks, portable
from metrabs_acae.numpy_runtime.detection import DETECTORS, Detector
from metrabs_acae.training.run_folder import PRETRAINED, open_run

Picture = str | os.PathLike[str] | npt.NDArray[np.uint8]
"""A file, or [H, W, 3] uint8 RGB."""

NO_DETECTOR = (
    "This model has no detector; give the people's boxes: model(picture, boxes=...). (Without TensorFlow the detector "
    "is detector.onnx, which --export --portable onnx writes.)"
)


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
        estimator: what does the work: a loaded SavedModel, or a `PoseEstimator`, perhaps one of `numpy_runtime`.
        skeletons: names that the `skeleton` argument takes.
        has_detector: whether it finds people; else boxes must be given.
    """

    def __init__(self, estimator: Any):
        self.estimator = estimator
        self.skeletons: tuple[str, ...] = tuple(filter(None, demo_poses.skeletons_of(estimator)))
        self.has_detector: bool = has_detector(estimator)

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
            boxes: [P, 4] left, top, width, height in px, each in the picture at least in part; of several pictures a
                list of such, of a folder a dict by file name. None: the model's detector finds people.
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
        if intrinsics is not None and fov is not None:
            raise UserError("intrinsics and fov both say how wide the camera sees; give one of them.")
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
                raise UserError(NO_DETECTOR)
            if boxes is not None and len(demo_inputs.boxes_in_picture(boxes, image.shape[1::-1])) < len(boxes):
                height, width = image.shape[:2]
                raise UserError(f"{name} is {width} x {height} px; boxes (left, top, width, height) lie outside of it.")
            item = DemoInput("image", name, name)
            source = estimator.source(item, image, detected=boxes is None, tracked=False, focal=photograph.focal)
            (people,) = estimator([image], None if boxes is None else [boxes], source)
            return People(**vars(people), source=source)

        return estimate


def load(model: str | os.PathLike[str] = "pretrained") -> Model:
    """A model for use from Python.

    Args:
        model: "pretrained" (the model that comes with the project), a run folder, an exported model's folder, or its
            ONNX or LiteRT files (`portable/` or `crop_model/`, or a file in one of them), which run without TensorFlow.
            Where TensorFlow is not installed, the files of the exported model are taken.

    Raises:
        UserError: if there is none.
    """
    model = os.fspath(model)
    path = None if model == PRETRAINED else _network_file(Path(model))
    if path:
        return Model(_numpy_estimator(path))
    run = open_run(model, or_exported=True)
    exported = Path(model) if run is None else run.model
    if not importlib.util.find_spec("tensorflow"):
        path = _network_file(exported / "portable") or _network_file(exported / "crop_model")
        if path is None:
            raise UserError(
                f"{model} needs TensorFlow, which is not installed, or files that do without it: export the model with "
                "--portable onnx where TensorFlow is."
            )
        return Model(_numpy_estimator(path))
    from metrabs_acae.backend import import_tensorflow_quietly, set_up_keras
    from metrabs_acae.commands.export import estimator_of

    import_tensorflow_quietly()
    if run is None or (not run.is_box and (exported / "saved_model.pb").exists()):
        return Model(demo_poses.load_saved_model(exported))
    os.environ["KERAS_BACKEND"] = "tensorflow"  # checkpoints of a training on JAX fit as well
    set_up_keras()
    return Model(estimator_of(run))


def _network_file(model: Path) -> Path | None:
    """The ONNX or LiteRT file that is meant by its path or its folder's; None: something else is meant.

    Raises:
        UserError: it is such a file, but none that gives poses, or its description is missing.
    """
    if model.is_dir():
        usual = [*(names["float32"] for names in portable.POSE_FILES.values()), *networks.FORMATS.values()]
        found = (model / name for name in usual if (model / _description_of(name)).is_file())
        return next((path for path in found if path.is_file()), None)
    if model.suffix not in networks.RUNTIMES or not model.is_file():
        return None
    if model.name in DETECTORS.values():
        raise UserError(f"{model} only finds people; give the file of the poses, {model.with_name('pose.onnx')}.")
    if not model.with_name(_description_of(model.name)).is_file():
        raise UserError(f"{model} needs {_description_of(model.name)} beside it, which --export wrote with it.")
    return model


def _description_of(name: str) -> str:
    return estimator.DESCRIPTION_FILE if name in networks.FORMATS.values() else portable.DESCRIPTION_FILE


def _numpy_estimator(path: Path):
    """What runs the file, with the detector that was exported with it."""
    runtime = networks.RUNTIMES[path.suffix]
    package = {"onnx": "onnxruntime", "litert": "ai-edge-litert"}[runtime]
    try:
        detector = _detector_beside(path, runtime)
        if path.name in networks.FORMATS.values():
            return estimator.PoseEstimator(path.parent, runtime, detector=detector)
        return portable.PortableEstimator(path, detector=detector)
    except ImportError as error:
        raise UserError(f"{path} needs {package} ({error}); install it with: pip install {package}.") from None


def _detector_beside(path: Path, runtime: str) -> Detector | None:
    """The detector that was exported with a file, best for the same runtime."""
    for kind in sorted(DETECTORS, key=lambda kind: kind != runtime):
        for folder in (path.parent, path.parent.parent / "portable"):
            if (folder / DETECTORS[kind]).is_file():
                try:
                    return Detector(folder / DETECTORS[kind])
                except ImportError:
                    if kind == runtime:
                        raise
    return None
