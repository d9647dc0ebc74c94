"""Points as learned affine combinations of other points: one half of the affine-combining autoencoder (ACAE)."""

from __future__ import annotations

import keras
from keras import ops

from metrabs_acae.errors import UserError
from metrabs_acae.geometry.points import combine_points

WEIGHT_KINDS = ("nonnegative", "affine")
_SMALLEST_SUM = 1e-6


@keras.saving.register_keras_serializable(package="metrabs_acae")
class AffineCombination(keras.layers.Layer):
    """[B, n_in, D] points -> [B, n_out, D] points; each output's weights sum to 1 (ACAE, WACV 2023).

    So the layer commutes with rotation and translation. Points are ordered left, right, centre; the i-th left and the
    i-th right point are mirror images. If `chiral`, the weight matrix shares its blocks so that mirrored inputs give
    mirrored outputs (rows: inputs, columns: outputs):

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

    Raises:
        UserError: odd or negative counts, unknown `weights`, inputs of another number of points.
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
            return self.add_weight(
                name=name,
                shape=(n_rows, n_columns),
                initializer=keras.initializers.RandomUniform(0.0 if nonnegative else -0.1, 1.0),
                constraint=keras.constraints.NonNeg() if nonnegative else None,
            )

        (sided_rows, center_rows), (sided_columns, center_columns) = rows, columns
        shapes = {
            "s": (sided_rows, sided_columns),
            "q": (sided_rows, sided_columns),
            "c": (center_rows, sided_columns),
            "x": (sided_rows, center_columns),
            "z": (center_rows, center_columns),
        }
        self.blocks = {name: block(name, *shape) for name, shape in shapes.items()}
        if not self.chiral:
            self.blocks |= {f"{name}_2": block(f"{name}_2", *shapes[name]) for name in "sqcx"}

    def matrix(self):
        """The normalized weight matrix [n_in, n_out]; each column sums to 1."""
        first = self.blocks
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
        return matrix / ops.sum(matrix, axis=0, keepdims=True)

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
        }
