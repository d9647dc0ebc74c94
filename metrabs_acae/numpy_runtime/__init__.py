"""Poses of people in full images with NumPy and an ONNX or LiteRT file: no TensorFlow, no Keras, nothing else.

The package stands alone: `--export --crop-formats` copies it beside the network files that it runs, so a device needs
only that folder, NumPy, and onnxruntime or ai-edge-litert:

    import sys; sys.path.insert(0, "model/crop_model")
    from numpy_runtime import PoseEstimator
    result = PoseEstimator("model/crop_model", "onnx").estimate_poses(image, boxes)

Conventions and results are those of the SavedModel; wrong arguments raise ValueError.
"""

from .detection import Detector, Estimator
from .estimator import PoseEstimator
from .portable import PortableEstimator

__all__ = ["Detector", "Estimator", "PortableEstimator", "PoseEstimator"]
