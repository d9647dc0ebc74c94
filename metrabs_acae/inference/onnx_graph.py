"""ONNX graphs written as arithmetic: values that NumPy's operators and indexing apply to, as to arrays.

Only operators of opset 17 that onnxruntime has on every platform, its build for browsers included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17
IR_VERSION = 8
_END = np.iinfo(np.int64).max


class Graph:
    """An ONNX graph in the making; `model` gives it."""

    def __init__(self):
        self._nodes: list[onnx.NodeProto] = []
        self._initializers: dict[str, onnx.TensorProto] = {}
        self._inputs: list[onnx.ValueInfoProto] = []
        self._n_values = 0

    def input(self, name: str, dtype: str, shape: Sequence) -> Value:
        """shape: numbers, and names of what may be of any size."""
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
        """The output of an operator; `dtype` if it is not that of the first input. An input of None is left out."""
        values = [None if i is None else self.as_value(i) for i in inputs]
        output, names = self._new_name(), [v.name if v else "" for v in values]
        self._nodes.append(helper.make_node(kind, names, [output], **attributes))
        return Value(self, output, rank, dtype or values[0].dtype)

    def as_value(self, value, dtype: str | None = None) -> Value:
        return value if isinstance(value, Value) else self.constant(value, dtype)

    def where(self, condition: Value, a, b) -> Value:
        dtype = next(v.dtype for v in (a, b) if isinstance(v, Value))
        a, b = self.as_value(a, dtype), self.as_value(b, dtype)
        return self.op("Where", condition, a, b, rank=max(condition.rank, a.rank, b.rank), dtype=dtype)

    def minimum(self, a: Value, b) -> Value:
        return a.binary("Min", b)

    def maximum(self, a: Value, b) -> Value:
        return a.binary("Max", b)

    def concat(self, values: Sequence, axis: int) -> Value:
        values = [self.as_value(v) for v in values]
        return self.op("Concat", *values, rank=values[0].rank, axis=axis)

    def stack(self, values: Sequence, axis: int = -1) -> Value:
        """axis: 0 or -1."""
        dtype = next(v.dtype for v in values if isinstance(v, Value))
        values = [self.as_value(v, dtype) for v in values]
        index = (..., None) if axis == -1 else (None,)
        return self.concat([v[index] for v in values], axis)

    def arange(self, count: Value) -> Value:
        """0, 1, ... as many as the int64 scalar says."""
        return self.op("Range", np.int64(0), count, np.int64(1), rank=1, dtype="int64")

    def vector(self, numbers: Sequence) -> Value:
        """[K] int64 of numbers and int64 scalars."""
        if not any(isinstance(n, Value) for n in numbers):
            return self.constant(list(numbers), "int64")
        return self.stack([self.as_value(n, "int64") for n in numbers], axis=0)

    def gather(self, values: Value, indices, axis: int = 0) -> Value:
        indices = self.as_value(indices)
        return self.op("Gather", values, indices, rank=values.rank - 1 + indices.rank, axis=axis)

    def top(self, values: Value, count: Value) -> Value:
        """Places of the largest of [K], largest first; count: [1] int64."""
        largest, places = self._new_name(), self._new_name()
        self._nodes.append(helper.make_node("TopK", [values.name, count.name], [largest, places]))
        return Value(self, places, 1, "int64")

    def include(self, network: onnx.ModelProto, inputs: Mapping[str, Value], prefix: str) -> dict[str, Value]:
        """The outputs of another model that is made part of this one, by name."""
        names = {name: value.name for name, value in inputs.items()} | {"": ""}
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
            self._nodes.append(helper.make_node("Identity", [value.name], [name]))
            infos.append(helper.make_tensor_value_info(name, _element_type(value.dtype), shape))
        graph = helper.make_graph(
            self._nodes, "metrabs_acae", self._inputs, infos, initializer=list(self._initializers.values())
        )
        model = helper.make_model(
            graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION, producer_name="metrabs_acae"
        )
        helper.set_model_props(model, dict(notes))
        return model

    def _new_name(self) -> str:
        self._n_values += 1
        return f"v{self._n_values}"


class Value:
    """A tensor of a `Graph`, of known rank and type.

    Operators broadcast as those of NumPy; numbers beside it take its type. Integers are divided without rest.
    """

    __array_ufunc__ = None  # so that NumPy leaves operators to this class

    def __init__(self, graph: Graph, name: str, rank: int, dtype: str):
        self.graph, self.name, self.rank, self.dtype = graph, name, rank, dtype

    def binary(self, kind: str, other, dtype: str | None = None, *, reverse: bool = False) -> Value:
        other = self.graph.as_value(other, self.dtype)
        pair = (other, self) if reverse else (self, other)
        return self.graph.op(kind, *pair, rank=max(self.rank, other.rank), dtype=dtype or self.dtype)

    def unary(self, kind: str) -> Value:
        return self.graph.op(kind, self, rank=self.rank)

    def __add__(self, other):
        return self.binary("Add", other)

    def __sub__(self, other):
        return self.binary("Sub", other)

    def __rsub__(self, other):
        return self.binary("Sub", other, reverse=True)

    def __mul__(self, other):
        return self.binary("Mul", other)

    def __truediv__(self, other):
        return self.binary("Div", other)

    def __rtruediv__(self, other):
        return self.binary("Div", other, reverse=True)

    def __mod__(self, other):
        return self.binary("Mod", other)

    def __pow__(self, exponent):
        return {2: lambda: self * self, 0.5: lambda: self.unary("Sqrt")}[exponent]()

    def __neg__(self):
        return self.unary("Neg")

    def __abs__(self):
        return self.unary("Abs")

    def __lt__(self, other):
        return self.binary("Less", other, "bool")

    def __le__(self, other):
        return self.binary("LessOrEqual", other, "bool")

    def __gt__(self, other):
        return self.binary("Greater", other, "bool")

    def __ge__(self, other):
        return self.binary("GreaterOrEqual", other, "bool")

    def equals(self, other):
        return self.binary("Equal", other, "bool")

    def __and__(self, other):
        return self.binary("And", other)

    __radd__, __rmul__, __floordiv__ = __add__, __mul__, __truediv__

    def __getitem__(self, index) -> Value:
        index = list(index) if isinstance(index, tuple) else [index]
        n_given = sum(i is not None and i is not Ellipsis for i in index)
        if Ellipsis in index:
            at = index.index(Ellipsis)
            index[at : at + 1] = [slice(None)] * (self.rank - n_given)
        new = [at for at, i in enumerate(i for i in index if not isinstance(i, int)) if i is None]
        of_axes = [i for i in index if i is not None]
        single = [axis for axis, i in enumerate(of_axes) if isinstance(i, int)]
        slices = {axis: _as_slice(i) for axis, i in enumerate(of_axes) if i != slice(None)}
        value = self
        if slices:
            bounds = ([s[k] for s in slices.values()] for k in range(3))
            starts, ends, steps = (self.graph.vector(b) for b in bounds)
            axes = self.graph.constant(list(slices), "int64")
            value = self.graph.op("Slice", value, starts, ends, axes, steps, rank=self.rank)
        if single:
            axes = self.graph.constant(single, "int64")
            value = self.graph.op("Squeeze", value, axes, rank=value.rank - len(single))
        if new:
            value = self.graph.op("Unsqueeze", value, self.graph.constant(new, "int64"), rank=value.rank + len(new))
        return value

    @property
    def shape(self) -> Value:
        """[rank] int64"""
        return self.graph.op("Shape", self, rank=1, dtype="int64")

    def cast(self, dtype: str) -> Value:
        return self.graph.op("Cast", self, rank=self.rank, dtype=dtype, to=_element_type(dtype))

    def reshape(self, *shape) -> Value:
        """shape: numbers and int64 scalars."""
        return self.graph.op("Reshape", self, self.graph.vector(shape), rank=len(shape))

    def transpose(self, *axes: int) -> Value:
        return self.graph.op("Transpose", self, rank=self.rank, perm=axes)

    def reduce(self, kind: str, axes: Sequence[int] | None = None) -> Value:
        """kind: Mean, Min, Max or Sum, without the axes; None: over all."""
        axes = tuple(range(self.rank)) if axes is None else tuple(axes)
        if not axes:
            return self
        rank = self.rank - len(axes)
        if kind == "Sum":
            return self.graph.op("ReduceSum", self, self.graph.constant(axes, "int64"), rank=rank, keepdims=0)
        return self.graph.op(f"Reduce{kind}", self, rank=rank, axes=axes, keepdims=0)

    def all(self, axes: Sequence[int] | None = None) -> Value:
        return self.cast("int32").reduce("Min", axes).cast("bool")


def _as_slice(index) -> tuple:
    if isinstance(index, int):
        return index, index + 1 if index != -1 else _END, 1
    return index.start or 0, _END if index.stop is None else index.stop, index.step or 1


def _element_type(dtype: str) -> int:
    return getattr(TensorProto, {"float32": "FLOAT", "float16": "FLOAT16"}.get(dtype, dtype.upper()))
