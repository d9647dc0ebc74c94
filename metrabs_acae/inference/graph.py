"""Graphs written as arithmetic: values that NumPy's operators and indexing apply to, as to arrays.

What is written once so becomes an ONNX file (`onnx_graph`) or a function of TensorFlow for LiteRT (`litert_graph`).
"""

from __future__ import annotations

import abc
from collections.abc import Sequence

import numpy as np

END = np.iinfo(np.int64).max
"""The end of a slice that has none."""


class Graph(abc.ABC):
    """A graph in the making."""

    @abc.abstractmethod
    def input(self, name: str, dtype: str, shape: Sequence) -> Value:
        """shape: numbers, and names of what may be of any size."""

    @abc.abstractmethod
    def constant(self, value, dtype: str | None = None) -> Value:
        """Of float64 numbers: float32."""

    @abc.abstractmethod
    def op(self, kind: str, *inputs, rank: int, dtype: str | None = None, **attributes) -> Value:
        """The output of an operator of ONNX; `dtype` if it is not that of the first input. Without an input: None."""

    @abc.abstractmethod
    def top(self, values: Value, count: Value) -> Value:
        """Places of the largest of [K], largest first; count: [1] int64."""

    @abc.abstractmethod
    def suppressed(self, corners: Value, scores: Value, count: int, iou_threshold: Value) -> Value:
        """Places of the best boxes [K, 4] with scores above 0 that overlap none with a higher score by more."""

    @abc.abstractmethod
    def sliced(self, value: Value, slices: dict[int, tuple]) -> Value:
        """slices: (start, end, step) by axis, numbers and int64 scalars."""

    @abc.abstractmethod
    def reduced(self, kind: str, value: Value, axes: tuple[int, ...]) -> Value:
        """kind: Mean, Min, Max or Sum."""

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


def _operator(kind: str, dtype: str | None = None, *, reverse: bool = False):
    return lambda value, other: value.binary(kind, other, dtype, reverse=reverse)


class Value:
    """A tensor of a `Graph`, of known rank and type.

    Operators broadcast as those of NumPy; numbers beside it take its type. Integers are divided without rest.

    Args:
        content: how the graph knows it.
    """

    __array_ufunc__ = None  # so that NumPy leaves operators to this class

    def __init__(self, graph: Graph, content, rank: int, dtype: str):
        self.graph, self.content, self.rank, self.dtype = graph, content, rank, dtype

    def binary(self, kind: str, other, dtype: str | None = None, *, reverse: bool = False) -> Value:
        other = self.graph.as_value(other, self.dtype)
        pair = (other, self) if reverse else (self, other)
        return self.graph.op(kind, *pair, rank=max(self.rank, other.rank), dtype=dtype or self.dtype)

    def unary(self, kind: str) -> Value:
        return self.graph.op(kind, self, rank=self.rank)

    __add__ = __radd__ = _operator("Add")
    __sub__, __rsub__ = _operator("Sub"), _operator("Sub", reverse=True)
    __mul__ = __rmul__ = _operator("Mul")
    __truediv__, __rtruediv__ = _operator("Div"), _operator("Div", reverse=True)
    __floordiv__ = __truediv__
    __mod__, __and__ = _operator("Mod"), _operator("And")
    __lt__, __le__ = _operator("Less", "bool"), _operator("LessOrEqual", "bool")
    __gt__, __ge__ = _operator("Greater", "bool"), _operator("GreaterOrEqual", "bool")
    equals = _operator("Equal", "bool")

    def __pow__(self, exponent):
        return {2: lambda: self * self, 0.5: lambda: self.unary("Sqrt")}[exponent]()

    def __neg__(self):
        return self.unary("Neg")

    def __abs__(self):
        return self.unary("Abs")

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
        value = self.graph.sliced(self, slices) if slices else self
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
        return self.graph.op("Cast", self, rank=self.rank, dtype=dtype)

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
        return self.graph.reduced(kind, self, axes)

    def all(self, axes: Sequence[int] | None = None) -> Value:
        return self.cast("int32").reduce("Min", axes).cast("bool")


def _as_slice(index) -> tuple:
    if isinstance(index, int):
        return index, index + 1 if index != -1 else END, 1
    return index.start or 0, END if index.stop is None else index.stop, index.step or 1
