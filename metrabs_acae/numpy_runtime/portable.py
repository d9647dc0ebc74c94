"""`PortableEstimator`: the files that do the whole way from picture to poses, called like `PoseEstimator`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from . import arguments
from .detection import Detector, Estimator
from .networks import RUNTIMES, load_network

DESCRIPTION_FILE = "portable.json"
POSE_FILES = {
    "onnx": {"float32": "pose.onnx", "float16": "pose.float16.onnx", "int8": "pose.int8.onnx"},
    "litert": {"float32": "pose.tflite", "float16": "pose.float16.tflite", "int8": "pose.int8.tflite"},
}
"""By runtime and precision of the weights."""


class PortableEstimator(Estimator):
    """A file of `portable/` in the exported model.

    Args:
        path: of the file; `portable.json` must lie beside it.
        threads: of the runtime; None: its own choice.
        detector: for `detect_poses`; None: boxes must be given.
    """

    def __init__(self, path, *, threads: int | None = None, detector: Detector | None = None):
        path = Path(path)
        description = json.loads((path.parent / DESCRIPTION_FILE).read_text(encoding="utf-8-sig"))
        self.skeletons, self.image_size = description["skeletons"], description["image_size"]
        self.joint_names = self.skeletons[""]["joint_names"]
        self.detector = detector
        self._network = load_network(path, RUNTIMES.get(path.suffix, ""), threads=threads)

    def estimate_poses(
        self,
        image,
        boxes,
        intrinsic_matrix=None,
        distortion_coeffs=(0.0,) * 5,
        extrinsic_matrix=None,
        world_up_vector=(0.0, -1.0, 0.0),
        default_fov_degrees: float = 55.0,
        *,
        num_aug: int = 5,
        skeleton: str = "",
    ) -> dict[str, np.ndarray]:
        """Poses of the people in `boxes` [P, 4]; arguments and results as of `PoseEstimator.estimate_poses`."""
        image = arguments.image(image)
        size_wh = (image.shape[1], image.shape[0])
        boxes = arguments.boxes(boxes, size_wh)
        camera = arguments.camera(
            size_wh, intrinsic_matrix, distortion_coeffs, extrinsic_matrix, world_up_vector, default_fov_degrees, -0.5
        )
        # LiteRT has no arrays without elements. A box that cannot be is allowed: its poses are NaN.
        some = boxes if len(boxes) else np.zeros((1, 4))
        given = {"image": image, "boxes": some, "num_aug": arguments.count("num_aug", num_aug, 1000)}
        given |= {"intrinsic_matrix": camera.intrinsics, "distortion_coeffs": camera.distortion}
        joints = self.places_of(skeleton)
        found = self._network({**given, "world_up_vector": camera.up})
        found = {name: value[: len(boxes), joints] for name, value in found.items()}
        return found | {"poses3d": camera.to_world(found["poses3d"]).astype(np.float32)}
