"""Points as learned affine combinations of other points: one half of the affine-combining autoencoder (ACAE)."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.points import combine_points
from metrabs_acae.geometry.shapes import require_shape
from metrabs_acae.layers.blocks import Layout, disassemble, named_blocks

WEIGHT_KINDS = ("nonnegative", "affine")
_SMALLEST_SUM = 1e-6
_MIRROR_TOLERANCE = 1e-7  # the rounding of float32 weights


@keras.saving.register_keras_serializable(package="metrabs_acae")
class AffineCombination(keras.layers.Layer):
    """[B, n_in, D] points -> [B, n_out, D] points; each output's weights sum to 1 (ACAE, WACV 2023).

    So the layer commutes with rotation and translation. Points are ordered left, right, centre (or `in_order` and
    `out_order` say which ones are); the i-th left and the i-th right point are mirror images. If `chiral`, the weight
    matrix shares its blocks so that mirrored inputs give mirrored outputs (rows: inputs, columns: outputs):

    |        | left | right | centre |
    |--------|------|-------|--------|
    | left   | s    | q     | x      |
    | right  | q    | s     | x      |
    | centre | c    | c     | z      |

    If not, the second s, q, x and c are parameters of their own (`s_2`, ...). `matrix()` divides each column by its
    sum.

    With "affine" weights the parameters are unconstrained (the paper's). With "nonnegative" ones every output is a
    convex combination: negative parameters are set to exact zeros after each update (projected gradient), and a zero
    still receives its gradient, so that a weight can come back. A column of zeros stands for equal weights.

    Args:
        n_sided_in, n_sided_out: number of left and right points together; even.
        n_center_in, n_center_out: number of central points.
        chiral: see above.
        weights: "nonnegative" or "affine".
        transposed: the parameters have the block shapes of the opposite layer (outputs x inputs) and their matrix is
            transposed before it is normalized. The decoder of the ACAE is `transposed`.
        in_order, out_order: the points as they come, by their numbers: left ones, right ones (in the same sequence),
            central ones; None: they come in this order.
        frozen: the weights never train, whatever `trainable` is set to.

    Raises:
        UserError: odd or negative counts, unknown `weights`, orders that are none, inputs of another number of points.
    """

    def __init__(
        self,
        n_sided_in: int,
        n_center_in: int,
        n_sided_out: int,
        n_center_out: int,
        *,
        chiral: bool = True,
        weights: str = "nonnegative",
        transposed: bool = False,
        in_order: Sequence[int] | None = None,
        out_order: Sequence[int] | None = None,
        frozen: bool = False,
        **kwargs,
    ):
        # Half precision would round coordinates in millimetres to centimetres.
        super().__init__(**{"dtype": "float32", **kwargs})
        for name, n_sided, n_center in (("in", n_sided_in, n_center_in), ("out", n_sided_out, n_center_out)):
            if n_sided % 2 or min(n_sided, n_center) < 0 or n_sided + n_center < 1:
                raise UserError(
                    f"n_sided_{name} must be even (left and right points together), n_center_{name} at least 0, and at "
                    f"least one point must remain, got {n_sided} and {n_center}."
                )
        if weights not in WEIGHT_KINDS:
            raise UserError(f"weights must be one of {', '.join(WEIGHT_KINDS)}, got {weights!r}.")
        self.n_sided_in, self.n_center_in = n_sided_in, n_center_in
        self.n_sided_out, self.n_center_out = n_sided_out, n_center_out
        self.chiral = chiral
        self.weight_kind = weights
        self.transposed = transposed
        self.frozen = frozen
        self.in_order = _checked_order("in_order", in_order, self.n_in)
        self.out_order = _checked_order("out_order", out_order, self.n_out)

    @classmethod
    def from_matrix(
        cls, matrix: np.ndarray, *, layout_in: Layout | None = None, layout_out: Layout | None = None, **kwargs
    ) -> AffineCombination:
        """A layer, already built, whose `matrix()` is the given one up to the rounding of float32.

        Its weights are nonnegative if all of the matrix are; it is chiral if both layouts are given and mirroring
        commutes with the matrix. If not, all points count as central.

        Args:
            matrix: [n_in, n_out]; columns sum to 1.
            layout_in, layout_out: `blocks.layout_of` the points.
            kwargs: of the layer.

        Raises:
            UserError: columns that do not sum to 1.
        """
        matrix = np.asarray(matrix, np.float64)
        require_shape("the weight matrix", matrix, (None, None))
        sums = matrix.sum(axis=0)
        if not np.allclose(sums, 1, rtol=0, atol=1e-3):
            raise UserError("The weights of each combined point must sum to 1 (the columns of the weight matrix).")
        layouts = layout_in, layout_out
        if None in layouts or not _commutes_with_mirroring(matrix, *layouts):
            layouts = [Layout(np.arange(n), 0) for n in matrix.shape]
        layout_in, layout_out = layouts
        layer = cls(
            2 * layout_in.n_pairs,
            layout_in.n_center,
            2 * layout_out.n_pairs,
            layout_out.n_center,
            weights="nonnegative" if matrix.min() >= 0 else "affine",
            in_order=layout_in.order.tolist(),
            out_order=layout_out.order.tolist(),
            **kwargs,
        )
        layer.build()
        for name, value in layer.blocks_of(matrix / sums).items():
            layer.blocks[name].assign(value)
        return layer

    def blocks_of(self, matrix: np.ndarray) -> dict[str, np.ndarray]:
        """The values of `blocks` for a matrix [n_in, n_out]; only of a chiral layer that is not `transposed`.

        What does not commute with mirroring is averaged away.
        """
        if self.transposed or not self.chiral:
            raise UserError("Only a chiral layer that is not transposed can take its blocks from a matrix.")
        rows, columns = (slice(None) if order is None else order for order in (self.in_order, self.out_order))
        n_pairs, n_pairs_out = self.n_sided_in // 2, self.n_sided_out // 2
        arrays = disassemble(np.asarray(matrix)[rows][:, columns], n_pairs, n_pairs_out)
        return {name: value for name, value in named_blocks(*arrays, n_pairs).items() if value.size}

    @property
    def n_in(self) -> int:
        return self.n_sided_in + self.n_center_in

    @property
    def n_out(self) -> int:
        return self.n_sided_out + self.n_center_out

    def build(self, input_shape=None):
        rows, columns = (self.n_sided_in // 2, self.n_center_in), (self.n_sided_out // 2, self.n_center_out)
        if self.transposed:
            rows, columns = columns, rows
        nonnegative = self.weight_kind == "nonnegative"

        def block(name, n_rows, n_columns):
            initializer = "ones"  # a frozen layer's are set later: a random draw would shift those of other layers
            if not self.frozen:
                initializer = keras.initializers.RandomUniform(0.0 if nonnegative else -0.1, 1.0)
            return self.add_weight(
                name=name,
                shape=(n_rows, n_columns),
                initializer=initializer,
                constraint=keras.constraints.NonNeg() if nonnegative else None,
                trainable=not self.frozen,
            )

        (sided_rows, center_rows), (sided_columns, center_columns) = rows, columns
        shapes = {
            "s": (sided_rows, sided_columns),
            "q": (sided_rows, sided_columns),
            "c": (center_rows, sided_columns),
            "x": (sided_rows, center_columns),
            "z": (center_rows, center_columns),
        }
        if not self.chiral:
            shapes |= {f"{name}_2": shapes[name] for name in "sqcx"}
        self.shapes = shapes
        self.blocks = {name: block(name, *shape) for name, shape in shapes.items() if 0 not in shape}

    def matrix(self):
        """The normalized weight matrix [n_in, n_out] of the points as they come; each column sums to 1."""
        first = {name: self.blocks[name] if name in self.blocks else ops.zeros(s) for name, s in self.shapes.items()}
        second = {name: first[name if self.chiral else f"{name}_2"] for name in "sqcx"}
        matrix = ops.concatenate(
            [
                ops.concatenate([first["s"], first["q"], first["x"]], axis=1),
                ops.concatenate([second["q"], second["s"], second["x"]], axis=1),
                ops.concatenate([first["c"], second["c"], first["z"]], axis=1),
            ],
            axis=0,
        )
        if self.transposed:
            matrix = ops.transpose(matrix)
        if self.weight_kind == "nonnegative":
            # The parameters are nonnegative after any update; this covers values that were set from outside. The
            # gradient passes straight through, because that of a maximum would be lost at zero.
            matrix = matrix + ops.stop_gradient(ops.maximum(matrix, 0.0) - matrix)
            is_empty = ops.sum(matrix, axis=0, keepdims=True) < _SMALLEST_SUM
            matrix = matrix + ops.cast(is_empty, matrix.dtype)
        matrix = matrix / ops.sum(matrix, axis=0, keepdims=True)
        for axis, order in enumerate((self.in_order, self.out_order)):
            if order is not None:
                matrix = ops.take(matrix, np.argsort(order), axis=axis)
        return matrix

    def call(self, points):
        if len(points.shape) != 3 or points.shape[1] != self.n_in:
            raise UserError(
                f"The affine combination takes {self.n_in} points ({self.n_sided_in} left and right, "
                f"{self.n_center_in} central) as [B, points, D], got the shape {tuple(points.shape)}."
            )
        return combine_points(points, self.matrix())

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.n_out, input_shape[-1])

    def get_config(self):
        return {
            **super().get_config(),
            "n_sided_in": self.n_sided_in,
            "n_center_in": self.n_center_in,
            "n_sided_out": self.n_sided_out,
            "n_center_out": self.n_center_out,
            "chiral": self.chiral,
            "weights": self.weight_kind,
            "transposed": self.transposed,
            "in_order": self.in_order,
            "out_order": self.out_order,
            "frozen": self.frozen,
        }


def _commutes_with_mirroring(matrix: np.ndarray, layout_in: Layout, layout_out: Layout) -> bool:
    return np.allclose(matrix, matrix[np.ix_(layout_in.mirror, layout_out.mirror)], rtol=0, atol=_MIRROR_TOLERANCE)


def _checked_order(name: str, order: Sequence[int] | None, n_points: int) -> list[int] | None:
    order = None if order is None else [int(i) for i in order]
    if order is not None and sorted(order) != list(range(n_points)):
        raise UserError(f"{name} must hold each of the numbers 0 to {n_points - 1} once, got {order}.")
    return order
