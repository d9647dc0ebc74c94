"""Runs a neural network from an ONNX file or a SavedModel folder on one picture."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError


def check_model(spec: str) -> None:
    """UserError unless `spec` names a kind of model and a place that exists; nothing is loaded."""
    kind, _, location = spec.partition(":")
    if kind not in ("onnx", "savedmodel"):
        raise UserError(f"'{spec}' is not a model; use onnx:FILE or savedmodel:FOLDER.")
    if not Path(location).exists():
        raise UserError(f"The model {location} does not exist.")


class PictureModel:
    """A network that takes one RGB picture [1, H, W, 3] (uint8, or float in 0..255 where the model asks for it).

    ONNX files may also take [1, 3, H, W]. What a network needs beyond that, such as other units, must be part of it.

    Args:
        spec: "onnx:FILE" or "savedmodel:FOLDER".
    """

    def __init__(self, spec: str):
        check_model(spec)
        kind, _, location = spec.partition(":")
        self._run = _load_onnx(location) if kind == "onnx" else _load_savedmodel(location)

    def __call__(self, image: np.ndarray) -> dict[str, np.ndarray]:
        """The outputs by name, without the batch dimension."""
        return {name: np.asarray(value)[0] for name, value in self._run(image[None]).items()}


def _load_onnx(path: str):
    try:
        import onnxruntime
    except ImportError:
        raise UserError("Running ONNX models needs the extra [export]: pip install metrabs_acae[export].") from None
    try:
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no common base
        raise UserError(f"{path} is not a readable ONNX file ({str(error).splitlines()[0]}).") from None
    entries = session.get_inputs()
    shape = entries[0].shape
    if len(entries) != 1 or len(shape) != 4:
        raise UserError(f"{path} must have one input of four dimensions, pictures [1, H, W, 3] or [1, 3, H, W].")
    dtype = np.uint8 if "uint8" in entries[0].type else np.float32
    channels_first = shape[1] == 3 and shape[3] != 3
    names = [o.name for o in session.get_outputs()]

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        batch = (np.moveaxis(batch, 3, 1) if channels_first else batch).astype(dtype)
        try:
            return dict(zip(names, session.run(names, {entries[0].name: np.ascontiguousarray(batch)}), strict=True))
        except Exception as error:
            raise UserError(
                f"{path} fails on pictures of shape {batch.shape} ({str(error).splitlines()[0]})."
            ) from None

    return run


def _load_savedmodel(path: str):
    import tensorflow as tf

    try:
        loaded = tf.saved_model.load(path)
    except (OSError, ValueError, tf.errors.OpError) as error:
        raise UserError(f"{path} is not a readable SavedModel folder ({str(error).splitlines()[0]}).") from None
    function = loaded.signatures.get("serving_default")
    if function is None or len(function.structured_input_signature[1]) != 1:
        raise UserError(
            f"The SavedModel {path} needs a signature serving_default with one input, pictures [1, H, W, 3]."
        )
    name, spec = next(iter(function.structured_input_signature[1].items()))

    def run(batch: np.ndarray) -> dict[str, np.ndarray]:
        outputs = function(**{name: tf.cast(tf.constant(batch), spec.dtype)})
        return {k: v.numpy() for k, v in outputs.items()}

    run.keep_alive = loaded
    return run
