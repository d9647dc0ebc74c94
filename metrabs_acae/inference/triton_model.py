"""What Triton's Python backend runs: the SavedModel beside this file. `--export --serving triton` copies it there.

The server's Python needs TensorFlow and NumPy, not this project.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

MODEL = "model.savedmodel"
SCALARS = ("default_fov_degrees", "num_aug", "skeleton")


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
        """Of the inputs of config.pbtxt its outputs; scores and entropies that nobody knows are NaN."""
        given = {name: value[0] if name in SCALARS else value for name, value in given.items()}
        if "boxes" not in given and not hasattr(self._model, "detect_poses"):
            raise ValueError("This model has no detector: the request needs boxes.")
        estimate = self._model.estimate_poses if "boxes" in given else self._model.detect_poses
        result = {name: value.numpy() for name, value in estimate(**given).items()}
        if "boxes" in given:
            boxes = given["boxes"]
            result["boxes"] = np.column_stack([boxes, np.full(len(boxes), np.nan)]).astype(np.float32)
        result.setdefault("entropy", np.full_like(result["uncertainty"], np.nan))
        return result


def sentence_of(error: Exception) -> str:
    """What a check of the model says, without what TensorFlow puts around it."""
    asserted = re.search(r"assertion failed: \[(.*)\]", str(error))
    return asserted[1].replace("\\'", "'") if asserted else str(error)
