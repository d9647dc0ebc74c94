"""All 555 joints, their order and their mirror images against a list that was written down separately."""

from collections import Counter
from pathlib import Path

import numpy as np

from data_processing.registry import DATASETS
from metrabs_acae.skeletons import dataset_skeletons, get_skeleton, union

OPENPOSE_FEET = 6
JOINTS_OF = {
    **{
        "surreal": 24,
        "h36m": 25,
        "fit3d": 25,
        "chi3d": 25,
        "humansc3d": 25,
        "sailvos": 26,
        "panoptic": 25 - OPENPOSE_FEET,
    },
    **{"muco": 28, "aist": 25 - OPENPOSE_FEET, "gpa": 34, "humbi": 25, "aspset": 17, "agora": 24 + 42, "3doh": 14},
    **{"3dpeople": 29, "bml_movi": 67 + 20, "mads": 19, "umpm": 15, "bmhad": 43, "3dhp": 28, "totalcapture": 21},
    **{"jta": 22, "ikea": 17, "human4d": 32, "behave": 24 + 25, "rich": 42, "spec": 24, "hspace": 35},
}
"""Joints of each dataset, as the paper's data preparation has them."""


def written_down() -> dict[str, list[str]]:
    """Convention -> its joints' base names."""
    joints: dict[str, list[str]] = {}
    for line in (Path(__file__).parent / "paper_joints.txt").read_text().splitlines()[1:]:
        name, colon, rest = line.partition(":")
        if colon:
            joints[name] = []
        joints[name if colon else next(reversed(joints))] += (rest if colon else line).split()
    return joints


def test_every_joint_of_every_convention_in_order():
    expected = written_down()
    assert len(expected) == 19 and sum(map(len, expected.values())) == 555
    for convention, skeleton in dataset_skeletons().items():
        assert skeleton.joint_names == tuple(f"{n}_{convention}" for n in expected.pop(convention))
    assert not expected


def test_every_mirror_image():
    names = [f"{n}_{convention}" for convention, bases in written_down().items() for n in bases]
    sides = Counter(n[0] if n[0] in "lr" else "c" for n in names)
    assert sides == {"l": 222, "r": 222, "c": 111}
    opposite = {"l": "r", "r": "l"}
    expected = [names.index(opposite[n[0]] + n[1:]) if n[0] in "lr" else i for i, n in enumerate(names)]
    whole = get_skeleton("union_555")
    assert list(whole.joint_names) == names
    np.testing.assert_array_equal(whole.mirror, expected)


def test_the_28_datasets_have_them_all():
    datasets = [d for d in DATASETS.values() if d.role == "3d"]
    assert {d.name: d.get_skeleton().n_joints for d in datasets} == JOINTS_OF
    whole = union(d.get_skeleton() for d in datasets)
    assert set(whole.joint_names) == set(get_skeleton("union_555").joint_names) and whole.n_joints == 555
    for dataset in datasets:
        skeleton = dataset.get_skeleton()
        for i, j in enumerate(skeleton.mirror):
            a, b = skeleton.joint_names[i], skeleton.joint_names[j]
            assert a[1:] == b[1:] and ({a[0], b[0]} == {"l", "r"} or (i == j and a[0] not in "lr")), (
                dataset.name,
                a,
                b,
            )
