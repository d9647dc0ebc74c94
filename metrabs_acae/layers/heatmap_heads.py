"""The prediction head: 2D and volumetric heatmaps from one 1x1 convolution, decoded to coordinates."""

from __future__ import annotations

from dataclasses import asdict

import keras
import numpy as np
from keras import ops

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.heatmaps import (
    CropGrid,
    at_least_float32,
    heatmap_entropy,
    heatmap_to_image,
    heatmap_to_metric,
    last_cell_px,
    soft_argmax,
)
from metrabs_acae.geometry.shapes import require_shape


@keras.saving.register_keras_serializable("metrabs_acae")
class HeatmapHeads(keras.layers.Layer):
    """Features to 2D crop coordinates and root-free 3D coordinates of `n_points` points (T-BIOM 2021, sec. III).

    The convolution runs in the layer's compute dtype, everything after it in float32. Its output channels are
    the `n_points` 2D heatmaps first, then the volumetric ones, depth-major (channel P + d P + j).

    Args:
        n_points: number of points P.
        depth: number of depth cells D of the volumetric heatmap.
        grid: how the features lie in the crop, and the size of the volumetric heatmap's cube.
    """

    def __init__(self, n_points: int, *, depth: int = 8, grid: CropGrid | dict | None = None, **kwargs):
        super().__init__(**kwargs)
        self.n_points = n_points
        self.depth = depth
        self.grid = CropGrid(**grid) if isinstance(grid, dict) else grid or CropGrid()
        self.conv = keras.layers.Conv2D(
            n_points * (1 + depth), 1, kernel_initializer="glorot_uniform", dtype=self.dtype_policy, name="conv"
        )

    def build(self, features_shape):
        require_cells(features_shape, self.grid)
        self.conv.build(features_shape)

    def call(self, features):
        """[B, H, W, C] to (coords2d_px [B, P, 2], coords3d_rel_mm [B, P, 3]), both float32."""
        return self.decode(self.conv(features))

    def decode(self, logits):
        """Logits [B, H, W, P (1 + D)] to the two sets of coordinates."""
        logits2d, logits3d = self._split(logits)
        cells = self.grid.cells
        coords2d_px = heatmap_to_image(soft_argmax(logits2d, (2, 1)), **cells)
        coords3d_mm = heatmap_to_metric(soft_argmax(logits3d, (2, 1, 3)), **cells, box_size_mm=self.grid.box_size_mm)
        return coords2d_px, coords3d_mm

    def entropy(self, logits):
        """Logits [B, H, W, P (1 + D)] to [B, P] in [0, 1]: how undecided each point's volumetric heatmap is."""
        return heatmap_entropy(self._split(logits)[1], (1, 2, 3))

    def _split(self, logits):
        """The 2D heatmaps [B, H, W, P] and the volumetric ones [B, H, W, D, P]."""
        logits2d, logits3d = ops.split(at_least_float32(logits), [self.n_points], axis=-1)
        return logits2d, ops.reshape(logits3d, (-1, *logits.shape[1:3], self.depth, self.n_points))

    def point_weights(self, part: slice) -> tuple[np.ndarray, np.ndarray]:
        """Kernel [1, 1, C, n (1 + D)] and bias [n (1 + D)] of a range of n points, channels as of a head of these."""
        kernel, bias = (_by_point(np.array(w), 1 + self.depth)[..., part] for w in self.conv.get_weights())
        return kernel.reshape(*kernel.shape[:-2], -1), bias.reshape(-1)

    def set_point_weights(self, part: slice, kernel, bias) -> None:
        """Gives a range of n points the weights of a head of n points, as `point_weights` gives them."""
        n_groups, n_new = 1 + self.depth, len(range(self.n_points)[part])
        new = [np.array(w) for w in self.conv.get_weights()]
        expected = (*new[0].shape[:3], n_new * n_groups)
        for name, value, shape in (("kernel", kernel, expected), ("bias", bias, expected[-1:])):
            require_shape(f"the {name} of {n_new} points", np.asarray(value), shape)
        for mine, theirs in zip(new, (kernel, bias), strict=True):
            _by_point(mine, n_groups)[..., part] = _by_point(np.asarray(theirs), n_groups)  # a view: fills `mine`
        self.conv.set_weights(new)

    def combined(self, weights, shares: np.ndarray, otherwise) -> list[np.ndarray]:
        """`point_weights` of n points, combined from those of m points.

        Args:
            shares: [m, n], what each of the m has in each of the n; where it is NaN, `otherwise` [n] stays.
        """
        new = []
        for theirs, mine in zip(weights, otherwise, strict=True):
            theirs, mine = (_by_point(np.asarray(w), 1 + self.depth) for w in (theirs, mine))
            found = np.where(np.isnan(shares[0]), mine, theirs @ np.nan_to_num(shares))
            new.append(found.reshape(*found.shape[:-2], -1))
        return new

    def get_config(self):
        config = {"n_points": self.n_points, "depth": self.depth, "grid": asdict(self.grid)}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable("metrabs_acae")
class VolumetricHead(keras.layers.Layer):
    """The volumetric half alone, as MeTRo and the 2.5D baseline use it; channel d P + j.

    Args:
        n_points, depth: as for `HeatmapHeads`.
        grid: to check the features against.
    """

    def __init__(self, n_points: int, *, depth: int = 8, grid: CropGrid, **kwargs):
        super().__init__(**kwargs)
        self.n_points = n_points
        self.depth = depth
        self.grid = CropGrid(**grid) if isinstance(grid, dict) else grid
        self.conv = keras.layers.Conv2D(n_points * depth, 1, dtype=self.dtype_policy, name="conv")

    def build(self, features_shape):
        require_cells(features_shape, self.grid)
        self.conv.build(features_shape)

    def call(self, features):
        """[B, H, W, C] to heatmap coordinates (x, y, z) in [0, 1]: [B, P, 3], float32."""
        logits = self.conv(features)
        return soft_argmax(ops.reshape(logits, (-1, *logits.shape[1:3], self.depth, self.n_points)), (2, 1, 3))

    def get_config(self):
        config = {"n_points": self.n_points, "depth": self.depth, "grid": asdict(self.grid)}
        return {**super().get_config(), **config}


def _by_point(weights: np.ndarray, n_groups: int) -> np.ndarray:
    """[..., n_groups P] as [..., n_groups, P]."""
    return weights.reshape(*weights.shape[:-1], n_groups, -1)


def require_cells(features_shape, grid: CropGrid) -> None:
    """Raises UserError unless features of this shape are the square map that the grid describes."""
    n_cells = last_cell_px(grid.image_size, grid.stride) // grid.stride + 1
    if len(features_shape) != 4 or tuple(features_shape[1:3]) != (n_cells, n_cells):
        raise UserError(
            f"features have shape {list(features_shape)}, expected [*, {n_cells}, {n_cells}, *] for "
            f"image_size {grid.image_size} and stride {grid.stride}."
        )
