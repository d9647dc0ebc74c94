"""The skeleton conventions of the synthetic body; light to import."""

from __future__ import annotations

import functools

from metrabs_acae.skeletons import Skeleton, dataset_skeletons, extra_skeletons, make_skeleton


@functools.cache
def skeletons() -> dict[str, Skeleton]:
    """The conventions of the synthetic datasets by suffix; COCO / Panoptic and 3DHP / MuPoTS truly disagree here."""
    known = dataset_skeletons()
    own = {
        "mupots": make_skeleton(
            "mupots",
            "htop,neck,rsho,relb,rwri,lsho,lelb,lwri,rhip,rkne,rank,lhip,lkne,lank,pelv,spin,head",
            "htop-head-neck-spin-pelv-rhip-rkne-rank,neck-rsho-relb-rwri",
            "mupots",
        ),
        "panoptic": make_skeleton(
            "panoptic",
            "neck,nose,lsho,lelb,lwri,lhip,lkne,lank,rsho,relb,rwri,rhip,rkne,rank,leye,lear,reye,rear,pelv",
            "nose-neck-pelv-rhip-rkne-rank,neck-rsho-relb-rwri,nose-reye-rear",
            "panoptic",
        ),
    }
    order = ("h36m", "3dhp", "mupots", "panoptic", "coco", "bmlmovi", "smpl", "ghum", "gpa")
    return {suffix: own.get(suffix) or known[suffix] for suffix in order}


@functools.cache
def all_conventions() -> dict[str, Skeleton]:
    """Every convention that is defined on the synthetic body: those of `skeletons()`, then the others."""
    return skeletons() | {s: k for s, k in (dataset_skeletons() | extra_skeletons()).items() if s not in skeletons()}


APPROXIMATIONS: dict[str, str] = {
    "smpl": "bone heads next to SMPL's joints",
    "h36m": "bone heads and skin points, shifted as the dataset's joints lie beside SMPL's",
    "3dhp": "bone heads, shifted as the dataset's joints lie beside SMPL's",
    "mupots": "between the joints of 3dhp and h36m",
    "panoptic": "between the joints of coco and bone heads",
    "bmlmovi": "single vertices where the markers are glued; virtual joints on bone heads",
    "ghum": "bone heads",
    "gpa": "bone heads, shifted along the bones",
    "smplx": "joints as of smpl; face and feet as of coco; fingertips beyond the last finger bone",
    "3doh": "between the joints of coco and h36m; the head is its top",
    "ikea": "as of coco",
    "umpm": "between marker pairs of bmlmovi at elbow, wrist and knee; hips between smpl and h36m",
    "mads": "bone heads drawn towards the markers of bmlmovi",
    "aspset": "between the joints of smpl and coco, with levels of the spine of their own",
    "sailvos": "bone heads, shifted along the bones as means of several bones of the game's rig; face as of coco",
    "jta": "bone heads as of a game's rig",
    "3dpeople": "bone heads as of an animation rig, whose hips and spine lie high",
    "totcap": "bone heads as of a motion capture rig, whose hips and spine lie high",
    "human4d": "bone heads as of a motion capture rig, with three joints at the neck and toes of two bones",
    "bmhad": "four skin vertices each, where the marker is glued, judged by the marker's name and neighbours",
    "kinectv2": "bone heads, the hips drawn inwards, hand and foot at their middle",
    "blazepose": "as of coco; knuckles on finger bones; eye and mouth corners on the skin",
}
"""How the conventions are defined that do not follow their dataset's own definition; the others (coco) do."""
