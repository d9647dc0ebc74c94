"""The order left, right, centre of joints and latents, and weight matrices that commute with mirroring.

A chirality-equivariant matrix (rows: inputs, columns: outputs) shares its blocks:

    |        | left | right | centre |
    |--------|------|-------|--------|
    | left   | s    | q     | x      |
    | right  | q    | s     | x      |
    | centre | c    | c     | z      |

`AffineCombination` holds the blocks, and the fit of the autoencoder holds them as two arrays, one per kind of output:
`sided` = [s; q; c] and `central` = [x; z]. A matrix without that symmetry is the special case of no pairs, where z =
`central` is the whole matrix. The decoder uses the same form with latents as inputs and joints as outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.joint_names import mirror_name, side


@dataclass(frozen=True)
class Layout:
    """How many mirrored pairs of points there are, and which points.

    Attributes:
        order: [n] indices of the points as left ones, right ones (in the same sequence), central ones.
        n_pairs: number of left points, which is that of right points.
    """

    order: np.ndarray
    n_pairs: int

    @property
    def n_points(self) -> int:
        return len(self.order)

    @property
    def n_center(self) -> int:
        return self.n_points - 2 * self.n_pairs

    @property
    def inverse(self) -> np.ndarray:
        """[n] where each point stands in `order`."""
        return np.argsort(self.order)

    @property
    def mirror(self) -> np.ndarray:
        """[n] index of each point's mirror image, points numbered as before ordering."""
        swapped = self.order[mirrored_order(self.n_pairs, self.n_center)]
        return swapped[self.inverse]


def mirrored_order(n_pairs: int, n_center: int) -> np.ndarray:
    """[n] the mirror map of points that already stand in the order left, right, centre."""
    pairs = np.arange(n_pairs)
    return np.concatenate([n_pairs + pairs, pairs, 2 * n_pairs + np.arange(n_center)])


def layout_of(joint_names: Sequence[str], *, chiral: bool = True) -> Layout:
    """The layout of joints by their names' first letter; without `chiral` every joint counts as central.

    Raises:
        UserError: a left or right joint without its partner, or a name given twice.
    """
    names = [str(n) for n in joint_names]
    index = {name: i for i, name in enumerate(names)}
    if len(index) != len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        raise UserError(f"Joint names must be unique, but these appear more than once: {_shown(twice)}.")
    if not chiral:
        return Layout(np.arange(len(names)), 0)
    sided = [n for n in names if side(n) != "c"]
    alone = [n for n in sided if mirror_name(n) not in index]
    if alone:
        raise UserError(
            f"{len(alone)} joint names start with l (left) or r (right) but have no partner on the other side: "
            f"{_shown(alone)}; rename or drop them, or set chiral=False."
        )
    left = [n for n in sided if side(n) == "l"]
    ordered = left + [mirror_name(n) for n in left] + [n for n in names if side(n) == "c"]
    return Layout(np.array([index[n] for n in ordered], np.int64), len(left))


def latent_names(n_pairs: int, n_center: int) -> tuple[str, ...]:
    """Names of latents in the order left, right, centre: ``l00``, ``r00``, ``c00``."""
    sided = [f"{s}{i:02d}" for s in "lr" for i in range(n_pairs)]
    return (*sided, *(f"c{i:02d}" for i in range(n_center)))


def assemble(sided: np.ndarray, central: np.ndarray, n_pairs: int) -> np.ndarray:
    """[n_in, n_out] matrix of its two arrays [2P + C, P'] and [P + C, C'], with `n_pairs` = P of the inputs."""
    b = named_blocks(sided, central, n_pairs)
    return np.block([[b["s"], b["q"], b["x"]], [b["q"], b["s"], b["x"]], [b["c"], b["c"], b["z"]]])


def named_blocks(sided: np.ndarray, central: np.ndarray, n_pairs: int) -> dict[str, np.ndarray]:
    """The blocks s, q, c, x, z in the two arrays, with `n_pairs` = P of the inputs."""
    s, q, c = np.split(sided, [n_pairs, 2 * n_pairs])
    x, z = np.split(central, [n_pairs])
    return {"s": s, "q": q, "c": c, "x": x, "z": z}


def disassemble(matrix: np.ndarray, n_pairs: int, n_pairs_out: int) -> tuple[np.ndarray, np.ndarray]:
    """The two arrays of a matrix [n_in, n_out], made symmetric by averaging it with its mirrored self."""
    mirror_in = mirrored_order(n_pairs, matrix.shape[0] - 2 * n_pairs)
    mirror_out = mirrored_order(n_pairs_out, matrix.shape[1] - 2 * n_pairs_out)
    matrix = (matrix + matrix[np.ix_(mirror_in, mirror_out)]) / 2
    central = matrix[:, 2 * n_pairs_out :]
    return matrix[:, :n_pairs_out], np.concatenate([central[:n_pairs], central[2 * n_pairs :]])


def normalize_columns(matrix: np.ndarray) -> np.ndarray:
    """The matrix with each column divided by its sum, float64; a column of zeros becomes equal weights."""
    matrix = np.asarray(matrix, np.float64)
    matrix = np.where((matrix == 0).all(axis=0), 1.0, matrix)
    return matrix / matrix.sum(axis=0)


def _shown(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (" ..." if len(names) > 5 else "")
