"""The synthetic datasets: a table of what each imitates, shows, and how well it is labelled.

Light to import: the training program reads TRAIN_3D, TRAIN_2D and BENCHMARKS from here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from data_processing.synthetic.conventions import skeletons
from data_processing.synthetic.motions import ALL, DAILY, DANCE, EXERCISE, OUTDOOR, STUDIO_SPORT, Motions
from metrabs_acae.skeletons import COMMON_2D_JOINTS, Skeleton, get_skeleton, make_skeleton, union

LICENCE = "CC0-1.0 images of CC0 / Apache-2.0 / zlib assets, see NOTICE"


@dataclass(frozen=True)
class LabelNoise:
    """How training labels err; test and valid splits are exact.

    Attributes:
        plane_mm, depth_mm: standard deviation across and along the viewing ray, per joint.
        offset_mm: standard deviation of each joint's constant offset, fixed in the body's frame.
        missing: probability that a joint is not labelled.
    """

    plane_mm: float = 0.0
    depth_mm: float = 0.0
    offset_mm: float = 0.0
    missing: float = 0.0


@dataclass(frozen=True)
class StoreSpec:
    """One synthetic dataset.

    Attributes:
        share: training images per unit of dataset size; splits: which splits it has.
        rig: name in `rigs.RIGS`; place: style of `background.sample_surroundings`; outfit: in `appearance.OUTFITS`.
        subjects: how many people train it; heights_mm: their statures.
        people: least and greatest number of people; all_labelled: everyone is a row, else only the first.
        occluders: probability of an object in front; truncated: of a person cut by the image's border.
        photo_noise: how rough the pictures are (0 clean .. 1); detail: factor on their size, people of 150 to 190 px.
    """

    name: str
    skeleton: Skeleton
    splits: tuple[str, ...] = ("train",)
    kind: str = "3d"
    share: int = 1
    rig: str = "anywhere"
    place: str = "wild"
    outfit: str = "everyday"
    motions: Motions = DAILY
    subjects: int = 40
    heights_mm: tuple[float, float] = (1450, 2050)
    people: tuple[int, int] = (1, 1)
    all_labelled: bool = False
    occluders: float = 0.1
    truncated: float = 0.05
    photo_noise: float = 0.4
    detail: float = 1.0
    noise: LabelNoise = field(default_factory=LabelNoise)
    clean: bool = False
    realistic_background: bool = False
    imitates: str = ""


class Benchmark(NamedTuple):
    """A test split: the store's name, its joints in the store's order, the joint that errors are relative to."""

    store: str
    joint_names: tuple[str, ...]
    root: str


_CONVENTIONS = skeletons()
MPII_16 = make_skeleton(
    "mpii_16",
    "rank,rkne,rhip,lhip,lkne,lank,pelv,thor,neck,htop,rwri,relb,rsho,lsho,lelb,lwri",
    "htop-neck-thor-rsho-relb-rwri,thor-pelv-rhip-rkne-rank",
)
COCO_17 = make_skeleton("coco_17", COMMON_2D_JOINTS, "rank-rkne-rhip-lhip,rhip-rsho-relb-rwri,rsho-lsho,rear-reye-nose")
# Which 3D joint each unsuffixed 2D joint is annotated at
SOURCES_2D = {
    "coco_17": {n: f"{n}_coco" for n in COCO_17.joint_names},
    "mpii_16": {
        **{n: f"{n}_mupots" for n in MPII_16.joint_names},
        "thor": "neck_panoptic",
    },
}

_H36M = dict(rig="studio4", place="studio", outfit="muted", motions=DAILY, photo_noise=0.2, occluders=0.08)
_3DHP = dict(rig="studio14", place="green", motions=EXERCISE, photo_noise=0.3, occluders=0.1)
_3DPW = dict(rig="handheld", place="outdoor", motions=OUTDOOR, photo_noise=0.5, occluders=0.15, people=(1, 2))
_MUPOTS = dict(rig="outdoor", place="outdoor", motions=OUTDOOR, photo_noise=0.4, people=(2, 3), all_labelled=True)

STORES: dict[str, StoreSpec] = {
    s.name: s
    for s in (
        StoreSpec(
            "synthetic-h36m", _CONVENTIONS["h36m"], ("train", "valid"), share=2, clean=True, imitates="Human3.6M",
            truncated=0.0, **_H36M,
        ),
        StoreSpec(
            "synthetic-3dhp", _CONVENTIONS["3dhp"], ("train", "valid"), share=2, imitates="MPI-INF-3DHP",
            noise=LabelNoise(6, 15, 5), **_3DHP,
        ),
        StoreSpec(
            "synthetic-muco", _CONVENTIONS["mupots"], share=6, rig="studio14", place="green", motions=EXERCISE,
            people=(2, 4), all_labelled=True, noise=LabelNoise(6, 15, 5), imitates="MuCo-3DHP",
        ),
        StoreSpec(
            "synthetic-panoptic", _CONVENTIONS["panoptic"], share=2, rig="dome", place="dome", motions=DAILY,
            heights_mm=(1150, 2050), people=(1, 3), noise=LabelNoise(8, 18, 6, 0.08), imitates="CMU Panoptic",
        ),
        StoreSpec(
            "synthetic-aist", _CONVENTIONS["coco"].select(
                [n for n in _CONVENTIONS["coco"].joint_names if n[1:4] not in ("foo", "toe", "hee")], "coco_19"
            ),
            share=2, rig="circle9", place="white", outfit="dance", motions=DANCE,
            noise=LabelNoise(8, 22, 6), imitates="AIST++", occluders=0.0,
        ),
        StoreSpec(
            "synthetic-humbi", _CONVENTIONS["coco"], share=2, rig="ring107", place="dome", outfit="bright",
            motions=Motions((("stand", 4), ("step", 1), ("bend", 1))), subjects=80, heights_mm=(1250, 2050),
            noise=LabelNoise(6, 15, 5, 0.04), imitates="HUMBI",
        ),
        StoreSpec(
            "synthetic-movi", _CONVENTIONS["bmlmovi"], ("train", "valid"), share=2, rig="lab2", place="studio",
            outfit="tight", motions=STUDIO_SPORT, clean=True, photo_noise=0.2, imitates="BML-MoVi",
        ),
        StoreSpec(
            "synthetic-surreal", _CONVENTIONS["smpl"], ("train", "valid"), share=4, rig="anywhere", place="wild",
            outfit="bright", motions=ALL, subjects=120, heights_mm=(1300, 2100), imitates="SURREAL, AGORA",
            noise=LabelNoise(2, 5, 2), people=(1, 2), realistic_background=True,
        ),
        StoreSpec(
            "synthetic-hspace", _CONVENTIONS["ghum"], share=4, rig="handheld", place="outdoor", outfit="everyday",
            motions=OUTDOOR, subjects=80, people=(1, 3), occluders=0.2, realistic_background=True, imitates="HSPACE",
        ),
        StoreSpec(
            "synthetic-gpa", _CONVENTIONS["gpa"], share=2, rig="low5", place="hall", outfit="tight",
            motions=STUDIO_SPORT, occluders=0.5, noise=LabelNoise(5, 12, 5, 0.03), imitates="GPA",
        ),
        StoreSpec(
            "synthetic-coco", COCO_17, kind="2d", share=2, rig="photo", place="wild", motions=ALL, subjects=200,
            heights_mm=(1100, 2150), people=(1, 3), occluders=0.3, truncated=0.2, photo_noise=1.0, imitates="COCO",
        ),
        StoreSpec(
            "synthetic-mpii", MPII_16, kind="2d", share=2, rig="photo", place="wild", motions=ALL, subjects=200,
            people=(1, 2), occluders=0.2, truncated=0.1, photo_noise=1.0, imitates="MPII",
        ),
        StoreSpec(
            "synthetic-h36m-test", get_skeleton("h36m_17"), ("test",), imitates="Human3.6M, test", truncated=0.0,
            **_H36M,
        ),
        StoreSpec(
            "synthetic-3dhp-test", get_skeleton("mpi_inf_3dhp_17"), ("test",), imitates="MPI-INF-3DHP, test",
            truncated=0.0, **(_3DHP | {"place": "hall", "photo_noise": 0.4}),
        ),
        StoreSpec("synthetic-mupots-test", _CONVENTIONS["mupots"], ("test",), imitates="MuPoTS-3D", **_MUPOTS),
        StoreSpec("synthetic-3dpw-test", get_skeleton("smpl_24"), ("test",), imitates="3DPW", **_3DPW),
        StoreSpec(
            "synthetic-all", union(_CONVENTIONS.values(), "synthetic"), ("test",), rig="anywhere", place="wild",
            motions=ALL, truncated=0.0, imitates="none: every joint of every skeleton, exactly",
        ),
    )
}  # fmt: skip

_TRAINING = [s for s in STORES.values() if "train" in s.splits]
# (store, examples per batch)
TRAIN_3D: tuple[tuple[str, int], ...] = tuple((s.name, s.share) for s in _TRAINING if s.kind == "3d")
# Most of a batch from stores like the harder benchmarks: several people, walks and runs, the SMPL skeleton.
_FOCUSED = dict(muco=11, hspace=7, surreal=5, h36m=1, panoptic=1, aist=1, humbi=1, movi=1, gpa=1) | {"3dhp": 1}
TRAIN_3D_FOCUSED = tuple((name, _FOCUSED[name.removeprefix("synthetic-")]) for name, _ in TRAIN_3D)
MIXTURES_3D = {"broad": TRAIN_3D, "focused": TRAIN_3D_FOCUSED}
TRAIN_2D: tuple[tuple[str, int], ...] = tuple((s.name, s.share) for s in _TRAINING if s.kind == "2d")
BENCHMARKS: tuple[Benchmark, ...] = tuple(
    Benchmark(name, STORES[name].skeleton.joint_names, root)
    for name, root in (
        ("synthetic-h36m-test", "pelv_h36m"),
        ("synthetic-3dhp-test", "pelv_3dhp"),
        ("synthetic-mupots-test", "pelv_mupots"),
        ("synthetic-3dpw-test", "pelv_smpl"),
    )
)
CONSISTENCY_STORE = "synthetic-all"


@dataclass(frozen=True)
class Size:
    """How many images: training ones per unit of share (at least `train_least`), and per valid and test split."""

    train_per_share: int
    train_least: int
    valid: int
    test: int


SIZES = {
    "tiny": Size(4, 24, 8, 24),
    "small": Size(250, 24, 50, 180),
    "medium": Size(850, 24, 50, 180),
    "large": Size(3500, 24, 200, 1000),
}


def image_count(spec: StoreSpec, split: str, size: str) -> int:
    """Number of images (not people) of a split. Images in which everyone is labelled count for two."""
    s = SIZES[size]
    count = {"train": max(s.train_least, s.train_per_share * spec.share), "valid": s.valid, "test": s.test}[split]
    return -(-count // 2) if spec.all_labelled else count
