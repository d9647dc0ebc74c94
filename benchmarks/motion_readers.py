"""Files of motion in other people's programs: are the joints where the demo's NPZ has them?

    python -m benchmarks.motion_readers demo/walk.npz --pythons venv/bin/python ... [--out results.md]

The demo must have written NPZ, BVH, GLB and TRC (`--outputs npz bvh glb trc`). Blender as a Python module (bpy)
imports BVH and GLB, pygltflib and trimesh read the GLB, OpenSim the TRC, each in the first of the interpreters that has
it. Prints a table: joints compared, and the largest distance to the fitted skeleton (TRC: to the estimated joints). A
reader that is nowhere installed is skipped. Exit code 1 if anything is further away than 1 mm, or nothing was read.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from metrabs_acae.skeletons import base_and_convention

TOLERANCE_MM = 1.0

BLENDER_BVH = """
import bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
bpy.ops.import_anim.bvh(filepath=path)
armature = next(o for o in bpy.data.objects if o.type == "ARMATURE")
lines = open(path).read().splitlines()
step = float(next(l for l in lines if l.startswith("Frame Time")).split(":")[1])
n = int(next(l for l in lines if l.startswith("Frames")).split(":")[1])
out = []
for frame in range(n):
    bpy.context.scene.frame_set(frame + 1)
    heads = {b.name: armature.matrix_world @ b.head for b in armature.pose.bones}
    out.append([frame * step, {name: [h.x, h.z, -h.y] for name, h in heads.items()}])
result = {"version": "Blender " + bpy.app.version_string, "people": {person: out}}
"""

BLENDER_GLB = """
import bpy
bpy.ops.wm.read_factory_settings(use_empty=True)
scene = bpy.context.scene
scene.render.fps = 1000  # frames are rounded
bpy.ops.import_scene.gltf(filepath=path)
people = {}
for armature in [o for o in bpy.data.objects if o.type == "ARMATURE"]:
    number = armature.name.split()[1]
    out = people[number] = []
    for time in times[number]:
        frame = time * 1000
        scene.frame_set(int(frame), subframe=frame % 1)
        heads = {b.name: armature.matrix_world @ b.head for b in armature.pose.bones}
        out.append([time, {name.split(".")[0]: [h.x, h.z, -h.y] for name, h in heads.items()}])
result = {"version": "Blender " + bpy.app.version_string, "people": people}
"""

PYGLTFLIB = """
import importlib.metadata
import numpy as np, pygltflib
from pygltflib.validator import validate
gltf = pygltflib.GLTF2().load(path)
validate(gltf)
blob = gltf.binary_blob()
def values(i):
    a = gltf.accessors[i]; v = gltf.bufferViews[a.bufferView]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4}[a.type]
    return np.frombuffer(blob, np.float32, a.count * width, v.byteOffset).reshape(-1, width).astype(float)
def matrix(q):
    x, y, z, w = q
    return np.array([[1-2*(y*y+z*z), 2*(x*y-z*w), 2*(x*z+y*w)], [2*(x*y+z*w), 1-2*(x*x+z*z), 2*(y*z-x*w)],
                     [2*(x*z-y*w), 2*(y*z+x*w), 1-2*(x*x+y*y)]])
(animation,) = gltf.animations
keys = {}
for c in animation.channels:
    s = animation.samplers[c.sampler]
    keys[c.target.node, c.target.path] = values(s.input)[:, 0], values(s.output)
people = {}
for person in gltf.scenes[gltf.scene].nodes:
    number = gltf.nodes[person].name.split()[1]
    root = gltf.nodes[person].children[0]
    moments, places = keys[root, "translation"]
    out = people[number] = []
    for i, time in enumerate(moments):
        heads = {}
        def walk(node, at, turned):
            n = gltf.nodes[node]
            place = keys[node, "translation"][1][i] if (node, "translation") in keys else np.array(n.translation)
            q = keys[node, "rotation"][1][i] if (node, "rotation") in keys else n.rotation
            at, turned = at + turned @ place, turned @ matrix(q)
            heads[n.name] = at.tolist()
            for child in n.children or ():
                walk(child, at, turned)
        walk(root, np.zeros(3), np.eye(3))
        out.append([float(time), heads])
result = {"version": "pygltflib " + importlib.metadata.version("pygltflib"), "people": people}
"""

TRIMESH = """
import trimesh
scene = trimesh.load_scene(path)
assert scene.geometry and all(g.is_watertight or len(g.faces) for g in scene.geometry.values())
result = {"version": "trimesh " + trimesh.__version__, "meshes": len(scene.geometry)}
"""

OPENSIM = """
import opensim
table = opensim.TimeSeriesTableVec3(path)
assert table.getTableMetaDataString("Units") == "mm"
labels, times = list(table.getColumnLabels()), list(table.getIndependentColumn())
out = []
for i, time in enumerate(times):
    row = table.getRowAtIndex(i)
    out.append([time, {n: [row[j][k] / 1000 for k in range(3)] for j, n in enumerate(labels)}])
result = {"version": "OpenSim " + opensim.GetVersion(), "people": {person: out}}
"""

READERS = (
    ("bpy", "bvh", BLENDER_BVH),
    ("bpy", "glb", BLENDER_GLB),
    ("pygltflib", "glb", PYGLTFLIB),
    ("trimesh", "glb", TRIMESH),
    ("opensim", "trc", OPENSIM),
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("poses", type=Path, nargs="+", help="NPZ files of demos, beside their BVH, GLB and TRC")
    parser.add_argument("--pythons", nargs="+", default=[sys.executable], help="interpreters that may have readers")
    parser.add_argument("--out", type=Path, help="Markdown file to write the table to")
    args = parser.parse_args()
    rows, worst = [], 0.0
    for poses in args.poses:
        for package, suffix, code in READERS:
            python = next((p for p in args.pythons if _has(p, package)), None)
            if python is None:
                rows.append((poses.stem, suffix, f"{package} is not installed", "", "", ""))
                continue
            files = sorted(poses.parent.glob(f"{poses.stem}.[0-9]*.{suffix}")) or [poses.with_suffix(f".{suffix}")]
            for path in files:
                version, n, distance = compare(python, code, path, poses, suffix)
                worst = max(worst, distance)
                skeleton = json.loads(str(np.load(poses)["metadata"]))["skeleton"]
                rows.append((path.name, suffix, version, skeleton, str(n), f"{distance:.4f}" if n else "loads"))
    text = table(rows)
    print(text)
    if args.out:
        args.out.write_text(text + "\n")
    return int(worst > TOLERANCE_MM or not any(row[4] for row in rows))


def compare(python: str, code: str, path: Path, poses: Path, suffix: str) -> tuple[str, int, float]:
    """(reader's version, number of joints compared, largest distance in mm) of one file."""
    with np.load(poses) as arrays:
        stored = dict(arrays)
    to_world = stored["motion_from_camera_mm"]
    key = "poses3d_mm" if suffix == "trc" else "fitted_poses3d_mm"
    places = stored[key].astype(np.float64) @ to_world[:, :3].T + to_world[:, 3]
    times = stored["times_s"][np.searchsorted(stored["frames"], stored["frame"])]
    bases = [base_and_convention(n)[0] for n in stored["joint_names"].tolist()]
    names = [b if bases.count(b) == 1 else n for b, n in zip(bases, stored["joint_names"].tolist(), strict=True)]
    by_person = {str(p): np.flatnonzero(stored["person"] == p) for p in np.unique(stored["person"])}
    one = path.name.split(".")[-2] if suffix in ("bvh", "trc") else ""
    result = read(python, code, path, one, {p: times[rows].tolist() for p, rows in by_person.items()})
    n, worst = 0, 0.0
    for person, frames in result.get("people", {}).items():
        start = times[by_person[person][0]] if suffix == "bvh" else 0.0
        moments = np.array([moment for moment, _ in frames]) + start
        for row in by_person[person]:
            nearest = int(np.argmin(np.abs(moments - times[row])))
            assert abs(moments[nearest] - times[row]) < 1e-3, "a frame is missing"
            heads = frames[nearest][1]
            found = np.array([heads[name] for name in names]) * 1000
            worst = max(worst, float(np.linalg.norm(found - places[row], axis=-1).max()))
            n += len(names)
    return result["version"], n, worst


def read(python: str, code: str, path: Path, person: str, times: dict) -> dict:
    """What a reader's code leaves in `result`."""
    with tempfile.TemporaryDirectory() as folder:
        given, answer = Path(folder, "in.json"), Path(folder, "out.json")
        given.write_text(json.dumps({"path": str(path.resolve()), "person": person, "times": times}))
        program = f"import json; globals().update(json.load(open({str(given)!r})))\n{code}\n"
        program += f"json.dump(result, open({str(answer)!r}, 'w'))\n"
        done = subprocess.run([python, "-c", program], capture_output=True, text=True)
        if not answer.exists():
            raise SystemExit(f"{path.name} could not be read:\n{done.stdout[-2000:]}{done.stderr[-4000:]}")
        return json.loads(answer.read_text())


def _has(python: str, package: str) -> bool:
    code = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({package!r}) is None)"
    return subprocess.run([python, "-c", code], capture_output=True).returncode == 0


def table(rows) -> str:
    head = f"{datetime.date.today()}, {platform.machine()}, {platform.system()}, Python {platform.python_version()}\n\n"
    lines = [
        "| file | kind | reader | skeleton | joints compared | largest distance, mm |",
        "|---|---|---|---|---|---|",
    ]
    return head + "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows])


if __name__ == "__main__":
    sys.exit(main())
