"""The crop model alone, for runtimes without TensorFlow: ONNX and LiteRT files with static shapes, and their parity.

Inputs `image` [B, S, S, 3] float32 in 0..1 and `intrinsics` [B, 3, 3]; output `coords3d_mm` [B, J, 3], in the crop's
camera frame.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError

ONNX_OPSET = 17
PARITY_FILE = "parity.json"
OUTPUT_NAME = "coords3d_mm"


def export_crop_model(
    model, folder, *, image_size: int, batch_size: int = 1, formats=("onnx", "litert"), log=print
) -> dict[str, dict[str, float]]:
    """Writes `crop_model.onnx` and/or `crop_model.tflite`, and `parity.json`, into `folder`.

    Args:
        model: Keras model or other callable, see `crop_model.CropModel`.
        image_size: crop side, px. batch_size: of the static shapes.

    Returns:
        by format: `max_difference_mm` of any joint from TensorFlow's result on random crops, `seconds` per call, and
        the same for "tensorflow" itself.

    Raises:
        UserError: unknown format, or a package of the extra `[export]` is missing.
    """
    writers = {"onnx": _write_onnx, "litert": _write_litert}
    unknown = sorted(set(formats) - set(writers))
    if unknown:
        raise UserError(f"Unknown format {', '.join(unknown)}; the crop model can be written as onnx or litert.")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    function = _frozen_function(model, image_size, batch_size)
    inputs = example_inputs(image_size, batch_size)
    expected, seconds = _timed(lambda: _as_array(function(**_as_tensors(inputs))))
    report = {"tensorflow": {"max_difference_mm": 0.0, "seconds": seconds}}
    for name in formats:
        run = writers[name](function, folder)
        found, seconds = _timed(lambda run=run: run(inputs))
        difference = float(np.linalg.norm(found - expected, axis=-1).max())
        report[name] = {"max_difference_mm": difference, "seconds": seconds}
    (folder / PARITY_FILE).write_text(json.dumps(report, indent=1))
    for name, values in report.items():
        log(f"{name:12s} {values['max_difference_mm']:10.4f} mm largest difference {1000 * values['seconds']:8.1f} ms")
    return report


def example_inputs(image_size: int, batch_size: int) -> dict[str, np.ndarray]:
    """Smooth random crops and a usual camera."""
    import cv2

    rng = np.random.default_rng(0)
    images = [cv2.resize(rng.random((8, 8, 3), np.float32), (image_size, image_size)) for _ in range(batch_size)]
    center = (image_size - 1) / 2
    intrinsics = np.array([[1.5 * image_size, 0, center], [0, 1.5 * image_size, center], [0, 0, 1]], np.float32)
    return {"image": np.stack(images), "intrinsics": np.stack([intrinsics] * batch_size)}


def load_onnx(path) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """{"image", "intrinsics"} -> [B, J, 3] mm, with onnxruntime."""
    onnxruntime = _optional("onnxruntime")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, dict(inputs))[0]


def load_litert(path) -> Callable[[dict[str, np.ndarray]], np.ndarray]:
    """{"image", "intrinsics"} -> [B, J, 3] mm, with the LiteRT interpreter (or TensorFlow's own)."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        import tensorflow as tf

        Interpreter = tf.lite.Interpreter
    interpreter = Interpreter(model_path=str(path))
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()
    output = interpreter.get_output_details()[0]["index"]

    def run(inputs):
        for detail in details:
            # The converter decorates names; the rank tells the two inputs apart.
            name = "image" if len(detail["shape"]) == 4 else "intrinsics"
            interpreter.set_tensor(detail["index"], inputs[name])
        interpreter.invoke()
        return interpreter.get_tensor(output)

    return run


def _frozen_function(model, image_size: int, batch_size: int):
    """The forward pass with its weights as constants: {"image", "intrinsics"} -> [poses]."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    keras_model = hasattr(model, "trainable_weights")

    @tf.function
    def forward(image, intrinsics):
        inputs = {"image": image, "intrinsics": intrinsics}
        return model(inputs, training=False) if keras_model else model(inputs)

    concrete = forward.get_concrete_function(
        tf.TensorSpec([batch_size, image_size, image_size, 3], tf.float32, name="image"),
        tf.TensorSpec([batch_size, 3, 3], tf.float32, name="intrinsics"),
    )
    return convert_variables_to_constants_v2(concrete)


def _as_tensors(inputs):
    import tensorflow as tf

    return {name: tf.constant(value) for name, value in inputs.items()}


def _as_array(outputs) -> np.ndarray:
    return np.asarray(outputs[0] if isinstance(outputs, list | tuple) else outputs)


def _write_onnx(function, folder: Path):
    tf2onnx = _optional("tf2onnx")
    path = folder / "crop_model.onnx"
    graph = function.graph
    model, _ = tf2onnx.convert.from_graph_def(
        graph.as_graph_def(),
        input_names=[t.name for t in graph.inputs],
        output_names=[t.name for t in graph.outputs],
        opset=ONNX_OPSET,
    )
    names = {t.name: t.op.name for t in graph.inputs} | {graph.outputs[0].name: OUTPUT_NAME}
    _rename(model.graph, names)
    path.write_bytes(model.SerializeToString())
    return load_onnx(path)


def _rename(graph, names: dict[str, str]) -> None:
    """Gives inputs and outputs of an ONNX graph plain names."""
    for value in [*graph.input, *graph.output]:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.get(v, v) for v in values]


def _write_litert(function, folder: Path):
    import tensorflow as tf

    path = folder / "crop_model.tflite"
    path.write_bytes(tf.lite.TFLiteConverter.from_concrete_functions([function]).convert())
    return load_litert(path)


def _timed(function, repeats: int = 5):
    """(result, least seconds of several calls)."""
    result, best = function(), np.inf
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        best = min(best, time.perf_counter() - start)
    return result, best


def _optional(package: str):
    import importlib

    try:
        return importlib.import_module(package)
    except ImportError:
        message = f"{package} is not installed; install it with: pip install 'metrabs_acae[export]'."
        raise UserError(message) from None
