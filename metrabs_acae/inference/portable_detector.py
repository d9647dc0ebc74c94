"""The person detector of `movenet` as a graph, with the choice of people that `detectors` makes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from metrabs_acae.inference.graph import Graph, Value

ASSET = Path(__file__).parent / "assets" / "movenet_multipose.npz"
LONGER_SIDE_PX, STRIDE, MULTIPLE_PX = 320, 4, 32
MAX_CANDIDATES = MAX_DETECTIONS = 150
INPUTS = {
    "image": ("uint8", ["H", "W", 3]),
    "detector_threshold": ("float32", []),
    "detector_nms_iou_threshold": ("float32", []),
}
"""Type and shape of each."""
_N_BLOCKS, _STRIDED = 17, (1, 3, 6, 13)
_LATERALS = {2: "lateral4", 5: "lateral8", 9: "lateral16"}


def found_people(g: Graph, network: Callable[[Value], Sequence[Value]]) -> dict[str, tuple[Value, list]]:
    """The outputs that docs/use-the-model.md lists, and their shapes, of `INPUTS`.

    Args:
        network: of `movenet.MoveNet`: [h, w, 3] in [-1, 1] -> its heads, channels first, [1 or 2, h / 4, w / 4] each.
    """
    image, threshold, iou_threshold = (g.input(name, *of_input) for name, of_input in INPUTS.items())
    height, width = (image.shape[i].cast("float32") for i in range(2))
    scale = LONGER_SIDE_PX / g.maximum(height, width)
    rows, columns = (g.maximum((n * scale).unary("Round"), 1.0) for n in (height, width))
    center, extent, offset = network(_resized(g, image, (height, width), (rows, columns)) * (2 / 255) - 1.0)

    heat = center.unary("Sigmoid")
    largest = g.op("MaxPool", heat[None], rank=4, kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[1, 1])[0]
    scores = g.where(heat >= largest, heat, 0.0)[0]  # [h, w]
    n_rows, n_columns = (scores.shape[i] for i in range(2))
    cell_y, cell_x = g.arange(n_rows).cast("float32")[:, None], g.arange(n_columns).cast("float32")[None]
    extent = g.maximum(extent, 0.0)
    per_cell = [n / r * STRIDE for n, r in ((height, rows), (width, columns))]
    top, left = ((cell + offset[i] - extent[i] / 2) * per_cell[i] - 0.5 for i, cell in enumerate((cell_y, cell_x)))
    boxes = g.stack([left, top, extent[1] * per_cell[1], extent[0] * per_cell[0]]).reshape(-1, 4)
    return _chosen(g, boxes, scores.reshape(-1), threshold, iou_threshold)


def _chosen(g: Graph, boxes: Value, scores: Value, threshold: Value, iou_threshold: Value):
    """The outputs: those of the best candidates that overlap none with a higher score."""
    best = g.top(scores, g.minimum(scores.shape, MAX_CANDIDATES))
    boxes, scores = g.gather(boxes, best), g.gather(scores, best)
    usable = (scores > 0) & (scores >= threshold) & (boxes[:, 2] > 0) & (boxes[:, 3] > 0)
    usable = usable & (abs(boxes) < float("inf")).all([1])
    corners = g.concat([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    kept = g.suppressed(corners, g.where(usable, scores, -1.0), MAX_DETECTIONS, iou_threshold)
    return {"boxes": (g.gather(boxes, kept), ["N", 4]), "scores": (g.gather(scores, kept), ["N"])}


def _resized(g: Graph, image: Value, size, new_size) -> Value:
    """As `tf.image.resize` with antialias, then black up to what the strides need: [h, w, 3] in 0..255."""
    down, across = (_shares(g, n, new) for n, new in zip(size, new_size, strict=True))
    pixels = image.cast("float32")
    rows = g.op("MatMul", down, pixels.reshape(image.shape[0], -1), rank=2).reshape(-1, image.shape[1], 3)
    resized = g.op("MatMul", across, rows, rank=3)  # [h, w, 3]
    after = [((MULTIPLE_PX - n.cast("int64") % MULTIPLE_PX) % MULTIPLE_PX) for n in new_size]
    return g.op("Pad", resized, g.vector([0, 0, 0, *after, 0]), rank=3)


def _shares(g: Graph, size: Value, new_size: Value) -> Value:
    """[new, old]: the shares of old pixels in new ones, by a triangle as wide as a new pixel."""
    step = size / new_size
    middles = (g.arange(new_size.cast("int64")).cast("float32") + 0.5) * step
    distance = abs(g.arange(size.cast("int64")).cast("float32") + 0.5 - middles[:, None])
    shares = g.maximum(1.0 - distance / g.maximum(step, 1.0), 0.0)
    return shares / shares.reduce("Sum", [1])[:, None]


class Network:
    """`movenet.MoveNet.__call__` as `found_people` wants it; weights in half precision, as published."""

    def __init__(self, graph: Graph, path: str | Path = ASSET):
        self._graph = graph
        with np.load(path, allow_pickle=False) as arrays:
            self._weights = dict(arrays)

    def __call__(self, x: Value) -> tuple[Value, ...]:
        x, laterals, n_channels = x.transpose(2, 0, 1)[None], {}, 0
        x = self._relu6(self._convolution(x, "stem", stride=2))
        for i in range(_N_BLOCKS):
            block, strided = f"block{i:02}", i in _STRIDED
            y = self._relu6(self._convolution(x, f"{block}_expand")) if i else x
            y = self._relu6(self._convolution(y, f"{block}_depthwise", stride=1 + strided, depthwise=True))
            y = self._convolution(y, f"{block}_project")
            n_out = self._weights[f"{block}_project/kernel"].shape[-1]
            x = x + y if i and not strided and n_channels == n_out else y
            n_channels = n_out
            if i in _LATERALS:
                laterals[_LATERALS[i]] = self._convolution(x, _LATERALS[i])
        x = self._convolution(self._relu6(self._convolution(x, "last")), "lateral32")
        for level in (16, 8, 4):
            x = self._separable(self._doubled(x) + laterals[f"lateral{level}"], f"pyramid{level}")
        return tuple(
            self._convolution(self._separable(x, f"{head}_hidden"), head)[0] for head in ("center", "scale", "offset")
        )

    def _convolution(self, x: Value, name: str, stride: int = 1, *, depthwise: bool = False) -> Value:
        kernel = self._weights[f"{name}/kernel"]  # [k, k, in, out], or [k, k, channels, 1]
        side = kernel.shape[0]
        before, total = (side - stride) // 2, side - stride
        pads = [max(p, 0) for p in (before, before, total - before, total - before)]
        inputs = [x, self._constant(kernel.transpose(2, 3, 0, 1) if depthwise else kernel.transpose(3, 2, 0, 1))]
        if f"{name}/bias" in self._weights:
            inputs.append(self._constant(self._weights[f"{name}/bias"]))
        group = kernel.shape[2] if depthwise else 1
        return self._graph.op("Conv", *inputs, rank=4, strides=[stride] * 2, pads=pads, group=group)

    def _constant(self, array: np.ndarray) -> Value:
        return self._graph.constant(array).cast("float32")

    def _relu6(self, x: Value) -> Value:
        return self._graph.op("Clip", x, np.float32(0), np.float32(6), rank=4)

    def _separable(self, x: Value, name: str) -> Value:
        return self._convolution(self._convolution(x, f"{name}_depthwise", depthwise=True), name).unary("Relu")

    def _doubled(self, x: Value) -> Value:
        scales = self._graph.constant([1.0, 1.0, 2.0, 2.0], "float32")
        return self._graph.op("Resize", x, None, scales, rank=4, mode="linear")
