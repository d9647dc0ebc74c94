"""Sides, parts and conventions in joint names as people write them."""

import pytest

from metrabs_acae.joint_names import base_and_convention, code, mirror_name, side, without_partner
from metrabs_acae.skeletons import dataset_skeletons, output_skeletons


@pytest.mark.parametrize(
    ("left", "right"),
    [
        ("lhip", "rhip"),
        ("lank_h36m", "rank_h36m"),
        ("left_hip", "right_hip"),
        ("LEFT_HIP", "RIGHT_HIP"),
        ("Left Hip", "Right Hip"),
        ("hip_left", "hip_right"),
        ("hip-left_mine", "hip-right_mine"),
        ("LeftHip", "RightHip"),
        ("leftHip", "rightHip"),
        ("HipLeft", "HipRight"),
        ("HandTipLeft", "HandTipRight"),
        ("lefthip", "righthip"),
        ("LHip", "RHip"),
        ("LHIP", "RHIP"),
        ("L_Hip", "R_Hip"),
        ("l_hip", "r_hip"),
        ("hip_l", "hip_r"),
        ("hip.L", "hip.R"),
        ("HipL", "HipR"),
        ("mixamorig:LeftArm", "mixamorig:RightArm"),
        ("lower_arm_left", "lower_arm_right"),
        ("LowerLegR", "LowerLegL"),
    ],
)
def test_the_usual_spellings_are_understood(left, right):
    assert {side(left), side(right)} == {"l", "r"}
    assert mirror_name(left) == right and mirror_name(right) == left


@pytest.mark.parametrize(
    "name", ["pelv_h36m", "neck", "Nose", "root", "Root", "RIBS", "lower_back", "lumbar", "htop", "c_hip"]
)
def test_central_names_have_no_side(name):
    assert side(name) == "c" and mirror_name(name) == name


def test_every_sided_joint_of_the_datasets_has_its_partner():
    names = [n for s in dataset_skeletons().values() for n in s.joint_names]
    assert without_partner(names) == ()
    assert all(side(n) == (n[0] if n[0] in "lr" else "c") for n in names)
    for joints in output_skeletons().values():
        assert all(mirror_name(mirror_name(n)) == n for n in joints)


def test_a_sided_name_without_partner_is_found():
    assert without_partner(["left_hip", "right_knee", "pelvis", "root"]) == ("left_hip", "right_knee")


@pytest.mark.parametrize(
    ("name", "base", "convention", "short"),
    [
        ("rhip_h36m", "rhip", "h36m", "rhip"),
        ("left_hip", "left_hip", "", "lhip"),
        ("left_hip_mine", "left_hip", "mine", "lhip"),
        ("LeftShoulder_mine", "LeftShoulder", "mine", "lsho"),
        ("RKnee", "RKnee", "", "rkne"),
        ("ankle_r_lab", "ankle_r", "lab", "rank"),
        ("Pelvis", "Pelvis", "", "pelv"),
        ("lower_arm_left", "lower_arm_left", "", "llowerarm"),
        ("lthu2_gpa", "lthu2", "gpa", "lthu2"),
    ],
)
def test_bases_conventions_and_codes(name, base, convention, short):
    assert base_and_convention(name) == (base, convention)
    assert code(name) == short


def test_the_datasets_own_names_are_their_codes():
    for suffix, skeleton in dataset_skeletons().items():
        assert [base_and_convention(n) for n in skeleton.joint_names] == [
            (n.partition("_")[0], suffix) for n in skeleton.joint_names
        ]
        assert [code(n) for n in skeleton.joint_names] == [n.partition("_")[0] for n in skeleton.joint_names]
