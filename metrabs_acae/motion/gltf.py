"""GLB: the people of a video as skeletons with a drawn skin and one animation; glTF 2.0, metres, y up."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from metrabs_acae import __version__
from metrabs_acae.files import replacing
from metrabs_acae.joint_names import side
from metrabs_acae.motion.fit import Motion

FLOAT, UNSIGNED_SHORT = 5126, 5123
VERTEX_TARGET = 34962
COLORS = {"l": (0.95, 0.55, 0.2), "c": (0.75, 0.75, 0.75), "r": (0.2, 0.45, 0.9)}
_KINDS = {1: "SCALAR", 3: "VEC3", 4: "VEC4", 16: "MAT4"}
_INSTANT_S = 1e-3
_CORNERS = np.array([[1, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0]]) / np.sqrt(2)


def write_glb(path: str | Path, motions: Sequence[Motion]) -> None:
    """All people, each from the first to the last frame that they are seen in and hidden otherwise, at the motions'
    own times: seconds since the video's first frame."""
    file = _File()
    end_s = max((m.times_s[-1] for m in motions), default=0.0)
    for motion in motions:
        file.add_person(motion, end_s)
    data = file.finished()
    with replacing(path) as temporary:
        temporary.write_bytes(data)


class _File:
    """Collects the parts of a glTF file."""

    def __init__(self):
        self.binary = bytearray()
        self.gltf = {key: [] for key in ("nodes", "skins", "meshes", "accessors", "bufferViews", "materials")}
        self.people: list[int] = []
        self.samplers, self.channels = [], []

    def add_person(self, motion: Motion, end_s: float) -> None:
        nodes, tree = self.gltf["nodes"], motion.tree
        first = len(nodes)
        rotations = _quaternions(motion.local_rotations)
        root_m = motion.root_mm / 1000
        for joint, name in enumerate(tree.short_names):
            place = root_m[0] if joint == tree.root else motion.offsets_mm[joint] / 1000
            node = {"name": name, "translation": _list(place), "rotation": _list(rotations[0, joint])}
            if children := tree.children(joint):
                node["children"] = [first + c for c in children]
            nodes.append(node)
        inverse_bind = np.tile(np.eye(4, dtype=np.float32), (len(tree.parents), 1, 1))
        inverse_bind[:, :3, 3] = -motion.rest_mm / 1000
        matrices = self.accessor(np.swapaxes(inverse_bind, 1, 2).reshape(-1, 16))
        joints = [first + j for j in range(len(tree.parents))]
        skin = {"inverseBindMatrices": matrices, "joints": joints, "skeleton": first + tree.root}
        self.gltf["skins"].append(skin)
        mesh = {"name": f"bones of person {motion.person}", "mesh": self.mesh(motion)}
        nodes.append(mesh | {"skin": len(self.gltf["skins"]) - 1})
        person = {"name": f"person {motion.person}", "children": [first + tree.root, len(nodes) - 1]}
        self.people.append(len(nodes))
        nodes.append(person)
        self.animate(motion, rotations, root_m, first, end_s)

    def animate(self, motion: Motion, rotations, root_m, first: int, end_s: float) -> None:
        times = self.accessor(motion.times_s[:, np.newaxis], bounds=True)
        self.channel(times, root_m, first + motion.tree.root, "translation")
        for joint in motion.tree.order:
            if motion.tree.children(joint):
                self.channel(times, rotations[:, joint], first + joint, "rotation")
        start, end = motion.times_s[0], motion.times_s[-1]
        moments = np.array([(0.0, 0.0), (start, 1.0), (end + _INSTANT_S, 0.0)])
        moments = moments[[start > 0, True, end < end_s]]
        if len(moments) > 1:
            when = self.accessor(moments[:, :1], bounds=True)
            self.channel(when, np.repeat(moments[:, 1:], 3, axis=1), self.people[-1], "scale", "STEP")

    def channel(self, times: int, values: np.ndarray, node: int, path: str, interpolation: str = "LINEAR") -> None:
        self.samplers.append({"input": times, "output": self.accessor(values), "interpolation": interpolation})
        self.channels.append({"sampler": len(self.samplers) - 1, "target": {"node": node, "path": path}})

    def mesh(self, motion: Motion) -> int:
        """A double pyramid for each bone, in the rest pose, that moves with the bone's upper joint."""
        tree, rest = motion.tree, motion.rest_mm / 1000
        bones = [j for j in tree.order[1:] if tree.is_bone[j]]
        primitives = []
        for its_side, color in COLORS.items():
            own = [j for j in bones if side(tree.joint_names[j]) == its_side]
            if not own:
                continue
            corners = np.concatenate([_double_pyramid(rest[tree.parents[j]], rest[j]) for j in own])
            joints = np.zeros((len(corners), 4), np.uint16)
            joints[:, 0] = np.repeat([tree.parents[j] for j in own], len(corners) // len(own))
            triangles = corners.reshape(-1, 3, 3)
            normals = np.cross(triangles[:, 1] - triangles[:, 0], triangles[:, 2] - triangles[:, 0])
            normals /= np.maximum(np.linalg.norm(normals, axis=-1, keepdims=True), 1e-12)
            attributes = {
                "POSITION": self.accessor(corners, bounds=True, target=VERTEX_TARGET),
                "NORMAL": self.accessor(np.repeat(normals, 3, axis=0), target=VERTEX_TARGET),
                "JOINTS_0": self.accessor(joints, kind=UNSIGNED_SHORT, target=VERTEX_TARGET),
                "WEIGHTS_0": self.accessor(np.eye(4)[np.zeros(len(corners), int)], target=VERTEX_TARGET),
            }
            material = {"baseColorFactor": [*color, 1.0], "metallicFactor": 0.0, "roughnessFactor": 0.7}
            self.gltf["materials"].append({"pbrMetallicRoughness": material})
            primitives.append({"attributes": attributes, "material": len(self.gltf["materials"]) - 1})
        self.gltf["meshes"].append({"primitives": primitives})
        return len(self.gltf["meshes"]) - 1

    def accessor(self, values: np.ndarray, *, kind: int = FLOAT, bounds=False, target: int | None = None) -> int:
        values = np.ascontiguousarray(values, np.float32 if kind == FLOAT else np.uint16)
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": values.nbytes}
        self.gltf["bufferViews"].append(view | ({"target": target} if target else {}))
        self.binary += values.tobytes() + bytes(-values.nbytes % 4)
        accessor = {
            "bufferView": len(self.gltf["bufferViews"]) - 1,
            "componentType": kind,
            "count": len(values),
            "type": _KINDS[values.shape[1]],
        }
        if bounds:
            accessor |= {"min": _list(values.min(0)), "max": _list(values.max(0))}
        self.gltf["accessors"].append(accessor)
        return len(self.gltf["accessors"]) - 1

    def finished(self) -> bytes:
        gltf = {key: value for key, value in self.gltf.items() if value}
        gltf["asset"] = {"version": "2.0", "generator": f"metrabs_acae {__version__}"}
        gltf |= {"scene": 0, "scenes": [{"nodes": self.people} if self.people else {}]}
        if self.channels:
            gltf["animations"] = [{"name": "motion", "samplers": self.samplers, "channels": self.channels}]
        if self.binary:
            gltf["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(gltf, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 4)
        chunks = [(b"JSON", text)] + ([(b"BIN\0", bytes(self.binary))] if self.binary else [])
        body = b"".join(struct.pack("<I", len(data)) + name + data for name, data in chunks)
        return b"glTF" + struct.pack("<II", 2, 12 + len(body)) + body


def _double_pyramid(start: np.ndarray, end: np.ndarray) -> np.ndarray:
    """[24, 3] corners of 8 triangles, seen from outside counter-clockwise."""
    along = end - start
    length = np.linalg.norm(along)
    axis = along / max(length, 1e-9)
    across = np.cross(axis, np.eye(3)[np.argmin(np.abs(axis))])
    across /= np.linalg.norm(across)
    frame = np.stack([across, np.cross(axis, across), axis])
    ring = start + 0.2 * along + _CORNERS * min(0.12 * length, 0.03) @ frame
    sides = [(ring[i], ring[(i + 1) % 4]) for i in range(4)]
    return np.concatenate([[start, b, a] for a, b in sides] + [[end, a, b] for a, b in sides])


def _quaternions(rotations: np.ndarray) -> np.ndarray:
    """[F, J, 4] x, y, z, w, each in the half that the frame before lies in."""
    values = Rotation.from_matrix(rotations.reshape(-1, 3, 3)).as_quat().reshape(*rotations.shape[:2], 4)
    flips = np.sign((values[1:] * values[:-1]).sum(-1)) + 0.5
    values[1:] *= np.cumprod(np.sign(flips), axis=0)[..., np.newaxis]
    return values


def _list(values: np.ndarray) -> list[float]:
    return [float(value) for value in np.asarray(values, np.float32)]
