"""Graphs as ONNX files.

Only operators of opset 17 that onnxruntime has on every platform, its build for browsers included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from metrabs_acae.inference.graph import Graph, Value

OPSET = 17
IR_VERSION = 8


class OnnxGraph(Graph):
    """`model` gives the file."""

    def __init__(self):
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._n_values = 0

    def input(self, name: str, dtype: str, shape: Sequence) -> Value:
        self._inputs.append(helper.make_tensor_value_info(name, _element_type(dtype), shape))
        return Value(self, name, len(shape), dtype)

    def constant(self, value, dtype: str | None = None) -> Value:
        array = np.ascontiguousarray(value, dtype)
        if array.dtype == np.float64:
            array = array.astype(np.float32)
        array = array.reshape(np.shape(value))
        name = f"constant_{array.dtype}_{array.tolist()}" if array.size <= 4 else self._new_name()
        if name not in self._initializers:
            self._initializers[name] = numpy_helper.from_array(array, name)
        return Value(self, name, array.ndim, str(array.dtype))

    def op(self, kind: str, *inputs, rank: int, dtype: str | None = None, **attributes) -> Value:
        values = [None if i is None else self.as_value(i) for i in inputs]
        output, names = self._new_name(), [v.content if v else "" for v in values]
        if kind == "Cast":
            attributes["to"] = _element_type(dtype)
        self._add(kind, names, [output], **attributes)
        return Value(self, output, rank, dtype or values[0].dtype)

    def top(self, values: Value, count: Value) -> Value:
        largest, places = self._new_name(), self._new_name()
        self._add("TopK", [values.content, count.content], [largest, places])
        return Value(self, places, 1, "int64")

    def suppressed(self, corners: Value, scores: Value, count: int, iou_threshold: Value) -> Value:
        limits = self.constant([count], "int64"), iou_threshold[None], self.constant([0.0], "float32")
        kept = self.op("NonMaxSuppression", corners[None], scores[None, None], *limits, rank=2, dtype="int64")
        return kept[:, 2]

    def sliced(self, value: Value, slices: dict[int, tuple]) -> Value:
        starts, ends, steps = (self.vector([s[k] for s in slices.values()]) for k in range(3))
        return self.op("Slice", value, starts, ends, self.constant(list(slices), "int64"), steps, rank=value.rank)

    def reduced(self, kind: str, value: Value, axes: tuple[int, ...]) -> Value:
        rank = value.rank - len(axes)
        if kind == "Sum":
            return self.op("ReduceSum", value, self.constant(axes, "int64"), rank=rank, keepdims=0)
        return self.op(f"Reduce{kind}", value, rank=rank, axes=axes, keepdims=0)

    def include(self, network: onnx.ModelProto, inputs: Mapping[str, Value], prefix: str) -> dict[str, Value]:
        """The outputs of another model that is made part of this one, by name."""
        names = {name: value.content for name, value in inputs.items()} | {"": ""}
        renamed = lambda name: names.get(name, f"{prefix}{name}")  # noqa: E731
        for initializer in network.graph.initializer:
            copy = onnx.TensorProto()
            copy.CopyFrom(initializer)
            copy.name = renamed(copy.name)
            self._initializers[copy.name] = copy
        for node in network.graph.node:
            copy = onnx.NodeProto()
            copy.CopyFrom(node)
            copy.name = renamed(node.name)
            copy.input[:], copy.output[:] = map(renamed, node.input), map(renamed, node.output)
            self._nodes.append(copy)
        return {
            o.name: Value(self, renamed(o.name), len(o.type.tensor_type.shape.dim), "float32")
            for o in network.graph.output
        }

    def model(self, outputs: Mapping[str, tuple[Value, Sequence]], notes: Mapping[str, str]) -> onnx.ModelProto:
        """outputs: by name, the value and its shape. notes: kept as the file's metadata."""
        infos = []
        for name, (value, shape) in outputs.items():
            self._add("Identity", [value.content], [name])
            infos.append(helper.make_tensor_value_info(name, _element_type(value.dtype), shape))
        graph = helper.make_graph(
            self._nodes, "metrabs_acae", self._inputs, infos, initializer=list(self._initializers.values())
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="metrabs_acae"
        )
        helper.set_model_props(model, dict(notes))
        return model

    def _add(self, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes) -> None:
        # onnxruntime 1.18 and 1.19 cannot optimize nodes without names.
        self._nodes.append(helper.make_node(kind, inputs, outputs, name=f"node_{outputs[-1]}", **attributes))

    def _new_name(self) -> str:
        self._n_values += 1
        return f"v{self._n_values}"


def _element_type(dtype: str) -> int:
    return getattr(TensorProto, {"float32": "FLOAT", "float16": "FLOAT16"}.get(dtype, dtype.upper()))
