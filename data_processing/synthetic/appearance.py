"""What a person looks like: skin, hair, and clothes painted on the body and pushed outwards a little.

Clothes follow from where a point lies on the mean body: height for the trunk and legs, the way along the arm for
sleeves. `Fields` holds these coordinates per vertex; `Look` holds one person's choices as plain arrays for the
shading kernel.
"""

from __future__ import annotations

import colorsys
import functools
from dataclasses import dataclass

import numpy as np
from numba import njit

from data_processing.synthetic.body import load_body

# Regions of the body's faces
HEAD, TORSO, ARM, HAND, LEG, FOOT, EYE = range(7)
# Rows of Look.materials
SKIN, TOP, BOTTOM, SHOE, HAIR, SOCK, DARK, LIP, WHITE = range(9)
N_MATERIALS = 9
# Columns of a material: two colours, then these
PATTERN, SCALE, PHASE, SHINE = 6, 7, 8, 9
N_MATERIAL_VALUES = 10
# Patterns
PLAIN, STRIPES, PINSTRIPES, CHECK, DOTS, BLOBS, PRINT, HALVES = range(8)
# Entries of Look.limits
WAIST, NECKLINE, SLEEVE, LEG_END, HAIRLINE, SOCK_TOP, BEARD = range(7)
# Columns of Fields.values
HEIGHT, ALONG_ARM, DOWN_LEG, HAIR_FIELD = range(4)
N_FOLDS = 24


@dataclass(frozen=True)
class Fields:
    """Per-vertex and per-face coordinates of the mean body, the same for every person.

    Attributes:
        rest: [V, 3] m, where patterns are evaluated.
        values: [V, 4] HEIGHT (m, crotch about 0, neck 0.65), ALONG_ARM (0 shoulder .. 1 wrist), DOWN_LEG (0 hip ..
            1 ankle), HAIR_FIELD (m inside the hairline).
        region: [F] uint8; paint: [F] uint8 material of painted facial features, 255 elsewhere.
        region_of_vertex: [V] uint8; folds: [N_FOLDS, V] smooth random waves around 1, the relief of cloth.
    """

    rest: np.ndarray
    values: np.ndarray
    region: np.ndarray
    paint: np.ndarray
    region_of_vertex: np.ndarray
    folds: np.ndarray


@dataclass(frozen=True)
class Look:
    """One person's appearance: materials [N_MATERIALS, N_MATERIAL_VALUES], limits [7], offset_mm [V] outwards."""

    materials: np.ndarray
    limits: np.ndarray
    offset_mm: np.ndarray


@dataclass(frozen=True)
class Outfit:
    """A dataset's fashion.

    Attributes:
        saturation, value: ranges of the clothes' colours.
        patterned: probability of a pattern.
        sleeves: range along the arm (0.1 tank top, 0.4 T-shirt, 1 long); legs: range down the leg (0.2 .. 1).
        loose_mm: how far clothes stand off; barefoot, shirtless: probabilities.
    """

    saturation: tuple[float, float] = (0.05, 0.8)
    value: tuple[float, float] = (0.1, 0.95)
    patterned: float = 0.5
    sleeves: tuple[float, ...] = (0.15, 0.35, 0.42, 0.5, 0.97, 0.97)
    legs: tuple[float, ...] = (0.3, 0.45, 0.55, 0.97, 0.97, 0.97)
    loose_mm: tuple[float, float] = (2, 18)
    barefoot: float = 0.1
    shirtless: float = 0.0


OUTFITS = {
    "everyday": Outfit(),
    "muted": Outfit((0.0, 0.35), (0.1, 0.75), 0.25, loose_mm=(2, 14)),
    "tight": Outfit((0.0, 0.6), (0.1, 0.5), 0.1, (0.12, 0.2, 0.35), (0.22, 0.3, 0.4), (0, 3), 0.7),
    "bright": Outfit((0.4, 1.0), (0.4, 1.0), 0.6),
    "dance": Outfit((0.0, 0.7), (0.05, 1.0), 0.3, (0.35, 0.6, 0.97), (0.7, 0.97), (8, 28)),
    "any": Outfit((0.0, 0.9), (0.05, 1.0), 0.4, loose_mm=(1, 24), barefoot=0.2, shirtless=0.12),
    "suit": Outfit((0.0, 0.15), (0.05, 0.2), 0.05, (0.97,), (0.97,), (1, 4), 0.0),
}


@functools.cache
def body_fields() -> Fields:
    body = load_body()
    rest = body.mean_vertices
    mirrored = np.abs(rest[:, :1]), rest[:, 1:]
    right_to_left = np.concatenate(mirrored, axis=1)
    joints = [body.mean_heads[body.names.index(n)] for n in ("upperarm01.L", "lowerarm01.L", "wrist.L")]
    hair = (rest[:, 2] - 0.868) + 0.9 * (rest[:, 1] + 0.085)
    values = np.stack([rest[:, 2], _along(right_to_left, joints), (0.08 - rest[:, 2]) / 0.80, hair], axis=1)
    by_bone = np.array([_region_of_bone(n) for n in body.names])
    of_vertex = by_bone[body.dominant_bone]
    corners = of_vertex[body.faces]
    region = np.where(corners[:, 1] == corners[:, 2], corners[:, 1], corners[:, 0]).astype(np.uint8)
    center = right_to_left[body.faces].mean(axis=1)
    eye = body.mean_heads[body.names.index("eye.L")]
    paint = np.full(len(region), 255, np.uint8)
    head = region == HEAD
    from_eye = center - eye
    paint[head & (np.hypot(from_eye[:, 0] / 1.5, from_eye[:, 2]) < 0.0065) & (center[:, 1] < -0.1)] = WHITE
    brow = (np.abs(from_eye[:, 0]) < 0.021) & (np.abs(from_eye[:, 2] - 0.022 + 0.1 * from_eye[:, 0]) < 0.005)
    paint[head & brow & (center[:, 1] < -0.1)] = HAIR
    mouth = (center[:, 0] / 0.026) ** 2 + ((center[:, 2] - 0.762) / 0.010) ** 2 < 1
    paint[head & mouth & (center[:, 1] < -0.1)] = LIP
    eyeball = np.linalg.norm(from_eye, axis=1) < 0.0185
    paint[eyeball] = WHITE
    paint[head & (np.hypot(from_eye[:, 0], from_eye[:, 2]) < 0.0065) & (center[:, 1] < -0.12)] = DARK
    return Fields(
        rest=rest,
        values=values.astype(np.float32),
        region=region,
        paint=paint,
        region_of_vertex=of_vertex.astype(np.uint8),
        folds=_folds(rest),
    )


def sample_look(rng: np.random.Generator, outfit: Outfit) -> Look:
    """A random person in the fashion of `outfit`."""
    materials = np.zeros((N_MATERIALS, N_MATERIAL_VALUES), np.float32)
    skin = _skin_color(rng)
    hair = _hair_color(rng)
    _set(materials, SKIN, skin, skin)
    _set(materials, HAIR, hair, hair * 0.6, BLOBS, rng.uniform(40, 120), rng)
    _set(materials, LIP, skin * (0.85, 0.6, 0.6), skin)
    _set(materials, DARK, np.array([25, 20, 18]), skin)
    _set(materials, WHITE, np.array([225, 222, 218]), skin)
    for slot in (TOP, BOTTOM, SHOE, SOCK):
        first, second = _cloth_color(rng, outfit), _cloth_color(rng, outfit)
        pattern, scale = PLAIN, 1.0
        if slot in (TOP, BOTTOM) and rng.random() < outfit.patterned * (1 if slot == TOP else 0.5):
            pattern = rng.integers(STRIPES, HALVES + 1)
            scale = np.exp(rng.uniform(np.log(8), np.log(40)))
        _set(materials, slot, first, second, pattern, scale, rng)
        materials[slot, SHINE] = rng.uniform(0, 0.15)
    materials[SKIN, SHINE] = rng.uniform(0.05, 0.2)
    materials[HAIR, SHINE] = 0.15
    limits = np.zeros(7, np.float32)
    limits[WAIST] = rng.uniform(0.06, 0.22)
    limits[NECKLINE] = rng.uniform(0.58, 0.68)
    limits[SLEEVE] = rng.choice(outfit.sleeves) + rng.uniform(-0.03, 0.03)
    limits[LEG_END] = rng.choice(outfit.legs) + rng.uniform(-0.03, 0.03)
    # Bald, cropped, or long hair; the line moves by centimetres.
    limits[HAIRLINE] = rng.choice([1.0, 0.02, 0.0, -0.01, -0.03, -0.06], p=[0.06, 0.14, 0.3, 0.2, 0.15, 0.15])
    limits[BEARD] = 0.0 if rng.random() < 0.8 else 1.0
    barefoot = rng.random() < outfit.barefoot
    limits[SOCK_TOP] = 2.0 if barefoot or rng.random() < 0.4 else rng.uniform(0.75, 0.95)
    if barefoot:
        materials[SHOE] = materials[SKIN]
    if outfit.shirtless and rng.random() < outfit.shirtless:
        limits[NECKLINE], limits[SLEEVE] = limits[WAIST], -1.0
    return Look(materials, limits, _offsets(rng, outfit, limits, barefoot))


def _set(materials, slot, first, second, pattern=PLAIN, scale=1.0, rng=None) -> None:
    materials[slot, :3], materials[slot, 3:6] = first, second
    materials[slot, PATTERN], materials[slot, SCALE] = pattern, scale
    materials[slot, PHASE] = rng.uniform(0, 6.28) if rng is not None else 0.0


def _offsets(rng, outfit: Outfit, limits, barefoot: bool) -> np.ndarray:
    """[V] mm by which clothes and hair stand off the skin."""
    fields = body_fields()
    hair = 0.0
    if limits[HAIRLINE] < 0.5:
        hair = rng.uniform(6, 22) if rng.random() < 0.75 else rng.uniform(20, 55)
    return _offset_kernel(
        fields.values,
        fields.region_of_vertex,
        fields.folds[rng.integers(N_FOLDS)],
        limits,
        rng.uniform(*outfit.loose_mm),
        rng.uniform(*outfit.loose_mm),
        rng.uniform(0, 1.2),
        hair,
        0.0 if barefoot else 5.0,
    )


def _folds(rest) -> np.ndarray:
    rng = np.random.default_rng(11)
    waves = rng.normal(0, 1, (N_FOLDS, 6, 3)) * np.array([10, 12, 16, 30, 40, 45])[:, None]
    phases = rng.uniform(0, 2 * np.pi, (N_FOLDS, 6))
    amplitudes = np.array([0.2, 0.2, 0.2, 0.12, 0.1, 0.1])
    relief = np.sin(np.einsum("fwd,vd->fvw", waves, rest) + phases[:, None]) @ amplitudes
    return (1 + relief).astype(np.float32)


@njit(cache=True)
def _offset_kernel(values, region, folds, limits, loose_top, loose_bottom, flare, hair_mm, shoe_mm):
    """[V] mm. `flare`: how much wider the garments get towards their ends."""
    offset = np.zeros(len(values), np.float32)
    for v in range(len(values)):
        height, arm, leg, hair = values[v, 0], values[v, 1], values[v, 2], values[v, 3]
        if region[v] == TORSO or region[v] == LEG:
            if height > limits[WAIST]:
                if height < limits[NECKLINE]:
                    offset[v] = loose_top * (1 + flare * min(max((0.4 - height) / 0.4, 0), 1)) * folds[v]
            elif leg < limits[LEG_END]:
                offset[v] = loose_bottom * (0.6 + flare * min(max(leg, 0), 1)) * folds[v]
        elif region[v] == ARM:
            if arm < limits[SLEEVE]:
                offset[v] = loose_top * 0.8 * (1 + 0.5 * flare * arm) * folds[v]
        elif region[v] == FOOT:
            offset[v] = shoe_mm
        elif region[v] == HEAD:
            offset[v] = hair_mm * min(max((hair - limits[HAIRLINE]) / 0.05, 0), 1) * (0.6 + 0.4 * folds[v])
    return offset


def _skin_color(rng) -> np.ndarray:
    tone = rng.random()
    light, dark = np.array([236, 188, 160.0]), np.array([74, 46, 32.0])
    return np.clip(dark + (light - dark) * tone**0.8 + rng.normal(0, 6, 3), 20, 250)


def _hair_color(rng) -> np.ndarray:
    palette = np.array([[22, 18, 16], [45, 30, 20], [90, 60, 35], [150, 110, 60], [120, 60, 30], [165, 160, 155]])
    return np.clip(palette[rng.choice(6, p=[0.3, 0.25, 0.18, 0.12, 0.07, 0.08])] * rng.uniform(0.8, 1.25), 5, 240)


def _cloth_color(rng, outfit: Outfit) -> np.ndarray:
    hsv = rng.random(), rng.uniform(*outfit.saturation), rng.uniform(*outfit.value)
    return np.array(colorsys.hsv_to_rgb(*hsv)) * 255


def _region_of_bone(name: str) -> int:
    stem = name.split(".")[0]
    if stem.startswith(("upperarm", "lowerarm")):
        return ARM
    if stem.startswith(("wrist", "finger", "metacarpal")):
        return HAND
    if stem.startswith(("upperleg", "lowerleg")):
        return LEG
    if stem.startswith(("foot", "toe")):
        return FOOT
    if stem in ("head", "eye", "neck02", "neck03"):
        return HEAD
    return TORSO


def _along(points, polyline) -> np.ndarray:
    """[N] position of the nearest point of the polyline, 0 .. 1, clamped at its ends."""
    segments = list(zip(polyline[:-1], polyline[1:], strict=True))
    lengths = [np.linalg.norm(b - a) for a, b in segments]
    best = np.full(len(points), np.inf)
    result = np.zeros(len(points))
    start = 0.0
    for (a, b), length in zip(segments, lengths, strict=True):
        t = np.clip((points - a) @ (b - a) / length**2, 0, 1)
        distance = np.linalg.norm(points - a - t[:, None] * (b - a), axis=1)
        nearer = distance < best
        result[nearer] = (start + t * length)[nearer]
        best = np.minimum(best, distance)
        start += length
    return result / sum(lengths)
