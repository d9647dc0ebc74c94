"""Runs a neural network from an ONNX file or a SavedModel folder on one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError


class PictureModel:
    """A network that takes one RGB picture [1, H, W, 3] (uint8, or float in 0..255 where the model asks for it).

    Args:
        spec: "onnx:FILE" or "savedmodel:FOLDER".
    """

    def __init__(self, spec: str):
        kind, _, location = spec.partition(":")
        if kind not in ("onnx", "savedmodel"):
            raise UserError(f"'{spec}' is not a model; use onnx:FILE or savedmodel:FOLDER.")
        if not Path(location).exists():
            raise UserError(f"The model {location} does not exist.")
        self._run = _load_onnx(location) if kind == "onnx" else _load_savedmodel(location)

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name, without the batch dimension."""
        return {name: np.asarray(value)[0] for name, value in self._run(image[None]).items()}


def _load_onnx(path: str):
    try:
        import onnxruntime
    except ImportError:
        raise UserError("Running ONNX models needs the extra [export]: pip install metrabs_acae[export].") from None
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    entry = session.get_inputs()[0]
    dtype = np.uint8 if "uint8" in entry.type else np.float32
    names = [o.name for o in session.get_outputs()]
    return lambda batch: dict(zip(names, session.run(names, {entry.name: batch.astype(dtype)}), strict=True))


def _load_savedmodel(path: str):
    import tensorflow as tf

    loaded = tf.saved_model.load(path)
    function = loaded.signatures["serving_default"]
    name, spec = next(iter(function.structured_input_signature[1].items()))

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        outputs = function(**{name: tf.cast(tf.constant(batch), spec.dtype)})
        return {k: v.numpy() for k, v in outputs.items()}

    run.keep_alive = loaded
    return run
