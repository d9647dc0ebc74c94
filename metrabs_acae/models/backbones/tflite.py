"""Reads the operators and constants of TensorFlow Lite files with TensorFlow's own description of the format."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError


@dataclass(frozen=True)
class Operator:
    """One step: `kind` as in the format (CONV_2D, ADD, ...), indices of tensors (-1: left out), and its options."""

    kind: str
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: object


class TfliteFile:
    """The main graph of a file.

    Attributes:
        operators: `Operator`s, in the order they run in; inputs, outputs: indices of the graph's tensors.
    """

    def __init__(self, path: str | Path):
        from tensorflow.lite.python import schema_py_generated as schema

        try:
            model = schema.ModelT.InitFromObj(schema.Model.GetRootAsModel(Path(path).read_bytes(), 0))
            (graph,) = model.subgraphs
            names = {v: k for k, v in vars(schema.BuiltinOperator).items() if not k.startswith("_")}
            # Files of before 2020 have the code in the deprecated field only.
            kinds = [names[max(c.builtinCode, c.deprecatedBuiltinCode)] for c in model.operatorCodes]
            self.operators = [
                Operator(kinds[o.opcodeIndex], tuple(o.inputs), tuple(o.outputs), o.builtinOptions)
                for o in graph.operators
            ]
            self.inputs, self.outputs = tuple(graph.inputs), tuple(graph.outputs)
        except OSError as error:
            raise UserError(f"{path} cannot be read ({error.strerror}).") from None
        except Exception as error:  # the generated code checks nothing
            raise UserError(f"{path} is not a TensorFlow Lite model of one graph ({type(error).__name__}).") from None
        self._tensors, self._buffers = graph.tensors, model.buffers
        self._dtypes = {
            schema.TensorType.FLOAT32: "<f4",
            schema.TensorType.FLOAT16: "<f2",
            schema.TensorType.INT32: "<i4",
        }
        self.path = path

    def shape(self, tensor: int) -> tuple[int, ...]:
        return tuple(int(n) for n in self._tensors[tensor].shape)

    def constant(self, tensor: int) -> np.ndarray | None:
        """The value of a tensor that the file holds, also of one stored in half precision; None: it is computed."""
        step = self._makers.get(tensor)
        if step is not None:
            return self.constant(step.inputs[0]).astype(np.float32) if step.kind == "DEQUANTIZE" else None
        data = self._buffers[self._tensors[tensor].buffer].data
        if data is None or not len(data):
            return None
        return np.frombuffer(bytes(data), self._dtypes[self._tensors[tensor].type]).reshape(self.shape(tensor))

    @cached_property
    def _makers(self) -> dict[int, Operator]:
        return {output: step for step in self.operators for output in step.outputs}

    def needed_for(self, tensor: int) -> list[Operator]:
        """The operators that compute a tensor, in the order they run in, without those that make constants."""
        needed, found = {tensor}, []
        for step in reversed(self.operators):
            if needed.intersection(step.outputs) and step.kind != "DEQUANTIZE":
                needed.update(step.inputs)
                found.append(step)
        return found[::-1]


def convolution_weights(file: TfliteFile, tensor: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Kernel and bias, shaped as in Keras, of each convolution on the way to a tensor, in the order they run in."""
    found = []
    for step in file.needed_for(tensor):
        if step.kind in ("CONV_2D", "DEPTHWISE_CONV_2D"):
            kernel, bias = (file.constant(i) for i in step.inputs[1:3])
            # [out, h, w, in], and [1, h, w, channels] where depthwise
            found.append((np.moveaxis(kernel, 0, -1), bias))
    return found
