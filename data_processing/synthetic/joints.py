"""Skeletons of the synthetic body: joints as fixed sparse averages of posed vertices and bone heads.

Nine conventions come as regressors (`assets/joint_regressors.npz`); two more (GHUM-like, GPA-like) and the markers that
they lack are defined here on bones and on points of the skin. Names are those of `metrabs_acae.skeletons`.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
from numba import njit

from data_processing.synthetic.body import ASSETS, load_body
from data_processing.synthetic.conventions import skeletons
from metrabs_acae.skeletons import Skeleton, union

# convention suffix: (name in joint_regressors.npz, project's name = regressor's name); `?` is the side L or R.

_SMPL = (
    "hip=hip,kne=knee,ank=ankle,toe=toe,cla=clav,sho=shoulder,elb=elbow,wri=wrist,han=hand",
    "pelv=pelv,bell=spine1,spin=spine2,thor=spine3,neck=neck,head=head",
)
_LIMBS = "sho=shoulder,elb=elbow,wri=wrist,hip=hip,kne=knee,ank=ankle"
_FACE = "eye=eye,ear=ear"
_REGRESSORS = {
    # suffix: (regressor set, sided joints, central joints)
    "smpl": ("smpl24", *_SMPL),
    "h36m": (
        "h36m25",
        _LIMBS + ",foo=toe,toe=toetip,thu=thumb,fin=hand",
        "pelv=pelv,spin=spine,neck=neck,head=head,htop=htop",
    ),
    "3dhp": (
        "3dhp28",
        _LIMBS + ",cla=clav,han=hand,foo=foot,toe=toe",
        "thor=spine3,spi4=spine4,spi2=spine2,spin=spine,pelv=pelv,neck=neck,head=head,htop=htop",
    ),
    "mupots": ("mupots17", _LIMBS, "htop=htop,neck=neck,pelv=pelv,spin=spine,head=head"),
    "panoptic": ("panoptic19", _LIMBS + "," + _FACE, "neck=neck,nose=nose,pelv=pelv"),
    "coco": ("coco25feet", _LIMBS + "," + _FACE + ",foo=small_toe,toe=big_toe,hee=heel", "nose=nose"),
    "bmlmovi": (
        "bmlmovi",
        "fronthead=FHD,backhead=BHD,shom=SHO,upperarm=UPA,elbm=ELB,elbinner=ELBm,forearm=FRM,writhumbside=WRA,"
        "wripinkieside=WRB,fin=FIN,thumb=THM,asis=ASI,psis=PSI,frontthigh=THF,thigh=THI,knem=KNE,innerknee=KNEm,"
        "shin=SHN,ankm=ANK,hee=HEE,toe=TOE,firstmetatarsal=MT1,fifthmetatarsal=MT5,scapula=SCP,waist=WST,"
        "hip=Jhip,kne=Jknee,ank=Jankle,sho=Jshoulder,elb=Jelbow,wri=Jwrist",
        "backneck=C7,upperback=T10,clavicle=CLAV,sternum=STRN,umbilicus=NAV,head=Jhead,pelv=Jpelv,thor=Jspine3",
    ),
}

# Joints made of bone heads: project's name = weighted bones of the rig; `?` is the side.
_BONES = {
    "bmlmovi": {"?han": "finger3-1.?", "?foo": "toe2-1.?", "mhip": "upperleg01.L+upperleg01.R"},
    "ghum": {
        "pelv": "upperleg01.L+upperleg01.R+spine04",
        "spin1": "spine04",
        "spin2": "spine02",
        "spin3": "spine02+2*spine01",
        "neck": "neck01",
        "head": "head",
        "?cla": "clavicle.?",
        "?sho": "3*upperarm01.?+shoulder01.?",
        "?elb": "lowerarm01.?",
        "?wri": "wrist.?",
        "?middle1": "finger3-1.?",
        "?middle3": "finger3-3.?",
        "?thu": "finger1-2.?",
        "?hip": "3*upperleg01.?+upperleg02.?",
        "?kne": "lowerleg01.?",
        "?ank": "foot.?",
        "?foo": "toe1-1.?+toe3-1.?+toe5-1.?",
        "?toe": "toe2-3.?",
    },
    "gpa": {
        "pelv": "spine05+spine04",
        "spin": "spine04+spine03",
        "spi1": "spine03+spine02",
        "spi2": "spine02",
        "spi3": "2*spine01+clavicle.L+clavicle.R",
        "neck": "neck01+2*neck02",
        "head": "neck03+head",
        "?cla": "2*clavicle.?+shoulder01.?",
        "?sho": "5*upperarm01.?+upperarm02.?",
        "?elb": "9*lowerarm01.?+upperarm02.?",
        "?wri": "4*wrist.?+finger3-1.?",
        "?han": "finger3-1.?+wrist.?",
        "?fin": "finger3-3.?",
        "?thu": "finger1-1.?",
        "?thu2": "finger1-3.?",
        "?hip": "4*upperleg01.?+pelvis.?",
        "?kne": "12*lowerleg01.?+upperleg02.?",
        "?ank": "9*foot.?+lowerleg01.?",
        "?foo": "toe3-1.?",
        "?toe": "toe3-2.?+toe3-3.?",
    },
}

# Points of the skin in the mean rest pose, metres, of the left side; the right side mirrors them.
_SKIN_POINTS = {
    "bmlmovi": {
        "lback": (0.085, 0.08, 0.40),
        "lcheek": (0.055, -0.115, 0.80),
        "lbreast": (0.09, -0.16, 0.45),
        "lfrontinnerthigh": (0.07, -0.10, -0.12),
        "lfourthtoe": (0.22, -0.17, -0.80),
        "lbum": (0.09, 0.12, 0.05),
    },
    "ghum": {
        "head2": (0.0, -0.03, 0.945),
        "lbrow1": (0.03, -0.15, 0.855),
        "lhee": (0.19, 0.055, -0.79),
    },
    "gpa": {"htop": (0.0, -0.045, 0.945)},
}
# Averages of joints of the same convention
_MIDPOINTS = {"coco": {"neck": "lsho+rsho", "pelv": "lhip+rhip"}}


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
    """Every joint of every convention, in the order of the union of `skeletons()`."""
    whole = union(skeletons().values(), "synthetic")
    rows = _rows()
    listed = [rows[name] for name in whole.joint_names]
    return JointRegressor(
        whole,
        np.cumsum([0] + [len(r) for r in listed]).astype(np.int32),
        np.array([i for r in listed for i in r], np.int32),
        np.array([w for r in listed for w in r.values()], np.float32),
    )


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
    for suffix, (source, sided, central) in _REGRESSORS.items():
        for base, name in _pairs(sided):
            row = given[source, name + "L"]
            rows[f"l{base}_{suffix}"] = row
            rows[f"r{base}_{suffix}"] = {partner[i]: w for i, w in row.items()}
        for base, name in _pairs(central):
            row = given[source, name]
            mirror = {partner[i]: w for i, w in row.items()}
            rows[f"{base}_{suffix}"] = _average([(1, row), (1, mirror)])
    for suffix, joints in _BONES.items():
        for name, formula in joints.items():
            for side in "lr" if name.startswith("?") else " ":
                terms = [t.split("*") if "*" in t else ("1", t) for t in formula.replace("?", side.upper()).split("+")]
                row = [(float(f), {body.n_vertices + body.names.index(bone): 1.0}) for f, bone in terms]
                rows[f"{name.replace('?', side)}_{suffix}"] = _average(row)
    for suffix, joints in _SKIN_POINTS.items():
        for name, point in joints.items():
            distance = np.linalg.norm(body.mean_vertices - np.array(point), axis=1)
            row = {int(i): 0.25 for i in np.argsort(distance)[:4]}
            mirror = {partner[i]: w for i, w in row.items()}
            if name.startswith("l"):
                rows[f"{name}_{suffix}"], rows[f"r{name[1:]}_{suffix}"] = row, mirror
            else:
                rows[f"{name}_{suffix}"] = _average([(1, row), (1, mirror)])
    for suffix, joints in _MIDPOINTS.items():
        for name, formula in joints.items():
            rows[f"{name}_{suffix}"] = _average([(1, rows[f"{j}_{suffix}"]) for j in formula.split("+")])
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
