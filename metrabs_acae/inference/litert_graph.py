"""Graphs as functions of TensorFlow, of operators that LiteRT has itself, and LiteRT files of such functions."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import tensorflow as tf

from metrabs_acae.inference.graph import END, Graph, Value

PRECISIONS = ("float32", "float16", "int8")


class LitertGraph(Graph):
    """In the function that is being traced; whole numbers have 32 bits.

    Args:
        inputs: the function's, by name.
    """

    def __init__(self, inputs: Mapping[str, tf.Tensor]):
        self._given = inputs

    def input(self, name: str, dtype: str, shape: Sequence) -> Value:
        return Value(self, self._given[name], len(shape), dtype)

    def constant(self, value, dtype: str | None = None) -> Value:
        array = np.asarray(value, dtype)
        smaller = {"float64": "float32", "int64": "int32"}.get(str(array.dtype), str(array.dtype))
        return Value(self, tf.constant(array.astype(smaller)), array.ndim, dtype or smaller)

    def op(self, kind: str, *inputs, rank: int, dtype: str | None = None, **attributes) -> Value:
        values = [self.as_value(i) for i in inputs]
        dtype = dtype or values[0].dtype
        if kind == "Cast":
            attributes["dtype"] = "int32" if dtype == "int64" else dtype
        return Value(self, _OPERATORS[kind](*(v.content for v in values), **attributes), rank, dtype)

    def top(self, values: Value, count: Value) -> Value:
        return Value(self, tf.math.top_k(values.content, count.content[0]).indices, 1, "int64")

    def suppressed(self, corners: Value, scores: Value, count: int, iou_threshold: Value) -> Value:
        kept = tf.raw_ops.NonMaxSuppressionV4(
            boxes=corners.content,
            scores=scores.content,
            max_output_size=count,
            iou_threshold=iou_threshold.content,
            score_threshold=0.0,
            pad_to_max_output_size=True,
        )
        return Value(self, kept.selected_indices[: kept.valid_outputs], 1, "int64")

    def include(self, function: Callable, names: Sequence[str], inputs: Mapping[str, Value]) -> dict[str, Value]:
        """The outputs, by name, of a function of TensorFlow that takes the inputs in their order."""
        found = function(*(value.content for value in inputs.values()))
        found = found if isinstance(found, list | tuple) else [found]
        return {name: Value(self, t, t.shape.rank, "float32") for name, t in zip(names, found, strict=True)}

    def channels_first(self, network: Callable, x: Value, n_channels: int) -> list[Value]:
        """The outputs, as [C, h, w], of a function of TensorFlow: [1, H, W, n_channels] -> tuple of [1, h, w, C]."""
        height, width, _ = tf.unstack(tf.shape(x.content))
        image = tf.reshape(x.content, [1, height, width, n_channels])  # the number is not known of what was padded
        return [Value(self, tf.transpose(t[0], [2, 0, 1]), 3, "float32") for t in network(image)]

    def sliced(self, value: Value, slices: dict[int, tuple]) -> Value:
        slices = {a: tuple(n.content if isinstance(n, Value) else n for n in s) for a, s in slices.items()}
        if all(isinstance(n, int) for s in slices.values() for n in s):
            index = [slice(None)] * value.rank
            for axis, (start, end, step) in slices.items():
                index[axis] = slice(start, None if _is_end(end) else end, step)
            return Value(self, value.content[tuple(index)], value.rank, value.dtype)
        starts, counts = [0] * value.rank, [-1] * value.rank  # -1: all that there is
        for axis, (start, end, _) in slices.items():
            starts[axis], counts[axis] = start, -1 if _is_end(end) else end - start
        # Of pictures many times faster than LiteRT's STRIDED_SLICE.
        return Value(self, tf.slice(value.content, starts, counts), value.rank, value.dtype)

    def reduced(self, kind: str, value: Value, axes: tuple[int, ...]) -> Value:
        function = {"Mean": tf.reduce_mean, "Min": tf.reduce_min, "Max": tf.reduce_max, "Sum": tf.reduce_sum}[kind]
        return Value(self, function(value.content, axes), value.rank - len(axes), value.dtype)


def _is_end(end) -> bool:
    return isinstance(end, int) and end == END


def _channels_last(function, x, *arguments):
    return tf.transpose(function(tf.transpose(x, [0, 2, 3, 1]), *arguments), [0, 3, 1, 2])


def _unsqueeze(x, axes):
    for axis in tf.get_static_value(axes):
        x = tf.expand_dims(x, axis)
    return x


_OPERATORS: dict[str, Callable] = {
    "Add": tf.add,
    "Sub": tf.subtract,
    "Mul": tf.multiply,
    "Div": lambda a, b: a / b if a.dtype.is_floating else a // b,
    "Mod": tf.math.floormod,
    "And": tf.logical_and,
    "Less": tf.less,
    "LessOrEqual": tf.less_equal,
    "Greater": tf.greater,
    "GreaterOrEqual": tf.greater_equal,
    "Equal": tf.equal,
    "Min": tf.minimum,
    "Max": tf.maximum,
    "Neg": tf.negative,
    "Abs": tf.abs,
    "Sqrt": tf.sqrt,
    "Log": tf.math.log,
    "Exp": tf.exp,
    "Floor": tf.floor,
    "Cos": tf.cos,
    "Sin": tf.sin,
    "Where": tf.where,
    "Cast": tf.cast,
    "Concat": lambda *values, axis: tf.concat(values, axis),
    "Expand": tf.broadcast_to,
    "Gather": lambda values, indices, axis: tf.gather(values, indices, axis=axis),
    "MatMul": tf.matmul,
    "MaxPool": lambda x, kernel_shape, pads, strides: _channels_last(
        tf.nn.max_pool2d, x, kernel_shape, strides, "SAME"
    ),
    "Pad": lambda x, pads: tf.pad(x, tf.transpose(tf.reshape(pads, [2, -1]))),
    "Range": tf.range,
    "Reshape": tf.reshape,
    "ScatterElements": lambda values, places, updates, axis: tf.scatter_nd(places[:, None], updates, tf.shape(values)),
    "Round": tf.round,
    "Shape": tf.shape,
    "Sigmoid": tf.sigmoid,
    "Squeeze": lambda x, axes: tf.squeeze(x, tf.get_static_value(axes).tolist()),
    "Tile": tf.tile,
    "Transpose": lambda x, perm: tf.transpose(x, perm),
    "Unsqueeze": _unsqueeze,
}
"""Operators of ONNX by name, as far as they are used."""


def convert(
    inputs: Mapping[str, tuple[str, list]],
    build: Callable[[LitertGraph], Mapping[str, tuple[Value, Sequence]]],
    *,
    resources: object = None,
    precision: str = "float32",
) -> bytes:
    """The LiteRT file of a graph.

    Args:
        inputs: type and shape by name; text stands for any size.
        build: gives outputs by name, and their shapes.
        resources: a `tf.Module` whose variables are used.
        precision: of `PRECISIONS`, of the weights: in "float16" they are widened when the file is loaded, in "int8"
            (a scale for each output channel) multiplied by inputs that are rounded to 8 bits, too.
    """
    specs = [
        tf.TensorSpec([None if isinstance(n, str) else n for n in shape], dtype, name=name)
        for name, (dtype, shape) in inputs.items()
    ]

    @tf.autograph.experimental.do_not_convert
    def function(*given):
        return {name: v.content for name, (v, _) in build(LitertGraph(dict(zip(inputs, given, strict=True)))).items()}

    module = tf.Module()
    module.function, module.resources = tf.function(function, input_signature=specs), resources
    with tempfile.TemporaryDirectory() as folder:
        # By way of a SavedModel, so that inputs and outputs keep their names in the file.
        tf.saved_model.save(module, folder, signatures={"serving_default": module.function})
        converter = tf.lite.TFLiteConverter.from_saved_model(folder)
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        return converter.convert()
