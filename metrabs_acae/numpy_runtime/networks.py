"""ONNX and LiteRT files as functions of arrays: inputs by name -> outputs by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

FORMATS = {"onnx": "crop_model.onnx", "litert": "crop_model.tflite"}
"""File name of each format."""
RUNTIMES = {".onnx": "onnx", ".tflite": "litert"}
"""By the ending of a file."""


def load_network(path, kind: str, *, threads: int | None = None) -> Callable[[dict], dict]:
    """A function of arrays, which are cast to the file's types; those that it does not take are left out.

    Args:
        path: of a crop model, of exactly its batch size: image [B, S, S, 3], intrinsics [B, 3, 3]; or a file of
            `portable`.
        kind: "onnx" (needs onnxruntime) or "litert" (needs ai-edge-litert, tflite-runtime or TensorFlow).
    """
    if kind not in FORMATS:
        raise ValueError(f"There is no runtime '{kind}'; use one of: {', '.join(FORMATS)}.")
    return {"onnx": _load_onnx, "litert": _load_litert}[kind](str(path), threads)


def run_in_batches(network, inputs: dict, batch_size: int) -> dict:
    """The network on any number of crops; the last batch is filled up with copies."""
    count = len(inputs["image"])
    parts = []
    for start in range(0, count, batch_size):
        indices = np.minimum(np.arange(start, start + batch_size), count - 1)
        parts.append(network({name: value[indices] for name, value in inputs.items()}))
    return {name: np.concatenate([p[name] for p in parts])[:count] for name in parts[0]}


def _load_onnx(path: str, threads: int | None):
    import onnxruntime

    options = onnxruntime.SessionOptions()
    if threads:
        options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(path, options, providers=onnxruntime.get_available_providers())
    names = [o.name for o in session.get_outputs()]
    types = {i.name: i.type.removeprefix("tensor(").removesuffix(")") for i in session.get_inputs()}
    dtypes = {name: {"float": "float32"}.get(kind, kind) for name, kind in types.items()}

    def run(inputs):
        given = {name: np.asarray(inputs[name], dtype, "C") for name, dtype in dtypes.items()}
        return dict(zip(names, session.run(names, given), strict=True))

    return run


def _load_litert(path: str, threads: int | None):
    runner = _interpreter_class()(model_path=path, num_threads=threads).get_signature_runner()
    dtypes = {name: details["dtype"] for name, details in runner.get_input_details().items()}

    def run(inputs):
        return runner(**{name: np.asarray(inputs[name], dtype, "C") for name, dtype in dtypes.items()})

    return run


def _interpreter_class():
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        try:
            from tflite_runtime.interpreter import Interpreter
        except ImportError:
            import tensorflow as tf

            Interpreter = tf.lite.Interpreter
    return Interpreter
