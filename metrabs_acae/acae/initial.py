"""Where the latents start: at joints chosen one after another so that affine combinations explain most of the rest.

From random weights all latents start in the middle of the body, and most training runs end in worse minima
(docs/acae.md). Starting each latent at a joint of its own avoids them.
"""

from __future__ import annotations

import numpy as np

from metrabs_acae.layers.blocks import Layout, disassemble, mirrored_order

_SPREAD_MM = 30.0
_RAW_SUM = 4.0
_RAW_NOISE = 0.03


def choose_joints(
    positions: np.ndarray,
    n_pairs: int,
    n_latent_pairs: int,
    n_center_latents: int,
    *,
    rng: np.random.Generator | None = None,
    perturbation: float = 0.0,
) -> tuple[list[int], list[int]]:
    """Greedy selection of the pairs and of the central points whose span leaves the least squared residual.

    Works on half sums ("even") and half differences ("odd") of left and right: choosing a pair removes one direction
    from each of both Gram matrices, choosing a central point (a central joint, or the middle of a pair) one from the
    even matrix only.

    Args:
        positions: [N, J, D] joints in the order left, right, centre; whatever the residual should be measured in.
        perturbation: standard deviation of the log of random factors on the scores; 0: the plain greedy choice.

    Returns:
        indices of pairs, and indices of even points (a pair's index stands for its middle; P + i for central joint i).
    """
    centered = positions - positions.mean(axis=1, keepdims=True)
    columns = np.moveaxis(centered, 1, -1).reshape(-1, positions.shape[1])
    left, right, center = np.split(columns, [n_pairs, 2 * n_pairs], axis=1)
    # A pair counts twice in the sum over joints: |l|^2 + |r|^2 = |e|^2 + |o|^2 with these factors.
    even = np.concatenate([(left + right) / np.sqrt(2), center], axis=1)
    odd = (left - right) / np.sqrt(2)
    gram_even, gram_odd = even.T @ even, odd.T @ odd
    tiny = 1e-9 * (np.trace(gram_even) + np.trace(gram_odd)) + 1e-30

    pairs: list[int] = []
    central: list[int] = []
    for _ in range(n_latent_pairs + n_center_latents):
        gain_even = _explained(gram_even, tiny)
        # Both kinds are compared by the gain per latent.
        gains = np.concatenate([(gain_even[:n_pairs] + _explained(gram_odd, tiny)) / 2, gain_even])
        if rng is not None and perturbation:
            gains = gains * np.exp(perturbation * rng.standard_normal(gains.size))
        gains[pairs] = -1
        gains[[n_pairs + i for i in central]] = -1
        if len(pairs) == n_latent_pairs:
            gains[:n_pairs] = -1
        if len(central) == n_center_latents:
            gains[n_pairs:] = -1
        best = int(np.argmax(gains))
        if best < n_pairs:
            pairs.append(best)
            gram_even, gram_odd = _eliminate(gram_even, best, tiny), _eliminate(gram_odd, best, tiny)
        else:
            central.append(best - n_pairs)
            gram_even = _eliminate(gram_even, best - n_pairs, tiny)
    return pairs, central


def initial_parameters(
    positions_mm: np.ndarray, layout: Layout, pairs: list[int], central: list[int], rng: np.random.Generator
) -> np.ndarray:
    """Flat float32 parameters (see `kernels`) of an autoencoder whose latents stand at the chosen points.

    Every joint is decoded from, and every latent encoded from, what lies within a few centimetres on average.

    Args:
        positions_mm: [N, J, 3] a few hundred poses, joints in the order left, right, centre.
        pairs, central: as returned by `choose_joints`.
    """
    n_pairs, n_center = layout.n_pairs, layout.n_center
    halves = (positions_mm[:, :n_pairs] + positions_mm[:, n_pairs : 2 * n_pairs]) / 2
    even_points = np.concatenate([halves, positions_mm[:, 2 * n_pairs :]], axis=1)
    sided = np.asarray(pairs, np.int64)
    latents = np.concatenate(
        [positions_mm[:, sided], positions_mm[:, n_pairs + sided], even_points[:, np.asarray(central, np.int64)]],
        axis=1,
    )
    distances = np.stack(
        [np.linalg.norm(positions_mm - latents[:, i : i + 1], axis=-1).mean(axis=0) for i in range(latents.shape[1])],
        axis=1,
    )
    mirror = mirrored_order(n_pairs, n_center)
    latent_mirror = mirrored_order(len(pairs), len(central))
    distances = (distances + distances[np.ix_(mirror, latent_mirror)]) / 2
    nearness = np.exp(-(distances - distances.min(axis=0)) / _SPREAD_MM)
    encoder = nearness / nearness.sum(axis=0)
    nearness = np.exp(-(distances.T - distances.min(axis=1)) / _SPREAD_MM)
    decoder = nearness / nearness.sum(axis=0)
    parts = [
        *disassemble(_RAW_SUM * encoder, n_pairs, len(pairs)),
        *disassemble(_RAW_SUM * decoder, len(pairs), n_pairs),
    ]
    return np.concatenate([(p + _RAW_NOISE * rng.random(p.shape)).ravel() for p in parts]).astype(np.float32)


def random_parameters(
    layout: Layout, n_latent_pairs: int, n_center_latents: int, rng: np.random.Generator, *, nonnegative: bool
) -> np.ndarray:
    """Flat float32 parameters drawn uniformly from (-0.1, 1), as the public reference does, or from (0, 1)."""
    encoder_rows = 2 * layout.n_pairs + layout.n_center, layout.n_pairs + layout.n_center
    decoder_rows = 2 * n_latent_pairs + n_center_latents, n_latent_pairs + n_center_latents
    count = encoder_rows[0] * n_latent_pairs + encoder_rows[1] * n_center_latents
    count += decoder_rows[0] * layout.n_pairs + decoder_rows[1] * layout.n_center
    return rng.uniform(0.0 if nonnegative else -0.1, 1.0, count).astype(np.float32)


def _explained(gram: np.ndarray, tiny: float) -> np.ndarray:
    """[n] how much of the summed squares vanishes when each column's direction is projected out."""
    return (gram**2).sum(axis=0) / (np.diag(gram) + tiny)


def _eliminate(gram: np.ndarray, i: int, tiny: float) -> np.ndarray:
    return gram - np.outer(gram[:, i], gram[i]) / (gram[i, i] + tiny)
