"""BVH, GLB, TRC and CSV, read by a few lines each: the joints are where the skeleton has them."""

import csv
import dataclasses
import json
import struct

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from metrabs_acae.motion import fit
from metrabs_acae.motion.angles import euler_angles, euler_order, write_angles_csv
from metrabs_acae.motion.bvh import write_bvh
from metrabs_acae.motion.gltf import write_glb
from metrabs_acae.motion.trc import write_trc
from tests.motion.people import walker


@pytest.fixture(scope="module")
def motion():
    tree, times, joints = walker(30, "smpl+head_30")
    joints = joints + np.random.default_rng(2).normal(0, 10, joints.shape)
    return fit.fit_motion(tree, 3, np.arange(5, 35), times + 0.2, joints, np.zeros(joints.shape[:2]))


def read_bvh(path):
    """(seconds a frame, {joint: [F, 3]}) by forward kinematics of a BVH file."""
    words, parents, offsets, channels, stack = iter(path.read_text().split()), {}, {}, [], []
    name, frames = None, None
    for word in words:
        if word in ("ROOT", "JOINT"):
            name = next(words)
            parents[name] = stack[-1] if stack else None
        elif word == "End":
            name = next(words) + str(len(parents))
        elif word == "{":
            stack.append(name)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET":
            offsets[stack[-1]] = np.array([float(next(words)) for _ in range(3)])
        elif word == "CHANNELS":
            channels += [(stack[-1], next(words)) for _ in range(int(next(words)))]
        elif word == "Frames:":
            frames = int(next(words))
        elif word == "Time:":
            step = float(next(words))
            break
    values = np.array([float(w) for w in words]).reshape(frames, len(channels))
    places, turns = {}, {}
    for name, parent in parents.items():
        local, place = np.tile(np.eye(3), (frames, 1, 1)), np.tile(offsets[name], (frames, 1))
        for (owner, channel), column in zip(channels, values.T, strict=True):
            if owner == name and channel.endswith("rotation"):
                local = local @ Rotation.from_euler(channel[0].lower(), column[:, None], degrees=True).as_matrix()
            elif owner == name:
                place[:, "XYZ".index(channel[0])] += column
        places[name] = place if parent is None else places[parent] + np.einsum("fij,fj->fi", turns[parent], place)
        turns[name] = local if parent is None else turns[parent] @ local
    return step, places


def test_bvh(motion, tmp_path):
    write_bvh(tmp_path / "a.bvh", motion)
    step, places = read_bvh(tmp_path / "a.bvh")
    assert step == pytest.approx(0.04)
    assert list(places) == [motion.tree.short_names[j] for j in depth_first(motion.tree)]
    for joint, name in enumerate(motion.tree.short_names):
        np.testing.assert_allclose(places[name] * 1000, motion.fitted_mm[:, joint], atol=0.02)
    rows = np.loadtxt((tmp_path / "a.bvh").read_text().split("Frame Time:")[1].splitlines()[1:])
    assert np.abs(np.diff(rows[:, 3:], axis=0)).max() < 180  # no leaps of whole turns


def depth_first(tree, joint=None):
    joint = tree.root if joint is None else joint
    return [joint, *(j for c in tree.children(joint) for j in depth_first(tree, c))]


def test_bvh_of_a_video_that_lost_frames(motion, tmp_path):
    kept = np.array([i for i in range(30) if i not in (4, 5, 18)])
    values = {
        f: getattr(motion, f)[kept] for f in ("frames", "times_s", "observed", "free_mm", "rotations", "fitted_mm")
    }
    write_bvh(tmp_path / "a.bvh", dataclasses.replace(motion, **values))
    step, places = read_bvh(tmp_path / "a.bvh")
    assert step == pytest.approx(0.04) and len(places["pelv"]) == 30
    np.testing.assert_allclose(places["lkne"][kept] * 1000, motion.fitted_mm[kept, 4], atol=0.05)


def test_one_frame_and_names_that_two_conventions_share(motion, tmp_path):
    names = ("lhip_h36m", *motion.tree.joint_names[1:])
    tree = dataclasses.replace(motion.tree, joint_names=names)
    values = {f: getattr(motion, f)[:1] for f in ("frames", "times_s", "observed", "free_mm", "rotations", "fitted_mm")}
    one = dataclasses.replace(motion, tree=tree, **values)
    for write, suffix in ((write_bvh, "bvh"), (write_trc, "trc")):
        write(tmp_path / f"a.{suffix}", one)
        text = (tmp_path / f"a.{suffix}").read_text()
        assert "lhip_h36m" in text and "lhip_smpl" in text and "lkne_smpl" not in text and "nan" not in text
    write_glb(tmp_path / "a.glb", [one])
    assert read_bvh(tmp_path / "a.bvh")[0] == pytest.approx(1 / 30)


def test_trc_as_opensim_reads_it(motion, tmp_path):
    write_trc(tmp_path / "walk.3.trc", motion)
    lines = (tmp_path / "walk.3.trc").read_text().split("\n")
    assert lines[0] == "PathFileType\t4\t(X/Y/Z)\twalk.3.trc"
    assert lines[1].split("\t")[:5] == ["DataRate", "CameraRate", "NumFrames", "NumMarkers", "Units"]
    assert lines[2].split("\t") == ["25.00", "25.00", "30", "30", "mm", "25.00", "1", "30"]
    labels = lines[3].split("\t")
    assert labels[:2] == ["Frame#", "Time"] and labels[2::3] == list(motion.tree.short_names)
    assert labels[3::3] == labels[4::3] == [""] * 30
    assert lines[4].split("\t")[:6] == ["", "", "X1", "Y1", "Z1", "X2"] and lines[5] == ""
    rows = np.array([line.split("\t") for line in lines[6:-1]], float)
    assert rows[:, 0].tolist() == list(range(1, 31))
    np.testing.assert_allclose(rows[:, 1], motion.times_s, atol=1e-6)
    np.testing.assert_allclose(rows[:, 2:].reshape(30, 30, 3), motion.free_mm, atol=6e-4)


def read_glb(path):
    data = path.read_bytes()
    magic, version, length = struct.unpack("<4sII", data[:12])
    assert (magic, version, length) == (b"glTF", 2, len(data))
    size, kind = struct.unpack("<I4s", data[12:20])
    gltf, rest = json.loads(data[20 : 20 + size]), data[20 + size :]
    assert kind == b"JSON" and size % 4 == 0
    if not rest:
        return gltf, b""
    size, kind = struct.unpack("<I4s", rest[:8])
    assert kind == b"BIN\0" and size == len(rest) - 8 == gltf["buffers"][0]["byteLength"] and size % 4 == 0
    return gltf, rest[8:]


def values_of(gltf, binary, index):
    accessor = gltf["accessors"][index]
    view = gltf["bufferViews"][accessor["bufferView"]]
    width = {"SCALAR": 1, "VEC3": 3, "VEC4": 4, "MAT4": 16}[accessor["type"]]
    dtype = {5126: np.float32, 5123: np.uint16}[accessor["componentType"]]
    assert view["byteLength"] == accessor["count"] * width * np.dtype(dtype).itemsize and view["byteOffset"] % 4 == 0
    values = np.frombuffer(binary, dtype, accessor["count"] * width, view["byteOffset"]).reshape(-1, width)
    if "min" in accessor:
        assert accessor["min"] == values.min(0).tolist() and accessor["max"] == values.max(0).tolist()
    return values


def test_glb(motion, tmp_path):
    short = {
        f: getattr(motion, f)[10:20] for f in ("frames", "times_s", "observed", "free_mm", "rotations", "fitted_mm")
    }
    write_glb(tmp_path / "a.glb", [motion, dataclasses.replace(motion, person=7, **short)])
    gltf, binary = read_glb(tmp_path / "a.glb")
    names = [gltf["nodes"][i]["name"] for i in gltf["scenes"][0]["nodes"]]
    assert names == ["person 3", "person 7"] and len(gltf["skins"]) == len(gltf["meshes"]) == 2
    (animation,) = gltf["animations"]
    keys = {}
    for channel in animation["channels"]:
        sampler = animation["samplers"][channel["sampler"]]
        times, values = (values_of(gltf, binary, sampler[k]) for k in ("input", "output"))
        assert len(times) == len(values) and (np.diff(times[:, 0]) > 0).all()
        keys[channel["target"]["node"], channel["target"]["path"]] = times[:, 0], values
    first, second = gltf["scenes"][0]["nodes"]
    assert [k for k in keys if k[1] == "scale"] == [(first, "scale"), (second, "scale")]
    assert keys[first, "scale"][1][:, 0].tolist() == [0, 1] and keys[second, "scale"][1][:, 0].tolist() == [0, 1, 0]
    root = gltf["nodes"][first]["children"][0]
    places = {}

    def walk(index, place, turn):
        node = gltf["nodes"][index]
        offset = keys.get((index, "translation"), (0, np.array([node["translation"]])))[1]
        quaternion = keys.get((index, "rotation"), (0, np.array([node["rotation"]])))[1]
        assert (np.abs(np.diff(quaternion, axis=0)) < 1).all()
        place = place + np.einsum("fij,fj->fi", turn, np.broadcast_to(offset, (30, 3)))
        turn = turn @ Rotation.from_quat(np.broadcast_to(quaternion, (30, 4))).as_matrix()
        places[node["name"]] = place
        for child in node.get("children", ()):
            walk(child, place, turn)

    walk(root, np.zeros((30, 3)), np.tile(np.eye(3), (30, 1, 1)))
    for joint, name in enumerate(motion.tree.short_names):
        np.testing.assert_allclose(places[name] * 1000, motion.fitted_mm[:, joint], atol=0.02)
    np.testing.assert_allclose(keys[root, "translation"][0], motion.times_s, rtol=1e-6)

    skin = gltf["skins"][0]
    bind = -values_of(gltf, binary, skin["inverseBindMatrices"])[:, 12:15] * 1000
    np.testing.assert_allclose(bind, motion.rest_mm, atol=1e-3)
    for primitive in gltf["meshes"][0]["primitives"]:
        parts = {k: values_of(gltf, binary, v) for k, v in primitive["attributes"].items()}
        np.testing.assert_allclose(np.linalg.norm(parts["NORMAL"], axis=1), 1, atol=1e-5)
        assert parts["JOINTS_0"].max() < len(skin["joints"]) and (parts["WEIGHTS_0"].sum(1) == 1).all()
        centers = (
            parts["POSITION"].reshape(-1, 24, 3).mean(1, keepdims=True)
        )  # normals point away from the bone's middle
        outward = (parts["POSITION"].reshape(-1, 24, 3) - centers) * parts["NORMAL"].reshape(-1, 24, 3)
        assert (outward.sum(-1).reshape(-1, 3).sum(-1) > 0).all()


def test_glb_of_nobody(tmp_path):
    write_glb(tmp_path / "a.glb", [])
    assert read_glb(tmp_path / "a.glb")[0]["scenes"] == [{}]


def test_angles(tmp_path):
    names = ("pelv", "lhip", "lkne", "lank", "rhip")
    bend = np.radians(np.array([1e-3, 30, 60, 90]))
    joints = np.zeros((4, 5, 3))
    joints[:, 1], joints[:, 4] = [100, -30, 0], [-100, -30, 0]
    joints[:, 2] = [100, -430, 0]
    joints[:, 3] = joints[:, 2] - np.stack(
        [0 * bend, 400 * np.cos(bend), 400 * np.sin(bend)], axis=1
    )  # the shin swings back
    tree = fit.Tree(names, (-1, 0, 1, 2, 0), (0, 1, 2, 3, 4), (False, True, True, True, True))
    motion = fit.fit_motion(tree, 1, np.arange(4), np.arange(4) / 25, joints, np.zeros((4, 5)))
    write_angles_csv(tmp_path / "a.csv", [motion, dataclasses.replace(motion, person=2)])
    with open(tmp_path / "a.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["person"] for row in rows] == ["1"] * 4 + ["2"] * 4 and rows[1]["time_s"] == "0.04"
    assert rows[0]["observed"] == "1" and "lank_x_deg" not in rows[0]
    found = {k: np.array([float(row[k]) for row in rows[:4]]) for k in rows[0]}
    for column in ("lkne_bend_deg", "lkne_x_deg"):
        np.testing.assert_allclose(found[column], np.degrees(bend), atol=0.05)
    for column in ("lkne_y_deg", "lkne_z_deg", "lhip_x_deg", "lhip_bend_deg"):
        assert np.ptp(found[column]) < 0.05
    write_angles_csv(tmp_path / "b.csv", [])


def test_the_order_of_the_columns_is_that_of_everybodys_angles(motion, tmp_path):
    other = dataclasses.replace(motion, person=4, offsets_mm=motion.offsets_mm[:, [1, 0, 2]])  # arms hang at rest
    elbow = motion.tree.short_names.index("lelb")
    assert [euler_order(motion.tree, m.offsets_mm, elbow) for m in (motion, other)] == ["ZXY", "XZY"]
    write_angles_csv(tmp_path / "a.csv", [motion, other])
    with open(tmp_path / "a.csv", newline="") as file:
        header, *rows = csv.reader(file)
    first = header.index("lelb_z_deg")
    assert header[first : first + 3] == ["lelb_z_deg", "lelb_x_deg", "lelb_y_deg"]
    found = np.array([row[first : first + 3] for row in rows], float)
    np.testing.assert_allclose(found, np.tile(euler_angles(motion.local_rotations[:, elbow], "ZXY"), (2, 1)), atol=1e-3)
