"""Skeletons of the synthetic body: joints as fixed sparse averages of posed vertices and bone heads.

Some come as regressors (`assets/joint_regressors.npz`), the others are made of bones, points of the skin and joints of
other conventions (`joint_tables.py`). Names are those of `metrabs_acae.skeletons`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numba import njit

from data_processing.synthetic.body import ASSETS, load_body
from data_processing.synthetic.conventions import all_conventions, skeletons
from data_processing.synthetic.joint_tables import FORMULAS, REGRESSORS, SKIN_POINTS
from metrabs_acae.skeletons import Skeleton, union


@dataclass(frozen=True)
class JointRegressor:
    """Sparse rows over [posed vertices; posed bone heads], one per joint of `skeleton`."""

    skeleton: Skeleton
    start: np.ndarray
    index: np.ndarray
    weight: np.ndarray

    def __call__(self, vertices_mm, heads_mm) -> np.ndarray:
        """[V, 3], [B, 3] mm -> joints [J, 3] mm."""
        return _regress(vertices_mm, heads_mm, self.start, self.index, self.weight)


@functools.cache
def all_joints() -> JointRegressor:
    """Every joint of `all_conventions()`, in the order of their union: first those of `skeletons()`."""
    whole = union(all_conventions().values(), "all")
    rows = _rows()
    listed = [rows[name] for name in whole.joint_names]
    return JointRegressor(
        whole,
        np.cumsum([0] + [len(r) for r in listed]).astype(np.int32),
        np.array([i for r in listed for i in r], np.int32),
        np.array([w for r in listed for w in r.values()], np.float32),
    )


@functools.cache
def n_staged() -> int:
    """How many joints, the first of `all_joints()`, place people and cameras: new conventions must not move them."""
    return union(skeletons().values()).n_joints


def _rows() -> dict[str, dict[int, float]]:
    """Joint name -> {index into [vertices; bone heads]: weight}."""
    body = load_body()
    partner = _mirror_vertices()
    rows: dict[str, dict[int, float]] = {}
    with np.load(ASSETS / "joint_regressors.npz") as data:
        weight, index, ptr = data["weight"].astype(float), data["index"], data["ptr"]
        given = {
            (str(s), str(j)): dict(zip(index[a:b].tolist(), weight[a:b].tolist(), strict=True))
            for s, j, a, b in zip(data["skeleton"], data["joint"], ptr[:-1], ptr[1:], strict=True)
        }
    for suffix, (source, sided, central) in REGRESSORS.items():
        for base, name in _pairs(sided):
            row = given[source, name + "L"]
            rows[f"l{base}_{suffix}"] = row
            rows[f"r{base}_{suffix}"] = {partner[i]: w for i, w in row.items()}
        for base, name in _pairs(central):
            row = given[source, name]
            mirror = {partner[i]: w for i, w in row.items()}
            rows[f"{base}_{suffix}"] = _average([(1, row), (1, mirror)])
    for suffix, joints in SKIN_POINTS.items():
        for name, point in joints.items():
            distance = np.linalg.norm(body.mean_vertices - np.array(point), axis=1)
            row = {int(i): 0.25 for i in np.argsort(distance)[:4]}
            mirror = {partner[i]: w for i, w in row.items()}
            if name.startswith("l"):
                rows[f"{name}_{suffix}"], rows[f"r{name[1:]}_{suffix}"] = row, mirror
            else:
                rows[f"{name}_{suffix}"] = _average([(1, row), (1, mirror)])
    bones = {bone: {body.n_vertices + i: 1.0} for i, bone in enumerate(body.names)}
    for suffix, joints in FORMULAS.items():
        for name, formula in joints.items():
            for side in "lr" if name.startswith("?") else " ":
                terms = [t.split("*") if "*" in t else ("1", t) for t in formula.split("+")]
                named = [(float(f), t.replace(".?", f".{side.upper()}").replace("?", side)) for f, t in terms]
                rows[f"{name.replace('?', side)}_{suffix}"] = _average([(f, rows.get(t) or bones[t]) for f, t in named])
    return {name: _average([(1, row)]) for name, row in rows.items()}


def _pairs(text: str) -> list[list[str]]:
    return [pair.split("=") for pair in text.split(",")]


def _average(terms: list[tuple[float, dict[int, float]]]) -> dict[int, float]:
    """Weighted mean of rows, each first scaled to sum 1."""
    total = sum(f for f, _ in terms)
    result: dict[int, float] = {}
    for factor, row in terms:
        norm = sum(row.values())
        for i, w in row.items():
            result[i] = result.get(i, 0.0) + factor / total * w / norm
    return result


def _mirror_vertices() -> dict[int, int]:
    """Index into [vertices; bone heads] -> index of its mirror image in the rest pose."""
    from scipy.spatial import cKDTree

    body = load_body()
    flip = np.array([-1, 1, 1], np.float32)
    _, vertex = cKDTree(body.mean_vertices).query(body.mean_vertices * flip)
    swap = {"L": "R", "R": "L"}
    bone = [body.names.index(n[:-1] + swap[n[-1]]) if n[-2:] in (".L", ".R") else i for i, n in enumerate(body.names)]
    return dict(enumerate([*vertex.tolist(), *(body.n_vertices + b for b in bone)]))


@njit(cache=True)
def _regress(vertices, heads, start, index, weight):
    n_vertices = len(vertices)
    joints = np.zeros((len(start) - 1, 3), np.float32)
    for j in range(len(joints)):
        for k in range(start[j], start[j + 1]):
            i = index[k]
            for d in range(3):
                value = vertices[i, d] if i < n_vertices else heads[i - n_vertices, d]
                joints[j, d] += weight[k] * value
    return joints
