"""Left and right by the labels alone: which way people face by their sides, and where the sides change places."""

from __future__ import annotations

import numpy as np

MIN_JUMP_MM = 60.0
"""Joints change places when their mean step is longer than this and three times what it is with sides swapped."""
MIN_WRONG_FRAMES = 100
"""Shorter stretches are glitches of a tracker, not a fault of a file."""
MIN_VOTES = 20


def facing(coords: np.ndarray, joint_names) -> np.ndarray | None:
    """[N] for poses [N, J, 3]: 1 if the front points lie where left and right say, -1 if behind, 0 if neither.

    With the left hip on the person's left, nose and toes point forward; without any of these, knees bend forward. None
    where the joints do not allow to tell.
    """
    index: dict[str, int] = {}
    for i, name in enumerate(joint_names):
        index.setdefault(name.split("_")[0], i)

    def point(base: str) -> np.ndarray | None:
        return coords[:, index[base]] if base in index else None

    across = [(point(f"l{b}"), point(f"r{b}")) for b in ("hip", "sho")]
    across = [left - right for left, right in across if left is not None and right is not None]
    low = next((p for b in ("pelv", "mhip") if (p := point(b)) is not None), None)
    if low is None and "lhip" in index:
        low = (point("lhip") + point("rhip")) / 2
    high = next((p for b in ("neck", "thor", "head") if (p := point(b)) is not None), None)
    if high is None and "lsho" in index:
        high = (point("lsho") + point("rsho")) / 2
    if not across or low is None or high is None:
        return None
    forward = np.cross(across[0], high - low)
    pairs = [("nose", "neck"), ("nose", "head"), ("leye", "lear"), ("reye", "rear")]
    pairs += [(f"{s}{a}", f"{s}{b}") for s in "lr" for a, b in (("toe", "ank"), ("foo", "ank"), ("toe", "hee"))]
    votes = [
        np.sign(np.einsum("nd,nd->n", forward, point(a) - point(b))) for a, b in pairs if a in index and b in index
    ]
    if not votes:
        middle = [(point(f"{s}hip"), point(f"{s}kne"), point(f"{s}ank")) for s in "lr" if f"{s}ank" in index]
        votes = [np.sign(np.einsum("nd,nd->n", forward, k - (h + a) / 2)) for h, k, a in middle]
    if not votes:
        return None
    with np.errstate(invalid="ignore"):
        return np.sign(np.nansum(votes, axis=0))


def forwardness(coords: np.ndarray, joint_names) -> float | None:
    """The share of people whose front points lie on the side that their left and right imply; None if untestable."""
    votes = facing(coords, joint_names)
    return None if votes is None or not votes.any() else float((votes[votes != 0] > 0).mean())


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
    if None in shares or shares[0] == shares[1]:
        lengths = [sum(b - a + 1 for a, b in kind) for kind in kinds]
        wrong = kinds[int(np.argmin(lengths))]
    else:
        wrong = kinds[int(np.argmin(shares))]
        if min(shares) > 0.5:
            return []  # both kinds face where their sides say: it was a jump of the tracker
    total = sum(b - a + 1 for a, b in wrong)
    return wrong if total >= min(MIN_WRONG_FRAMES, len(poses) / 2) else []


def _step(now: np.ndarray, before: np.ndarray) -> np.ndarray:
    """[N] median distance of the joints; NaN where none is known in both."""
    with np.errstate(invalid="ignore"):
        distances = np.linalg.norm(now - before, axis=-1)
    known = np.isfinite(distances).any(-1)
    result = np.full(len(distances), np.nan)
    result[known] = np.nanmean(distances[known], axis=-1)
    return result


def _share(votes, stretches) -> float | None:
    if votes is None:
        return None
    cast = np.concatenate([votes[a : b + 1] for a, b in stretches] or [np.zeros(0)])
    cast = cast[cast != 0]
    return float((cast > 0).mean()) if len(cast) >= MIN_VOTES else None
