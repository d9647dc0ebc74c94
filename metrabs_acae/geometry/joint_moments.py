"""How the joints of all conventions vary together on people, and what that says of joints that are not known.

The best affine combination of given joints is ordinary kriging (Cressie, Statistics for Spatial Data, section 3.2).
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.files import replacing
from metrabs_acae.skeletons import Skeleton

FILE = Path(__file__).parent / "assets" / "joint_moments.npz"
RANK = 60
"""Of the stored moments; what lies beyond moves a joint by 1 mm."""
NOISE_MM = 20.0
"""How exactly given joints are trusted, root mean square distance: the best of 1, 5, 20 and 50 mm (docs/acae.md)."""


def affine_weights(given_mm2: np.ndarray, cross_mm2: np.ndarray, noise_mm: float = NOISE_MM) -> np.ndarray:
    """[S, T] weights, columns sum to 1, that predict T joints from S joints with the least mean square error.

    Args:
        given_mm2: [S, S] second moments of the given joints about any point of their pose, which are known with an
            error of `noise_mm` in addition.
        cross_mm2: [S, T] second moments of the given and the wanted joints.
    """
    n = len(given_mm2)
    system = np.ones((n + 1, n + 1))
    system[:n, :n] = given_mm2 + noise_mm**2 * np.eye(n)
    system[n, n] = 0
    weights = np.linalg.solve(system, np.concatenate([cross_mm2, np.ones((1, cross_mm2.shape[1]))]))[:-1]
    return weights / weights.sum(axis=0)


@dataclass(frozen=True)
class JointMoments:
    """Second moments of J joints about each pose's middle: means over poses, summed over coordinates, mm².

    Attributes:
        joint_names: J names.
        fitted: [J, R]; the moments on the poses that weights are fitted to are fitted @ fitted.T.
        held_out: [J, R]; likewise on other people in other motions, by which errors are stated.
    """

    joint_names: tuple[str, ...]
    fitted: np.ndarray
    held_out: np.ndarray

    @classmethod
    def of_poses(cls, fitted_mm: np.ndarray, held_out_mm: np.ndarray, joint_names: Sequence[str]) -> JointMoments:
        """Of [N, J, 3] poses and their mirror images."""
        mirror = Skeleton("", tuple(joint_names)).mirror
        return cls(tuple(joint_names), _factor(fitted_mm, mirror), _factor(held_out_mm, mirror))

    @classmethod
    @functools.cache
    def load(cls) -> JointMoments:
        """Those of the package: of the synthetic people of `python -m experiments.joint_moments`."""
        with np.load(FILE) as stored:
            factors = [stored[name].astype(np.float64) for name in ("fitted", "held_out")]
            return cls(tuple(stored["joint_names"].tolist()), *factors)

    def save(self, path: Path) -> None:
        """Writes the file that `load` reads."""
        with replacing(path) as temporary:
            np.savez_compressed(
                temporary,
                joint_names=np.array(self.joint_names),
                fitted=self.fitted.astype(np.float16),
                held_out=self.held_out.astype(np.float16),
            )

    def second_moments(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """[len(a), len(b)] mm² of joints by index."""
        return self.fitted[a] @ self.fitted[b].T

    def error_mm(self, given: np.ndarray, wanted: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """[T] root mean square errors, on held-out people, of wanted joints that `weights` [S, T] make of given ones.

        Args:
            given, wanted: [S], [T] indices of joints.
        """
        return np.linalg.norm(self.held_out[wanted] - weights.T @ self.held_out[given], axis=1)

    def agreed(self, poses_mm: np.ndarray, joint_names: Sequence[str]) -> np.ndarray:
        """[N, J, 3] poses of several skeletons -> the poses nearby in which these lie to each other as on a body."""
        index = Skeleton("joint moments", self.joint_names).indices(joint_names)
        moments = self.second_moments(index, index)
        return np.einsum("njd,jk->nkd", poses_mm, affine_weights(moments, moments), optimize=True)


def _factor(poses_mm: np.ndarray, mirror: np.ndarray) -> np.ndarray:
    """[J, R] of [N, J, 3] poses and their mirror images."""
    centered = np.asarray(poses_mm, np.float64) - poses_mm.mean(axis=1, keepdims=True, dtype=np.float64)
    columns = np.moveaxis(centered, 1, 2).reshape(-1, len(mirror))
    moments = columns.T @ columns / len(poses_mm)
    values, vectors = np.linalg.eigh((moments + moments[mirror][:, mirror]) / 2)
    return vectors[:, -RANK:] * np.sqrt(np.maximum(values[-RANK:], 0))
