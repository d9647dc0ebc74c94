"""Are these people in millimetres? Judged by how long their limbs are."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.joint_names import base_and_convention, code

LIMBS_MM = {("hip", "kne"): 420.0, ("kne", "ank"): 400.0, ("sho", "elb"): 290.0, ("elb", "wri"): 255.0}
"""Lengths in a grown-up, by the codes of their ends: nearly every convention has these."""
EXTENT_MM = 1300.0
"""The largest extent, along an axis, of a body in usual poses; where the limbs are not there by name."""
PLAUSIBLE = (0.2, 5.0)
"""Sizes relative to a grown-up that may be millimetres: a newborn child has 0.3, a grown-up in centimetres 0.1."""
POINT = 3e-4
"""Joints closer together than in a body in metres stand at one point: no matter of units."""
UNITS_MM = {
    "metres": 1000.0,
    "feet": 304.8,
    "inches": 25.4,
    "centimetres": 10.0,
    "tenths of a millimetre": 0.1,
    "micrometres": 0.001,
}
_MOST = 500


def require_mm(what: str, coords: np.ndarray, joint_names: Sequence[str]) -> None:
    """UserError if the bodies [N, J, 3] are of a size that says another unit than millimetres; NaN are no labels."""
    unit = likely_unit(coords, joint_names)
    if unit != "millimetres":
        size = relative_size(_seen(coords), joint_names)
        raise UserError(
            f"{what} looks like {unit} (the median body is {size:.2g} times as large as a grown-up in mm); "
            f"millimetres are expected: multiply by {UNITS_MM[unit]:g}."
        )


def likely_unit(coords: np.ndarray, joint_names: Sequence[str]) -> str:
    """``"millimetres"``, also where nothing speaks against it, or the one of `UNITS_MM` that makes the size right.

    Args:
        coords: [N, J, 3] in any frame, relative or absolute; NaN where not labelled.
        joint_names: J names, in any spelling.
    """
    size = relative_size(_seen(coords), joint_names)
    if not size > POINT or PLAUSIBLE[0] < size < PLAUSIBLE[1]:
        return "millimetres"
    return min(UNITS_MM, key=lambda unit: abs(np.log(size * UNITS_MM[unit])))


def relative_size(coords: np.ndarray, joint_names: Sequence[str]) -> float:
    """How many times as large as a grown-up in millimetres the median body is; NaN if that cannot be said."""
    sample = _sample(coords)
    sample = np.where(np.isfinite(sample).all(-1, keepdims=True), sample, np.nan)
    if not sample.size:
        return float("nan")
    lengths = [
        np.linalg.norm(sample[:, a] - sample[:, b], axis=-1) / LIMBS_MM[limb[0][1:], limb[1][1:]]
        for limb, a, b in limbs(joint_names)
    ]
    medians = [np.median(known) for known in (x[np.isfinite(x)] for x in lengths) if len(known)]
    if medians:
        return float(np.median(medians))
    several = sample[np.isfinite(sample[..., 0]).sum(1) > 1]
    if not len(several):
        return float("nan")
    return float(np.median((np.nanmax(several, 1) - np.nanmin(several, 1)).max(1)) / EXTENT_MM)


def _seen(coords: np.ndarray) -> np.ndarray:
    """Some bodies; joints at exactly zero, which is what some files hold for those that nobody saw, are NaN."""
    coords = _sample(coords)
    return np.where(np.any(coords, axis=-1, keepdims=True), coords, np.nan)


def _sample(coords: np.ndarray) -> np.ndarray:
    """Some bodies, evenly from all."""
    rows = np.unique(np.linspace(0, len(coords) - 1, min(_MOST, len(coords))).round().astype(np.int64))
    return np.asarray(coords[rows], np.float64)


def limbs(joint_names: Sequence[str]) -> list[tuple[tuple[str, str], int, int]]:
    """(codes of the ends, e.g. ``("lhip", "lkne")``, their indices) of the limbs of all conventions among the names."""
    index = {(code(n), base_and_convention(n)[1]): i for i, n in enumerate(joint_names)}
    conventions = dict.fromkeys(convention for _, convention in index)
    named = itertools.product(conventions, ((side + a, side + b) for side in "lr" for a, b in LIMBS_MM))
    return [((a, b), index[a, c], index[b, c]) for c, (a, b) in named if (a, c) in index and (b, c) in index]
