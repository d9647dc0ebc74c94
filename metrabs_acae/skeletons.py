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
from metrabs_acae.joint_names import base_and_convention, code, mirror_name, read_names, without_partner
from metrabs_acae.joint_names import side as side

COMMON_2D_JOINTS: tuple[str, ...] = tuple(skeleton_tables.COMMON_2D.split(","))
"""The 17 joints that the 2D datasets share and that supervise the 3D joints weakly."""

MIN_JOINTS_OF_CONVENTION = 4
"""What fewer joints end with is taken for a part of their names: no skeleton of its own."""

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
        mirror_pairs: names of joints that are each other's mirror images although their names do not say so; twice the
            same name for a central joint whose name reads as left or right.
    """

    name: str
    joint_names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...] = ()
    merged: bool = False
    mirror_pairs: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "joint_names", read_names(self.joint_names, f"joint names of skeleton '{self.name}'"))
        object.__setattr__(self, "edges", tuple((int(a), int(b)) for a, b in self.edges))
        object.__setattr__(self, "mirror_pairs", tuple((str(a), str(b)) for a, b in self.mirror_pairs))
        if len(set(self.joint_names)) != len(self.joint_names):
            twice = sorted({n for n in self.joint_names if self.joint_names.count(n) > 1})
            raise UserError(f"Skeleton '{self.name}' names a joint twice: {', '.join(twice)}.")
        if any(not 0 <= i < self.n_joints for edge in self.edges for i in edge):
            raise UserError(f"Skeleton '{self.name}' has an edge to a joint outside 0..{self.n_joints - 1}.")
        self.indices(n for pair in self.mirror_pairs for n in pair)

    @property
    def n_joints(self) -> int:
        return len(self.joint_names)

    @functools.cached_property
    def mirror(self) -> np.ndarray:
        """[J] index of each joint's mirror image; its own index where it is central or has no partner."""
        index = {n: i for i, n in enumerate(self.joint_names)}
        partners = {n: mirror_name(n) for n in self.joint_names} | self._given_partners()
        return np.array([index.get(partners[n], i) for i, n in enumerate(self.joint_names)], np.int64)

    @property
    def without_partner(self) -> tuple[str, ...]:
        """Joints that read as left or right by their names, but whose mirror image is not there."""
        given = self._given_partners()
        return tuple(n for n in without_partner(self.joint_names) if n not in given)

    def _given_partners(self) -> dict[str, str]:
        return {x: y for a, b in self.mirror_pairs for x, y in ((a, b), (b, a))}

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
        pairs = tuple(pair for pair in self.mirror_pairs if set(pair) <= set(names))
        return Skeleton(name or self.name, tuple(names), tuple(edges), self.merged, pairs)

    def to_dict(self) -> dict:
        return {
            "name": self.name,
            "joint_names": list(self.joint_names),
            "edges": [list(e) for e in self.edges],
            **({"merged": True} if self.merged else {}),
            **({"mirror_pairs": [list(pair) for pair in self.mirror_pairs]} if self.mirror_pairs else {}),
        }

    @classmethod
    def from_dict(cls, data: dict) -> Skeleton:
        merged = data.get("merged", data["name"].endswith(_MERGED))  # before it was stored, only the name said so
        return cls(data["name"], data["joint_names"], data["edges"], merged, data.get("mirror_pairs", ()))


def parse_edges(paths: str | Iterable[str], joint_names: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Edges from paths such as ``"htop-head-neck-lsho,pelv-lhip"``, each added with its mirror image.

    Names may leave out the suffix where all joints share one.

    Raises:
        UserError: a path names a joint that is not there.
    """
    index = {base_and_convention(n)[0]: i for i, n in reversed(list(enumerate(joint_names)))}
    index.update({n: i for i, n in enumerate(joint_names)})
    edges: dict[tuple[int, int], None] = {}
    for path in filter(None, paths.split(",") if isinstance(paths, str) else paths):
        names = [n.strip() for n in path.split("-")]
        if unknown := [n for n in names if n not in index]:
            raise UserError(f"The edges '{path}' name joints that are not there: {', '.join(unknown)}.")
        for a, b in itertools.pairwise(names):
            for first, second in ((a, b), (mirror_name(a), mirror_name(b))):
                if first in index and second in index:
                    i, j = index[first], index[second]
                    if i != j and (j, i) not in edges:
                        edges[i, j] = None
    return tuple(edges)


def make_skeleton(
    name: str,
    bases: str | Sequence[str],
    edge_paths: str,
    suffix: str = "",
    *,
    mirror: Iterable[tuple[str, str]] = (),
) -> Skeleton:
    """A skeleton from base names (comma separated) of one convention and its edge paths.

    Args:
        mirror: pairs of base names that are mirror images without saying so (`Skeleton.mirror_pairs`).
    """
    bases = bases.split(",") if isinstance(bases, str) else list(bases)
    ending = f"_{suffix}" if suffix else ""
    joint_names = tuple(b + ending for b in bases)
    pairs = tuple((a + ending, b + ending) for a, b in mirror)
    return Skeleton(name, joint_names, parse_edges(edge_paths, joint_names), mirror_pairs=pairs)


@functools.cache
def dataset_skeletons() -> dict[str, Skeleton]:
    """The 19 skeletons of the 28 3D datasets by convention, 555 joints in all, in the datasets' own joint orders."""
    return {
        suffix: make_skeleton(suffix, bases, edges, suffix)
        for suffix, (bases, edges) in skeleton_tables.DATASET_SKELETONS.items()
    }


@functools.cache
def extra_skeletons() -> dict[str, Skeleton]:
    """Skeletons by convention that are not among the paper's, in the order of other people's programs."""
    return {
        suffix: make_skeleton(suffix, bases, edges, suffix)
        for suffix, (bases, edges) in skeleton_tables.EXTRA_SKELETONS.items()
    }


def output_skeletons() -> dict[str, tuple[str, ...]]:
    """Skeletons that a trained model offers by name, e.g. ``smpl_24``: the joint names in order."""
    return {**_listed_skeletons(), **_registered}


@functools.cache
def _listed_skeletons() -> dict[str, tuple[str, ...]]:
    known = dataset_skeletons() | extra_skeletons()
    listed: dict[str, tuple[str, ...]] = {}
    for name, (suffix, bases) in skeleton_tables.OUTPUT_SKELETONS.items():
        if bases is None:
            listed[name] = known[suffix].joint_names
        else:
            listed[name] = tuple(b if "_" in b else f"{b}_{suffix}" for b in bases.split(","))
    return listed


_registered: dict[str, tuple[str, ...]] = {}


def register_output_skeleton(name: str, joint_names: Sequence[str]) -> None:
    """Lets models that have these joints offer them under a name; UserError where another skeleton has that name."""
    if output_skeletons().get(name, tuple(joint_names)) != tuple(joint_names):
        raise UserError(f"There is another skeleton '{name}' already; give yours a name of its own.")
    _registered[name] = tuple(joint_names)


def get_skeleton(name: str) -> Skeleton:
    """A skeleton by convention (``h36m``), output name (``h36m_17``) or ``union_555``; UserError lists the names."""
    conventions = dataset_skeletons() | extra_skeletons()
    if name in conventions:
        return conventions[name]
    whole = union(dataset_skeletons().values(), "union_555")
    if name == whole.name:
        return whole
    if name in output_skeletons():
        return union(conventions.values()).select(output_skeletons()[name], name)
    known = ", ".join([*conventions, *output_skeletons(), whole.name])
    raise UserError(f"There is no skeleton '{name}'; known ones: {known}.")


def union(skeletons: Iterable[Skeleton], name: str = "union") -> Skeleton:
    """All joints of all skeletons in order of first appearance, with all their edges."""
    index: dict[str, int] = {}
    edges: dict[tuple[int, int], None] = {}
    pairs: dict[tuple[str, str], None] = {}
    for skeleton in skeletons:
        pairs.update(dict.fromkeys(skeleton.mirror_pairs))
        for joint in skeleton.joint_names:
            index.setdefault(joint, len(index))
        for a, b in skeleton.edges:
            i, j = index[skeleton.joint_names[a]], index[skeleton.joint_names[b]]
            edges.setdefault((min(i, j), max(i, j)))
    return Skeleton(name, tuple(index), tuple(sorted(edges)), mirror_pairs=tuple(pairs))


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
    for suffix, joints in conventions(skeleton.joint_names).items() if not skeleton.merged else ():
        name = f"{suffix}_{len(joints)}"
        if suffix and len(joints) >= MIN_JOINTS_OF_CONVENTION and name not in found:
            found[name] = skeleton.select(joints, name)
    return {**found, "": skeleton}


def shown(name: str, skeleton: Skeleton) -> Skeleton:
    """An output skeleton as exported models show it: named, and drawn, as in the public MeTRAbs models.

    Names lose their convention, except in all joints together, in ``smpl+head_30`` and in skeletons of one's own
    (`register_output_skeleton`).
    """
    edges = parse_edges(skeleton_tables.MORE_EDGES.get(name, ""), skeleton.joint_names)
    edges = tuple(dict.fromkeys((*skeleton.edges, *edges)))
    names = {n: n for n in skeleton.joint_names}
    if name not in skeleton_tables.NAMED_WITH_CONVENTION and name not in _registered:
        other = skeleton_tables.SHOWN_NAMES.get(name, {})
        bases = [base_and_convention(n)[0] for n in names]
        if len(set(bases)) == len(bases):
            names = {n: other.get(base, base) for n, base in zip(names, bases, strict=True)}
    pairs = tuple((names[a], names[b]) for a, b in skeleton.mirror_pairs)
    return Skeleton(name, tuple(names.values()), edges, skeleton.merged, pairs)


def conventions(joint_names: Iterable[str]) -> dict[str, list[str]]:
    """The joints by the convention that their names end with; under "" those without."""
    found: dict[str, list[str]] = {}
    for name in joint_names:
        found.setdefault(base_and_convention(name)[1], []).append(name)
    return found


def prefix_groups(names2d: Sequence[str], names3d: Sequence[str]) -> list[np.ndarray]:
    """For each 2D joint the indices of the 3D joints whose name starts with it (MeTRAbs's weak 2D supervision)."""
    codes = [code(n) for n in names3d]
    return [np.array([i for i, n in enumerate(codes) if n.startswith(p)], np.int64) for p in names2d]


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
    pairs = tuple((_merged_name(a), _merged_name(b)) for a, b in skeleton.mirror_pairs)
    return Skeleton(skeleton.name + _MERGED, tuple(index), edges, True, tuple(dict.fromkeys(pairs))), target


def corresponding_joints(skeleton: Skeleton, names: Iterable[str]) -> np.ndarray:
    """Positions of `names` in `skeleton` or, in a merged one (`merge_by_name`), of what they were merged into.

    Raises:
        UserError: on a name that it does not have.
    """
    return skeleton.indices([_merged_name(n) for n in names] if skeleton.merged else names)


def _merged_name(name: str) -> str:
    base, suffix = base_and_convention(name)
    return name if (base, suffix) in skeleton_tables.KEPT_APART else base
