"""Where in a sequence left and right change places."""

from __future__ import annotations

import numpy as np

from metrabs_acae.data.store_checks import facing

MIN_JUMP_MM = 60.0
"""Joints change places when their mean step is longer than this and three times what it is with sides swapped."""
MIN_WRONG_FRAMES = 100
"""Shorter stretches are glitches of a tracker, not a fault of a file."""
MIN_VOTES = 20


def swapped_stretches(poses: np.ndarray, joint_names, mirror) -> list[tuple[int, int]]:
    """First and last index of the stretches of successive poses [N, J, 3] in which left and right are swapped.

    Where sides change places, sided joints jump to where their mirror images were. That cuts the sequence into
    stretches, of which every second is wrong: those in which fewer people face where their sides say. A sequence in
    one piece is wrong as a whole if most people in it face backwards.
    """
    mirror = np.asarray(mirror)
    sided = np.flatnonzero(mirror != np.arange(len(mirror)))
    votes = facing(poses, joint_names)
    if not len(sided) or len(poses) < 2:
        return []
    steps = _step(poses[1:, sided], poses[:-1, sided])
    swapped_steps = _step(poses[1:][:, mirror[sided]], poses[:-1, sided])
    with np.errstate(invalid="ignore"):
        cuts = 1 + np.flatnonzero((steps > MIN_JUMP_MM) & (steps > 3 * swapped_steps))
    edges = [0, *cuts.tolist(), len(poses)]
    stretches = [(a, b - 1) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    kinds = (stretches[::2], stretches[1::2])
    shares = [_share(votes, kind) for kind in kinds]
    if not kinds[1]:
        return stretches if shares[0] is not None and shares[0] < 0.3 else []
    lengths = [sum(b - a + 1 for a, b in kind) for kind in kinds]
    if None in shares or shares[0] == shares[1]:
        wrong = int(np.argmin(lengths))
    elif min(shares) > 0.5:
        return []  # both kinds face where their sides say: it was a jump of the tracker
    else:
        wrong = int(np.argmin(shares))
    return kinds[wrong] if lengths[wrong] >= min(MIN_WRONG_FRAMES, len(poses) / 2) else []


def _step(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """[N] mean distance of the joints; NaN where none is known in both."""
    with np.errstate(invalid="ignore"):
        distances = np.linalg.norm(now - before, axis=-1)
    known = np.isfinite(distances).any(-1)
    result = np.full(len(distances), np.nan)
    result[known] = np.nanmean(distances[known], axis=-1)
    return result


def _share(votes, stretches) -> float | None:
    """How many of the people in the stretches face where their sides say; None if hardly any does either."""
    if votes is None:
        return None
    cast = np.concatenate([votes[a : b + 1] for a, b in stretches] or [np.zeros(0)])
    cast = cast[cast != 0]
    return float((cast > 0).mean()) if len(cast) >= MIN_VOTES else None
