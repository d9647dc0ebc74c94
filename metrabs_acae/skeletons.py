"""Skeletons: joint names, edges and mirror maps, and how the skeletons of several datasets are put together.

A joint is named ``<side><base>_<convention>``, e.g. ``lhip_h36m``: the first letter is the person's side (``l``, ``r``;
any other letter means central), the suffix says whose definition of the joint it is. Mirrored names differ only in
the first letter. 2D joints that stand for every convention carry no suffix (``lhip``).
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from metrabs_acae import skeleton_tables
from metrabs_acae.errors import UserError

COMMON_2D_JOINTS: tuple[str, ...] = tuple(skeleton_tables.COMMON_2D.split(","))
"""The 17 joints that the 2D datasets share and that supervise the 3D joints weakly."""

_MERGED = "_merged"
"""What the names of merged skeletons end with."""


@dataclass(frozen=True)
class Skeleton:
    """Names, in order, and the edges that connect them.

    Attributes:
        name: what people call it, e.g. ``h36m_17``.
        joint_names: full names, unique.
        edges: pairs of joint indices.
        merged: whether each joint stands for all like-named joints of several conventions (`merge_by_name`).
    """

    name: str
    joint_names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    merged: bool = False

    def __post_init__(self):
        object.__setattr__(self, "joint_names", tuple(str(n) for n in self.joint_names))
        object.__setattr__(self, "edges", tuple((int(a), int(b)) for a, b in self.edges))
        if len(set(self.joint_names)) != len(self.joint_names):
            twice = sorted({n for n in self.joint_names if self.joint_names.count(n) > 1})
            raise UserError(f"Skeleton '{self.name}' names a joint twice: {', '.join(twice)}.")
        if any(not 0 <= i < self.n_joints for edge in self.edges for i in edge):
            raise UserError(f"Skeleton '{self.name}' has an edge to a joint outside 0..{self.n_joints - 1}.")

    @property
    def n_joints(self) -> int:
        return len(self.joint_names)

    @functools.cached_property
    def mirror(self) -> np.ndarray:
        """[J] index of each joint's mirror image; its own index where it is central or has no partner."""
        index = {n: i for i, n in enumerate(self.joint_names)}
        return np.array([index.get(mirror_name(n), i) for i, n in enumerate(self.joint_names)], np.int64)

    def indices(self, names: Iterable[str]) -> np.ndarray:
        """Positions of `names` in this skeleton; UserError on a name that it does not have."""
        index = {n: i for i, n in enumerate(self.joint_names)}
        names = list(names)
        missing = [n for n in names if n not in index]
        if missing:
            shown = ", ".join(missing[:5]) + (" ..." if len(missing) > 5 else "")
            raise UserError(f"Skeleton '{self.name}' ({self.n_joints} joints) has no joint {shown}.")
        return np.array([index[n] for n in names], np.int64)

    def select(self, names: Sequence[str], name: str | None = None) -> Skeleton:
        """The skeleton of the joints `names`, in that order, with the edges among them."""
        position = {int(old): new for new, old in enumerate(self.indices(names))}
        edges = [(position[a], position[b]) for a, b in self.edges if a in position and b in position]
        return Skeleton(name or self.name, tuple(names), tuple(edges), self.merged)

    def to_dict(self) -> dict:
        return {
            "name": self.name,
            "joint_names": list(self.joint_names),
            "edges": [list(e) for e in self.edges],
            **({"merged": True} if self.merged else {}),
        }

    @classmethod
    def from_dict(cls, data: dict) -> Skeleton:
        merged = data.get("merged", data["name"].endswith(_MERGED))  # before it was stored, only the name said so
        return cls(data["name"], tuple(data["joint_names"]), tuple(tuple(e) for e in data["edges"]), merged)


def side(name: str) -> str:
    """``"l"``, ``"r"`` or ``"c"`` (central) for a joint name."""
    return name[0] if name[:1] in ("l", "r") else "c"


def mirror_name(name: str) -> str:
    """The name of the same joint on the body's other side."""
    return {"l": "r", "r": "l"}.get(name[:1], name[:1]) + name[1:]


def parse_edges(paths: str | Iterable[str], joint_names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Edges from paths such as ``"htop-head-neck-lsho,pelv-lhip"``, each added with its mirror image.

    Names may leave out the suffix where all joints share one; edges to unknown names are skipped.
    """
    index = {n: i for i, n in enumerate(joint_names)}
    index.update({n.split("_")[0]: i for i, n in reversed(list(enumerate(joint_names)))})
    edges: dict[tuple[int, int], None] = {}
    for path in paths.split(",") if isinstance(paths, str) else paths:
        names = [n.strip() for n in path.split("-")]
        for a, b in itertools.pairwise(names):
            for first, second in ((a, b), (mirror_name(a), mirror_name(b))):
                if first in index and second in index:
                    i, j = index[first], index[second]
                    if i != j and (j, i) not in edges:
                        edges[i, j] = None
    return tuple(edges)


def make_skeleton(name: str, bases: str | Sequence[str], edge_paths: str, suffix: str = "") -> Skeleton:
    """A skeleton from base names (comma separated) of one convention and its edge paths."""
    bases = bases.split(",") if isinstance(bases, str) else list(bases)
    joint_names = tuple(b + (f"_{suffix}" if suffix else "") for b in bases)
    return Skeleton(name, joint_names, parse_edges(edge_paths, joint_names))


@functools.cache
def dataset_skeletons() -> dict[str, Skeleton]:
    """The 19 skeletons of the 28 3D datasets by convention, 555 joints in all, in the datasets' own joint orders."""
    return {
        suffix: make_skeleton(suffix, bases, edges, suffix)
        for suffix, (bases, edges) in skeleton_tables.DATASET_SKELETONS.items()
    }


@functools.cache
def output_skeletons() -> dict[str, tuple[str, ...]]:
    """Skeletons that a trained model offers by name, e.g. ``smpl_24``: the joint names in order."""
    listed: dict[str, tuple[str, ...]] = {}
    for name, (suffix, bases) in skeleton_tables.OUTPUT_SKELETONS.items():
        if bases is None:
            listed[name] = dataset_skeletons()[suffix].joint_names
        else:
            listed[name] = tuple(b if "_" in b else f"{b}_{suffix}" for b in bases.split(","))
    return listed


def get_skeleton(name: str) -> Skeleton:
    """A skeleton by convention (``h36m``), output name (``h36m_17``) or ``union_555``; UserError lists the names."""
    if name in dataset_skeletons():
        return dataset_skeletons()[name]
    whole = union(dataset_skeletons().values(), "union_555")
    if name == whole.name:
        return whole
    if name in output_skeletons():
        return whole.select(output_skeletons()[name], name)
    known = ", ".join([*dataset_skeletons(), *output_skeletons(), whole.name])
    raise UserError(f"There is no skeleton '{name}'; known ones: {known}.")


def union(skeletons: Iterable[Skeleton], name: str = "union") -> Skeleton:
    """All joints of all skeletons in order of first appearance, with all their edges."""
    index: dict[str, int] = {}
    edges: dict[tuple[int, int], None] = {}
    for skeleton in skeletons:
        for joint in skeleton.joint_names:
            index.setdefault(joint, len(index))
        for a, b in skeleton.edges:
            i, j = index[skeleton.joint_names[a]], index[skeleton.joint_names[b]]
            edges.setdefault((min(i, j), max(i, j)))
    return Skeleton(name, tuple(index), tuple(sorted(edges)))


def available_output_skeletons(skeleton: Skeleton) -> dict[str, Skeleton]:
    """The named output skeletons whose joints `skeleton` has, then one per convention, then ``""`` for all joints.

    A merged skeleton (`merge_by_name`) offers those whose joints are merged into different ones of its own, under
    its own joint names.
    """
    have, found = set(skeleton.joint_names), {}
    for name, joints in output_skeletons().items():
        joints = [_merged_name(j) for j in joints] if skeleton.merged else joints
        if have.issuperset(joints) and len(set(joints)) == len(joints):
            found[name] = skeleton.select(joints, name)
    conventions = dict.fromkeys(n.split("_", 1)[1] for n in skeleton.joint_names if "_" in n)
    for suffix in () if skeleton.merged else conventions:
        joints = [n for n in skeleton.joint_names if n.endswith(f"_{suffix}")]
        name = f"{suffix}_{len(joints)}"
        if name not in found:
            found[name] = skeleton.select(joints, name)
    return {**found, "": skeleton}


def prefix_groups(names2d: Sequence[str], names3d: Sequence[str]) -> list[np.ndarray]:
    """For each 2D joint the indices of the 3D joints whose name starts with it (MeTRAbs's weak 2D supervision)."""
    return [np.array([i for i, n in enumerate(names3d) if n.startswith(p)], np.int64) for p in names2d]


def merge_by_name(skeleton: Skeleton) -> tuple[Skeleton, np.ndarray]:
    """The merged-joints baseline: like-named joints of all conventions become one (555 -> 163).

    Four kinds of names are kept apart, because MoVi's surface markers are not the joints of the same name:
    see `skeleton_tables.KEPT_APART`.

    Returns:
        the merged skeleton, and [J] for each joint of `skeleton` the index of its merged joint.
    """
    merged_names = [_merged_name(n) for n in skeleton.joint_names]
    index = {n: i for i, n in enumerate(dict.fromkeys(merged_names))}
    target = np.array([index[n] for n in merged_names], np.int64)
    edges = sorted({tuple(sorted((int(target[a]), int(target[b])))) for a, b in skeleton.edges})
    edges = tuple(e for e in edges if e[0] != e[1])
    return Skeleton(skeleton.name + _MERGED, tuple(index), edges, merged=True), target


def corresponding_joints(skeleton: Skeleton, names: Iterable[str]) -> np.ndarray:
    """Positions of `names` in `skeleton` or, in a merged one (`merge_by_name`), of what they were merged into.

    Raises:
        UserError: on a name that it does not have.
    """
    return skeleton.indices([_merged_name(n) for n in names] if skeleton.merged else names)


def _merged_name(name: str) -> str:
    base, _, suffix = name.partition("_")
    return name if (base, suffix) in skeleton_tables.KEPT_APART else base
