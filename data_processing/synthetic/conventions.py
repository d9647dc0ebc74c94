"""The skeleton conventions that the synthetic datasets use; light to import."""

from __future__ import annotations

import functools

from metrabs_acae.skeletons import Skeleton, dataset_skeletons, make_skeleton


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
