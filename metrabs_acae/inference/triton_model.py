"""What Triton's Python backend runs: the SavedModel beside this file. `--export --serving triton` copies it there.

The server's Python needs TensorFlow and NumPy, not this project.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

MODEL = "model.savedmodel"
OF_DETECTOR = ("detector_threshold", "suppress_implausible_poses")
SCALARS = ("default_fov_degrees", "num_aug", "skeleton", *OF_DETECTOR)


class TritonPythonModel:
    """One picture a request: people in the boxes given, or those that the model's detector finds."""

    def initialize(self, args):
        import tensorflow as tf

        self._model = tf.saved_model.load(str(Path(__file__).parent / MODEL))

    def execute(self, requests):
        return [self._respond(request) for request in requests]

    def _respond(self, request):
        import triton_python_backend_utils as triton

        given = {tensor.name(): tensor.as_numpy() for tensor in request.inputs()}
        try:
            result = self.poses(given)
        except Exception as error:  # also TensorFlow's; one bad request must not end the others
            return triton.InferenceResponse(error=triton.TritonError(sentence_of(error)))
        return triton.InferenceResponse([triton.Tensor(name, value) for name, value in result.items()])

    def poses(self, given: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Of the inputs of config.pbtxt its outputs."""
        given = {name: value[0] if name in SCALARS else value for name, value in given.items()}
        if "boxes" in given:
            given = {name: value for name, value in given.items() if name not in OF_DETECTOR}
        elif not hasattr(self._model, "detect_poses"):
            raise ValueError("This model has no detector: the request needs boxes.")
        estimate = self._model.estimate_poses if "boxes" in given else self._model.detect_poses
        result = {name: value.numpy() for name, value in estimate(**given).items()}
        if "boxes" in given:
            result["boxes"] = np.pad(given["boxes"], ((0, 0), (0, 1)), constant_values=1)
        result.setdefault("entropy", np.full_like(result["uncertainty"], np.nan))  # of older models
        return result


def sentence_of(error: Exception) -> str:
    """What a check of the model says, without what TensorFlow puts around it."""
    asserted = re.search(r"assertion failed: \[(.*)\]", str(error))
    return asserted[1].replace("\\'", "'") if asserted else str(error)
