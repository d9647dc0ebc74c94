"""Skeletons against the counts of the datasets' documentation and against their own invariants."""

from collections import Counter

import numpy as np
import pytest

from metrabs_acae import skeletons
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import Skeleton, get_skeleton

PUBLIC_MODELS = (
    "smpl_24,kinectv2_25,h36m_17,h36m_25,mpi_inf_3dhp_17,mpi_inf_3dhp_28,coco_19,smplx_42,ghum_35,lsp_14,sailvos_26,"
    "gpa_34,aspset_17,bml_movi_87,mads_19,berkeley_mhad_43,total_capture_21,jta_22,ikea_asm_17,human4d_32,3dpeople_29,"
    "umpm_15,smpl+head_30"
).split(",")
JOINTS_PER_CONVENTION = {
    "smpl": 24, "h36m": 25, "sailvos": 26, "coco": 25, "3dhp": 28, "gpa": 34, "aspset": 17, "smplx": 42, "3doh": 14,
    "3dpeople": 29, "bmlmovi": 87, "mads": 19, "umpm": 15, "bmhad": 43, "totcap": 21, "jta": 22, "ikea": 17,
    "human4d": 32, "ghum": 35,
}  # fmt: skip


def test_union_has_the_papers_555_joints():
    whole = get_skeleton("union_555")
    assert {s: k.n_joints for s, k in skeletons.dataset_skeletons().items()} == JOINTS_PER_CONVENTION
    assert whole.n_joints == 555
    assert Counter(skeletons.side(n) for n in whole.joint_names) == {"l": 222, "r": 222, "c": 111}


@pytest.mark.parametrize("name", [*JOINTS_PER_CONVENTION, "union_555", "smpl+head_30", "h36m_17"])
def test_mirror_is_an_involution_that_swaps_sides_and_keeps_edges(name):
    skeleton = get_skeleton(name)
    assert np.array_equal(skeleton.mirror[skeleton.mirror], np.arange(skeleton.n_joints))
    for i, j in enumerate(skeleton.mirror):
        a, b = skeleton.joint_names[i], skeleton.joint_names[j]
        assert a[1:] == b[1:] and (a[0], b[0]) in {("l", "r"), ("r", "l"), (a[0], a[0])}
        assert (i == j) == (skeletons.side(a) == "c")
    edges = {frozenset(e) for e in skeleton.edges}
    assert {frozenset((skeleton.mirror[a], skeleton.mirror[b])) for a, b in edges} == edges


@pytest.mark.parametrize("name", ["smpl", "h36m", "3dhp", "gpa", "bmhad", "human4d"])
def test_fully_connected_conventions_are_trees(name):
    skeleton = get_skeleton(name)
    assert len(skeleton.edges) == skeleton.n_joints - 1


def test_output_skeletons_have_the_size_in_their_name():
    for name in skeletons.output_skeletons():
        assert get_skeleton(name).n_joints == int(name.rsplit("_", 1)[1])
    assert get_skeleton("h36m_17").joint_names[:3] == ("pelv_h36m", "rhip_h36m", "rkne_h36m")
    assert get_skeleton("mpi_inf_3dhp_17").joint_names[14] == "pelv_3dhp"


def test_2d_joints_match_as_many_3d_joints_as_the_reference_counts():
    groups = skeletons.prefix_groups(skeletons.COMMON_2D_JOINTS, get_skeleton("union_555").joint_names)
    counts = {n: len(g) for n, g in zip(skeletons.COMMON_2D_JOINTS, groups, strict=True)}
    assert counts == {
        "rank": 20, "lank": 20, "rkne": 20, "lkne": 20, "rhip": 21, "lhip": 21, "rwri": 21, "lwri": 21, "relb": 21,
        "lelb": 21, "rsho": 21, "lsho": 21, "leye": 6, "reye": 6, "lear": 4, "rear": 4, "nose": 4,
    }  # fmt: skip


def test_merging_by_name_gives_the_papers_163_joints():
    merged, target = skeletons.merge_by_name(get_skeleton("union_555"))
    assert merged.n_joints == 163
    assert set(target) == set(range(163))
    assert np.array_equal(merged.mirror[target], target[get_skeleton("union_555").mirror])


def test_joints_are_found_by_name_in_whole_and_in_merged_skeletons():
    whole = get_skeleton("union_555")
    merged, target = skeletons.merge_by_name(whole)
    assert np.array_equal(skeletons.corresponding_joints(merged, whole.joint_names), target)
    assert np.array_equal(skeletons.corresponding_joints(whole, whole.joint_names), np.arange(555))
    with pytest.raises(UserError, match="no joint lhip_unknown"):
        skeletons.corresponding_joints(whole, ["lhip_unknown"])


def test_select_keeps_the_order_asked_for_and_the_edges_among_the_joints():
    s = Skeleton("s", ("lhip", "rhip", "pelv", "neck"), ((0, 2), (1, 2), (2, 3)))
    t = s.select(["neck", "pelv", "lhip"])
    assert t.joint_names == ("neck", "pelv", "lhip") and set(t.edges) == {(2, 1), (1, 0)}
    assert Skeleton.from_dict(s.to_dict()) == s


def test_errors_name_the_joint_and_the_choices():
    with pytest.raises(UserError, match="no joint nose"):
        get_skeleton("smpl").indices(["nose"])
    with pytest.raises(UserError, match="known ones: .*h36m_17"):
        get_skeleton("h36m_18")
    with pytest.raises(UserError, match="twice: a"):
        Skeleton("s", ("a", "a"))


def test_a_merged_model_offers_named_skeletons_under_its_merged_names():
    merged, target = skeletons.merge_by_name(get_skeleton("union_555"))
    whole = get_skeleton("union_555")
    offered = skeletons.available_output_skeletons(merged)
    for name in ("h36m_17", "smpl_24", "coco_19", "mpi_inf_3dhp_17"):
        joints = get_skeleton(name).joint_names
        expected = tuple(merged.joint_names[target[i]] for i in whole.indices(joints))
        assert offered[name].joint_names == expected
        assert offered[name].edges
    assert offered[""] == merged
    assert Skeleton.from_dict(merged.to_dict()) == merged


def test_a_skeleton_without_suffixes_is_not_merged_unless_it_says_so():
    own = Skeleton("own", tuple(dict.fromkeys(n.split("_")[0] for n in get_skeleton("h36m_17").joint_names)))
    assert not own.merged and set(skeletons.available_output_skeletons(own)) == {""}
    with pytest.raises(UserError, match="no joint pelv_h36m"):
        skeletons.corresponding_joints(own, ["pelv_h36m"])


def test_merged_skeletons_written_before_the_field_existed_are_known_by_their_name():
    assert Skeleton.from_dict({"name": "union_merged", "joint_names": ["pelv"], "edges": []}).merged
    assert not Skeleton.from_dict({"name": "union", "joint_names": ["pelv"], "edges": []}).merged


def test_partners_given_by_hand_count_and_last():
    own = skeletons.make_skeleton("own", "root,a1,a2,lum", "root-a1", "x", mirror=[("a1", "a2"), ("lum", "lum")])
    assert list(own.mirror) == [0, 2, 1, 3] and own.without_partner == ()
    assert Skeleton.from_dict(own.to_dict()) == own
    assert list(own.select(["a2_x", "a1_x"]).mirror) == [1, 0]
    both = skeletons.union([get_skeleton("h36m"), own])
    assert both.mirror[both.indices(["a1_x"])[0]] == both.indices(["a2_x"])[0]


def test_a_sided_joint_without_partner_is_named():
    own = Skeleton("own", ("root", "left_hip", "right_hip", "left_knee"))
    assert own.without_partner == ("left_knee",) and list(own.mirror) == [0, 2, 1, 3]


def test_edges_to_unknown_joints_are_refused():
    with pytest.raises(UserError, match="name joints that are not there: lkne"):
        skeletons.make_skeleton("own", "pelv,lhip,rhip", "pelv-lhip-lkne")


def test_a_few_joints_with_an_odd_ending_are_no_skeleton_of_their_own():
    own = Skeleton("own", (*get_skeleton("h36m_17").joint_names, "hip_mine_2", "toe_mine"))
    assert set(skeletons.available_output_skeletons(own)) == {"h36m_17", "lsp_14"} & set(
        skeletons.available_output_skeletons(own)
    ) | {"h36m_17", ""}


@pytest.fixture(scope="module")
def offered():
    """What a model of all conventions offers, as it shows it."""
    every = skeletons.dataset_skeletons() | skeletons.extra_skeletons()
    found = skeletons.available_output_skeletons(skeletons.union(every.values()))
    return {name: skeletons.shown(name, skeleton) for name, skeleton in found.items()}


def test_a_model_of_all_conventions_offers_the_public_models_skeletons(offered):
    of_other_programs = {"coco_wholebody_23", "blazepose_33", "openpose_body_25", "halpe_26"}
    of_conventions = {f"{s}_{n}" for s, n in JOINTS_PER_CONVENTION.items()}
    assert set(offered) == {*PUBLIC_MODELS, *of_other_programs, *of_conventions, ""} and len(PUBLIC_MODELS) == 23


def test_names_are_shown_as_in_the_public_models(offered):
    names = {name: ",".join(skeleton.joint_names) for name, skeleton in offered.items()}
    assert [name for name, text in names.items() if "_" in text] == ["smpl+head_30", ""]
    assert names["smpl_24"] == (
        "pelv,lhip,rhip,spi1,lkne,rkne,spi2,lank,rank,spi3,ltoe,rtoe,neck,lcla,rcla,head,lsho,rsho,lelb,relb,lwri,rwri,"
        "lhan,rhan"
    )
    assert names["kinectv2_25"] == (
        "spinebase,spinemid,neck,head,lsho,lelb,lwri,lhan,rsho,relb,rwri,rhan,lhip,lkne,lank,lfoo,rhip,rkne,rank,rfoo,"
        "spineshoulder,lhandtip,lthu,rhandtip,rthu"
    )
    assert names["coco_19"] == (
        "neck,nose,pelv,lsho,lelb,lwri,lhip,lkne,lank,rsho,relb,rwri,rhip,rkne,rank,leye,lear,reye,rear"
    )
    assert offered["smpl+head_30"].joint_names[::6] == (
        "pelv_smpl", "spin_smpl", "neck_smpl", "lelb_smpl", "nose_coco",
    )  # fmt: skip
    assert names["berkeley_mhad_43"].startswith("head,lhead,rhead,rback,") and names["bmhad_43"].endswith(",rhee,rfoo")
    assert names["openpose_body_25"].startswith("nose,neck,rsho,relb,rwri,lsho,") and "htop" in names["halpe_26"]


def test_arms_and_faces_hang_on_the_body_in_what_is_shown(offered):
    for name in ("mpi_inf_3dhp_17", "smpl+head_30", "coco_wholebody_23", "halpe_26", "openpose_body_25", "kinectv2_25"):
        skeleton = offered[name]
        reached, before = {0}, set()
        while reached != before:
            before, reached = reached, reached | {x for e in skeleton.edges if reached & set(e) for x in e}
        assert reached == set(range(skeleton.n_joints)), name


def test_skeletons_of_ones_own_keep_their_names():
    own = skeletons.make_skeleton("toes_4", "lbig,rbig,lsmall,rsmall", "", "mine", mirror=[("lbig", "rbig")])
    assert skeletons.shown("mine_4", own).joint_names == ("lbig", "rbig", "lsmall", "rsmall")
    assert skeletons.shown("mine_4", own).mirror_pairs == (("lbig", "rbig"),)
    mixed = Skeleton("mixed", ("lhip_a", "lhip_b"))
    assert skeletons.shown("mixed", mixed).joint_names == mixed.joint_names
