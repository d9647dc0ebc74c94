"""Poses: frames of motion clips and procedural limbs, mixed, mirrored and jittered.

A pose is [13, 3, 3]: the global rotation of each of `body.PARTS`, identity = rest pose, facing -y after `heading_free`.
"""

from __future__ import annotations

import functools

import numpy as np

from data_processing.synthetic.body import (
    ASSETS,
    MIRROR_PART,
    PARENT_PART,
    PARTS,
    load_body,
    matrix_from_rotvec,
)
from data_processing.synthetic.motions import PROCEDURAL, UPRIGHT_CLIPS, Motions

HELD_OUT_PART = 0.2  # the last fifth of every clip is seen in test splits only
_INDEX = {name: i for i, name in enumerate(PARTS)}
_UPPER = [_INDEX[n] for n in ("chest", "neck", "shR", "elR", "shL", "elL")]
_JITTER_DEG = np.array([2, 6, 9, 6, 5, 6, 12, 9, 6, 5, 6, 12, 9])
# Least and greatest hip flexion, knee flexion, hip abduction, trunk flexion
_LEG_RANGES_DEG = {
    "stand": (-8, 8, -3, 15, -6, 14, -8, 12),
    "step": (-30, 45, 0, 60, -6, 12, -8, 20),
    "sit": (70, 105, 50, 105, -4, 25, -15, 35),
    "squat": (50, 115, 60, 130, 0, 30, 10, 50),
    "kneel": (-5, 90, 85, 125, -4, 15, -10, 25),
    "bend": (8, 55, 0, 30, -4, 14, 8, 55),
    "floor": (60, 120, 5, 135, -8, 40, -20, 45),
    "recline": (20, 85, 0, 100, -4, 25, -10, 25),
}


def sample_pose(rng: np.random.Generator, motions: Motions, *, held_out: bool) -> tuple[np.ndarray, str]:
    """A pose [13, 3, 3] facing -y, and the name of its activity.

    Args:
        held_out: use the clips' held-out frames (test splits) or all others (training).
    """
    names, weights = zip(*motions.lower, strict=True)
    source = names[_choose(rng, weights)]
    local = _procedural_legs(rng, source) if source in PROCEDURAL else _clip_frame(rng, source, held_out)
    if source in PROCEDURAL or rng.random() >= motions.own_arms:
        other = _clip_frame(rng, UPRIGHT_CLIPS[rng.integers(len(UPRIGHT_CLIPS))], held_out)
        chest = local[_INDEX["chest"]].copy()
        local[_UPPER] = other[_UPPER]
        if source in PROCEDURAL:
            local[_INDEX["chest"]] = chest
        if rng.random() < motions.free_arms:
            for side in "RL":
                local[_INDEX["sh" + side]], local[_INDEX["el" + side]] = _free_arm(rng, side)
    if rng.random() < 0.5:
        local = mirrored(local)
    noise = rng.standard_normal((len(PARTS), 3)) * np.deg2rad(_JITTER_DEG)[:, None] * motions.jitter
    local = local @ matrix_from_rotvec(noise)
    return heading_free(to_global(local)), source


def to_global(local) -> np.ndarray:
    """Rotations relative to the parent part -> global ones, [13, 3, 3]."""
    result = np.array(local, np.float32)
    for part in range(1, len(PARTS)):
        result[part] = result[PARENT_PART[part]] @ local[part]
    return result


def to_local(rotations) -> np.ndarray:
    """Inverse of `to_global`."""
    rotations = np.asarray(rotations, np.float32)
    local = np.swapaxes(rotations[PARENT_PART], 1, 2) @ rotations
    local[0] = rotations[0]
    return local


def mirrored(rotations) -> np.ndarray:
    """The pose reflected at the body's plane of symmetry (x = 0); works on global and on local rotations."""
    flip = np.array([-1, 1, 1], np.float32)
    return np.asarray(rotations)[MIRROR_PART] * flip[:, None] * flip


def heading_free(rotations) -> np.ndarray:
    """The pose turned about z so that the pelvis faces -y."""
    forward = -rotations[0][:, 1]
    if np.hypot(forward[0], forward[1]) < 0.3:  # lying: what matters is where the head points
        forward = rotations[0][:, 2]
    angle = np.arctan2(forward[0], -forward[1])
    return matrix_from_rotvec(np.array([0, 0, -angle])) @ rotations


@functools.cache
def clips() -> dict[str, np.ndarray]:
    """Clip name -> local rotations [N, 13, 3, 3] of its frames."""
    with np.load(ASSETS / "poses.npz") as data:
        rotations = matrix_from_rotvec(data["rotvec"])
        local = np.stack([to_local(r) for r in rotations])
        names = [str(n).removeprefix("humanoid3d_") for n in data["clip_names"]]
        return {name: local[data["clip"] == i] for i, name in enumerate(names)}


def _clip_frame(rng, name: str, held_out: bool) -> np.ndarray:
    frames = clips()[name]
    first_held_out = int(round(len(frames) * (1 - HELD_OUT_PART)))
    low, high = (first_held_out, len(frames)) if held_out else (0, first_held_out)
    return frames[rng.integers(low, high)].copy()


def _choose(rng, weights) -> int:
    weights = np.asarray(weights, float)
    return int(rng.choice(len(weights), p=weights / weights.sum()))


def _x(degrees: float) -> np.ndarray:
    return matrix_from_rotvec(np.array([np.deg2rad(degrees), 0, 0]))


def _y(degrees: float) -> np.ndarray:
    return matrix_from_rotvec(np.array([0, np.deg2rad(degrees), 0]))


def _z(degrees: float) -> np.ndarray:
    return matrix_from_rotvec(np.array([0, 0, np.deg2rad(degrees)]))


def _procedural_legs(rng, kind: str) -> np.ndarray:
    """Local rotations with pelvis, legs and trunk set; flexing a hip turns about -x, a knee about +x."""
    local = np.tile(np.eye(3, dtype=np.float32), (len(PARTS), 1, 1))
    low, high = np.reshape(_LEG_RANGES_DEG[kind], (4, 2)).T
    draw = rng.uniform(low, high, (2, 4))
    if kind in ("sit", "squat", "bend") or kind == "floor" and rng.random() < 0.6:  # both legs alike
        draw[1, :2] = draw[0, :2] + rng.normal(0, 7, 2)
    if kind == "bend":
        local[0] = _x(draw[0, 0])
    elif kind == "floor":
        local[0] = _x(rng.uniform(-25, 10))
    elif kind == "recline":  # on the back, more or less, or on a side
        local[0] = _x(rng.uniform(-95, -40)) @ _z(rng.normal(0, 35))
    pelvis_tilt = draw[0, 0] if kind == "bend" else 0.0
    for row, (side, sign) in enumerate((("R", 1), ("L", -1))):
        hip, knee, abduction, _ = draw[row]
        flexion = hip if kind != "bend" else pelvis_tilt + rng.normal(0, 4)
        local[_INDEX["hip" + side]] = _y(sign * abduction) @ _x(-flexion) @ _z(sign * rng.uniform(-25, 10))
        local[_INDEX["knee" + side]] = _x(max(knee, 0))
        shank = -pelvis_tilt + flexion - max(knee, 0)
        foot = rng.normal(0, 6) if kind in ("stand", "sit", "squat", "bend") else rng.uniform(-20, 10)
        local[_INDEX["ank" + side]] = _x(np.clip(shank, -40, 30) + foot)
    local[_INDEX["chest"]] = _x(draw[0, 3]) @ _y(rng.normal(0, 7)) @ _z(rng.normal(0, 12))
    return local


@functools.cache
def _arm_geometry(side: str) -> tuple[np.ndarray, np.ndarray]:
    """Rest direction of the upper arm, and the axis about which the elbow flexes."""
    body = load_body()
    shoulder, elbow, wrist = (
        body.mean_heads[body.names.index(f"{n}.{side}")] for n in ("upperarm01", "lowerarm01", "wrist")
    )
    upper, lower = elbow - shoulder, wrist - elbow
    axis = np.cross(upper, lower)
    return upper / np.linalg.norm(upper), axis / np.linalg.norm(axis)


def _free_arm(rng, side: str) -> tuple[np.ndarray, np.ndarray]:
    """Local rotations of shoulder and elbow: anywhere in the arm's reach; low arms are commoner than raised ones."""
    rest, axis = _arm_geometry(side)
    sign = 1 if side == "L" else -1
    azimuth = np.deg2rad(rng.uniform(-30, 110))  # 0 = sideways, 90 = forward
    elevation = np.deg2rad(rng.triangular(-88, -60, 85))
    flat = np.cos(elevation)
    target = np.array([sign * flat * np.cos(azimuth), -flat * np.sin(azimuth), np.sin(elevation)])
    swing_axis = np.cross(rest, target)
    swing = swing_axis / max(np.linalg.norm(swing_axis), 1e-6) * np.arccos(np.clip(rest @ target, -1, 1))
    twist = target * np.deg2rad(rng.normal(0, 25))
    flexion = np.deg2rad(rng.triangular(-48, -25, 85))  # the rest pose has about 50 degrees already
    shoulder = matrix_from_rotvec(twist) @ matrix_from_rotvec(swing)
    return shoulder, matrix_from_rotvec(axis * flexion)
