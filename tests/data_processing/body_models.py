"""Model files in the formats of SMPL, SMPL-H and SMPL-X whose contents are made from the embedded body."""

from __future__ import annotations

import functools
import pickle
from dataclasses import dataclass

import numpy as np

from data_processing.synthetic.body import load_body
from data_processing.synthetic.joints import _rows

SMPL_NAMES = (
    "pelv,lhip,rhip,bell,lkne,rkne,spin,lank,rank,thor,ltoe,rtoe,neck,lcla,rcla,head,lsho,rsho,lelb,relb,lwri,rwri,"
    "lhan,rhan"
).split(",")
SMPL_PARENTS = [-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19, 20, 21]
FINGERS = ("finger2", "finger3", "finger5", "finger4", "finger1")
# Bones of the embedded body that turn with each joint of SMPL, by the beginning of their names
BONES = {
    **{"hip": "upperleg", "kne": "lowerleg", "ank": "foot", "toe": "toe"},
    **{"cla": "clavicle,shoulder01", "sho": "upperarm", "elb": "lowerarm", "wri": "wrist", "han": "finger,metacarpal"},
    **{"pelv": "root,pelvis", "bell": "spine05,spine04", "spin": "spine03", "thor": "spine02,spine01"},
    **{"neck": "neck", "head": "head,eye"},
}
TO_SMPL = np.array([[1, 0, 0], [0, 0, 1], [0, -1, 0.0]])
"""The body's axes (z up, facing -y) in those of SMPL (y up, facing z)."""
# Where the official SMPL-X mesh has points that are no joints; here they go to vertices near these joints.
SMPLX_POINTS = {
    **{9120: "nose_coco", 9929: "reye_coco", 9448: "leye_coco", 616: "rear_coco", 6: "lear_coco"},
    **{5770: "ltoe_coco", 5780: "lfoo_coco", 8846: "lhee_coco", 8463: "rtoe_coco", 8474: "rfoo_coco"},
    **{8635: "rhee_coco", 5361: "lthumb_bmlmovi", 5058: "lfin_bmlmovi", 8079: "rthumb_bmlmovi", 7794: "rfin_bmlmovi"},
}


@functools.cache
def arrays(kind: str = "smpl", n_vertices: int = 600) -> dict[str, np.ndarray]:
    """What a model file holds: metres, axes of SMPL, ten coefficients of shape (SMPL-X: and ten of expression)."""
    body = load_body()
    rng = np.random.default_rng(0)
    chosen = rng.permutation(body.n_vertices)[:n_vertices]
    if kind == "smplx":
        for index, joint in SMPLX_POINTS.items() if n_vertices > max(SMPLX_POINTS) else ():
            distance = np.linalg.norm(body.mean_vertices - _rest_joint(joint), axis=1)
            distance[chosen] += 1e-3  # every vertex once
            chosen[index] = int(np.argmin(distance))
    template = body.mean_vertices[chosen].astype(np.float64) @ TO_SMPL.T
    basis = body.shape_vertices.reshape(len(body.shape_vertices), -1, 3)[:, chosen].astype(np.float64) @ TO_SMPL.T
    joints, parents = _joints(kind)
    n_joints, n_basis = len(parents), 20 if kind == "smplx" else 10
    pose_basis = np.zeros((n_vertices, 3, 9 * (n_joints - 1)), np.float16 if kind == "smplx" else np.float32)
    pose_basis[:, :, 9 : 9 * 18 : 7] = rng.normal(scale=2e-3, size=(n_vertices, 3, 22))
    held = {
        "v_template": template,
        "shapedirs": basis[:n_basis].transpose(1, 2, 0),
        "posedirs": pose_basis,
        "J_regressor": np.stack([_regressor_row(template, j) for j in joints]),
        "kintree_table": np.stack([np.where(np.array(parents) < 0, 2**32 - 1, parents), np.arange(n_joints)]),
        "weights": _weights(chosen, n_joints),
        "f": rng.integers(n_vertices, size=(50, 3)).astype(np.uint32),
    }
    if kind != "smpl":
        for side in "lr":
            held[f"hands_mean{side}"] = rng.normal(scale=0.1, size=45)
            held[f"hands_components{side}"] = np.linalg.qr(rng.normal(size=(45, 45)))[0]
    return held


def write_npz(path, kind: str = "smpl", n_vertices: int = 600) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **arrays(kind, n_vertices))


def write_pkl(path, kind: str = "smpl", n_vertices: int = 600) -> None:
    """As the official pickles are: of Python 2, with chumpy's objects and SciPy's sparse matrix."""
    from scipy.sparse import csc_matrix

    held = dict(arrays(kind, n_vertices))
    sparse = csc_matrix(held["J_regressor"])
    table = {"_shape": sparse.shape, "maxprint": 50, "format": "csc"}
    table |= {name: getattr(sparse, name) for name in ("data", "indices", "indptr")}
    held["J_regressor"] = foreign("scipy.sparse.csc", "csc_matrix", table)
    for name in ("v_template", "weights", "posedirs"):
        held[name] = foreign(
            "chumpy.ch", "Ch", {"x": held[name], "_dirty_vars": set(), "_itr": None, "_depends_on_deps": []}
        )
    more = np.concatenate([held["shapedirs"], held["shapedirs"]], axis=2)  # a file of more coefficients, ten selected
    flat = np.arange(more.size).reshape(more.shape)[..., :10].ravel()
    held["shapedirs"] = foreign(
        "chumpy.reordering",
        "Select",
        {"a": foreign("chumpy.ch", "Ch", {"x": more}), "idxs": flat, "preferred_shape": (*more.shape[:2], 10)},
    )
    held["bs_style"], held["bs_type"] = "lbs", "lrotmin"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        ForeignPickler(file, 2).dump(held)


@dataclass(frozen=True, eq=False)
class Foreign:
    """Pickled as what another library's class or function makes: called with `args`, then given `state`.

    With neither it is the class or function itself.
    """

    module: str
    name: str
    args: tuple | None = None
    state: object = None


def foreign(module: str, name: str, state: dict) -> Foreign:
    """An object of another library's class with these attributes."""
    return Foreign(module, name, (), state)


class ForeignPickler(pickle._Pickler):
    """Writes `foreign` objects the way Python 2 wrote objects with attributes, and NumPy's names as they were."""

    def save(self, value, save_persistent_id=True):
        if not isinstance(value, Foreign):
            super().save(value, save_persistent_id)
        elif id(value) in self.memo:
            self.write(self.get(self.memo[id(value)][0]))
        else:
            self.write(pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode())
            if value.args is not None:
                self.save(value.args)
                self.write(pickle.REDUCE if value.args else pickle.NEWOBJ)
            self.memoize(value)
            if value.state is not None:
                self.save(value.state)
                self.write(pickle.BUILD)

    def save_global(self, value, name=None):
        module = value.__module__.replace("numpy._core", "numpy.core")
        self.write(pickle.GLOBAL + f"{module}\n{value.__name__}\n".encode())
        self.memoize(value)

    dispatch = dict(pickle._Pickler.dispatch)
    dispatch[type] = dispatch[type(lambda: 0)] = dispatch[type(len)] = save_global


def standing(kind: str = "smpl", *, n_vertices: int = 600, up=(0, -1, 0), at_m=(0, 0, 4), bend: float = 0.15, seed=0):
    """Pose [3 J], shape [10] and translation [3] (m) of a person with this up direction and pelvis.

    With y down (the default) it faces -z, a camera at the origin; with y up, z.
    """
    from scipy.spatial.transform import Rotation

    rng = np.random.default_rng(seed)
    held = arrays(kind, n_vertices)
    pose = rng.normal(scale=bend, size=3 * len(held["weights"][0]))
    turn = Rotation.from_rotvec([np.pi, 0, 0] if up == (0, -1, 0) else [0, 0, 0])
    pose[:3] = (turn * Rotation.from_euler("y", 20, degrees=True)).as_rotvec()
    shape = rng.normal(scale=0.5, size=10)
    pelvis = held["J_regressor"][0] @ (held["v_template"] + held["shapedirs"][:, :, :10] @ shape)
    return pose, shape, np.asarray(at_m) - pelvis


def _rest_joint(name: str) -> np.ndarray:
    """[3] m, in the body's axes."""
    body = load_body()
    points = np.concatenate([body.mean_vertices, body.mean_heads])
    return sum(w * points[i] for i, w in _all_rows()[name].items())


@functools.cache
def _all_rows():
    return _rows()


def _joints(kind: str) -> tuple[np.ndarray, list[int]]:
    """Rest positions [J, 3] m in SMPL's axes and parents of the joints."""
    joints = [_rest_joint(f"{n}_smpl") for n in SMPL_NAMES]
    parents = list(SMPL_PARENTS)
    if kind != "smpl":
        body = load_body()
        joints, parents = joints[:22], parents[:22]
        if kind == "smplx":
            joints += [_rest_joint("head_smpl") - [0, 0.05, 0.02]]
            joints += [body.mean_heads[body.names.index(f"eye.{s}")] for s in "LR"]
            parents += [15, 15, 15]
        for wrist, side in ((20, "L"), (21, "R")):
            for finger in FINGERS:
                for k in (1, 2, 3):
                    parents.append(wrist if k == 1 else len(parents) - 1)
                    joints.append(body.mean_heads[body.names.index(f"{finger}-{k}.{side}")])
    return np.array(joints, np.float64) @ TO_SMPL.T, parents


def _regressor_row(template: np.ndarray, joint: np.ndarray) -> np.ndarray:
    """Non-negative weights of the nearest vertices that give a joint as nearly as they can."""
    from scipy.optimize import nnls

    near = np.argsort(np.linalg.norm(template - joint, axis=1))[:40]
    weights, _ = nnls(np.concatenate([template[near].T, np.ones((1, 40))]), [*joint, 1])
    row = np.zeros(len(template))
    row[near] = weights / weights.sum()
    return row


def _weights(chosen: np.ndarray, n_joints: int) -> np.ndarray:
    body = load_body()
    joint_of_bone = np.zeros(len(body.names), int)
    for base, beginnings in BONES.items():
        for b, bone in enumerate(body.names):
            if bone.startswith(tuple(beginnings.split(","))):
                side = {"L": "l", "R": "r"}.get(bone[-1], "") if base not in SMPL_NAMES else ""
                joint_of_bone[b] = SMPL_NAMES.index(side + base)
    if n_joints > 24:
        first_finger = n_joints - 30
        joint_of_bone = np.where(joint_of_bone >= 22, joint_of_bone - 2, joint_of_bone)  # the hand turns with the wrist
        for h, side in enumerate("LR"):
            for f, finger in enumerate(FINGERS):
                for k in (1, 2, 3):
                    joint_of_bone[body.names.index(f"{finger}-{k}.{side}")] = first_finger + 15 * h + 3 * f + k - 1
    weights = np.zeros((len(chosen), n_joints), np.float32)
    for row, vertex in enumerate(chosen):
        part = slice(body.skin_start[vertex], body.skin_start[vertex + 1])
        np.add.at(weights[row], joint_of_bone[body.skin_bone[part]], body.skin_weight[part])
    return weights
