"""Every convention on the synthetic body: complete, symmetric, and where the joints of like name lie."""

import numpy as np
import pytest

from data_processing.synthetic import body, datasets, joints, scene
from data_processing.synthetic.conventions import APPROXIMATIONS, all_conventions, skeletons
from metrabs_acae.skeletons import dataset_skeletons, extra_skeletons, get_skeleton, union

FLIP = np.array([-1, 1, 1])
# What is called head there is its top.
HEAD_TOPS = {"head_3doh", "head_bmhad"}


@pytest.fixture(scope="module")
def rest():
    model, regressor = body.load_body(), joints.all_joints()
    return regressor.skeleton, regressor(*model.shaped(np.zeros(24)))


def test_every_convention_is_there_and_the_old_nine_come_first():
    assert list(all_conventions())[:9] == list(skeletons())
    known = dataset_skeletons() | extra_skeletons()
    assert set(all_conventions()) == {*known, "mupots", "panoptic"}
    assert all(all_conventions()[suffix].joint_names == known[suffix].joint_names for suffix in known)
    old = union(skeletons().values())
    assert joints.all_joints().skeleton.joint_names[: joints.n_staged()] == old.joint_names
    assert set(APPROXIMATIONS) | {"coco"} == set(all_conventions())


def test_the_rest_pose_is_symmetric(rest):
    skeleton, points = rest
    assert np.isfinite(points).all()
    np.testing.assert_allclose(points[skeleton.mirror] * FLIP, points, atol=3)  # the mesh itself is to 3 mm


def test_bones_of_both_sides_are_of_one_length(rest):
    skeleton, points = rest
    for a, b in skeleton.edges:
        length, other = (
            np.linalg.norm(points[i] - points[j]) for i, j in ((a, b), (skeleton.mirror[a], skeleton.mirror[b]))
        )
        assert length == pytest.approx(other, abs=3) and length > 4, skeleton.joint_names[a]


def test_joints_of_one_name_lie_near_each_other(rest):
    skeleton, points = rest
    by_base = {}
    for name, point in zip(skeleton.joint_names, points, strict=True):
        base = "htop" if name in HEAD_TOPS else name.partition("_")[0]
        by_base.setdefault(base, {})[name] = point
    for base in ("sho", "elb", "wri", "hip", "kne", "ank", "hee", "foo", "toe", "han", "thu", "cla", "eye", "ear"):
        for side in "lr":
            _assert_near(by_base[side + base], 120)
    for base in ("nose", "htop", "head", "neck", "pelv"):
        _assert_near(by_base[base], 120)


def _assert_near(like_named, limit_mm):
    middle = np.median(list(like_named.values()), axis=0)
    far = {n: np.linalg.norm(p - middle) for n, p in like_named.items() if np.linalg.norm(p - middle) > limit_mm}
    assert not far


@pytest.mark.parametrize(
    ("convention", "chain"),
    [
        ("smplx", "pelv,bell,spin,thor,neck,jaw,head"),
        ("sailvos", "pelv,spin,neck,head,htop"),
        ("aspset", "pelv,spin,neck,head,htop"),
        ("3dpeople", "pelv,spin,spi1,spi2,neck,head,htop"),
        ("totcap", "pelv,spin,spin1,spin2,spin3,neck,head"),
        ("jta", "pelv,spin3,spin2,spin1,spin0,neck,head,htop"),
        ("human4d", "pelv,spin0,spin1,spin2,spin3,neck3,neck,neck2,head,htop"),
        ("umpm", "pelv,neck,head"),
        ("mads", "pelv,neck,head"),
        ("3doh", "neck,head"),
        ("bmhad", "bell,backl,chest,backt,head"),
        ("kinectv2", "spinebase,spinemid,spineshoulder,neck,head"),
    ],
)
def test_spines_go_up(rest, convention, chain):
    skeleton, points = rest
    heights = points[skeleton.indices([f"{name}_{convention}" for name in chain.split(",")]), 2]
    assert (np.diff(heights) > 9).all()


def test_toes_lie_in_front_of_ankles(rest):
    skeleton, points = rest
    toes = [n for n in skeleton.joint_names if n[1:4] in ("toe", "to2", "to3")]
    ankles = points[skeleton.indices([f"{n[0]}ank_smpl" for n in toes])]
    assert (ankles - points[skeleton.indices(toes)])[:, 1].min() > 100


def test_markers_lie_on_the_skin(rest):
    skeleton, points = rest
    skin = body.load_body().mean_vertices * 1000
    for name in all_conventions()["bmhad"].joint_names:
        point = points[skeleton.indices([name])[0]]
        assert np.linalg.norm(skin - point, axis=1).min() < 18, name


def test_rigs_differ_from_one_another(rest):
    skeleton, points = rest
    body_joints = ("lsho", "lhip", "neck", "pelv", "head")
    rigs = ("smpl", "sailvos", "aspset", "3dpeople", "mads", "umpm", "totcap", "jta", "human4d")
    by_rig = [points[skeleton.indices([f"{j}_{rig}" for j in body_joints])] for rig in rigs]
    for i, a in enumerate(by_rig):
        for b in by_rig[:i]:
            assert 10 < np.linalg.norm(a - b, axis=1).max() < 150


@pytest.mark.parametrize(
    ("store", "expected"),
    [("synthetic-muco", (-317.199, -14.771, 1122.959)), ("synthetic-all", (272.626, 1073.911, 847.831))],
)
def test_scenes_stay_as_they_were_with_nine_conventions(store, expected):
    spec = datasets.STORES[store]
    _, rows = scene.make_example(spec, spec.splits[0], 0, 0)
    np.testing.assert_allclose(rows[0].coords[0], expected, atol=0.01)


@pytest.mark.parametrize("name", ["coco_wholebody_23", "openpose_body_25", "halpe_26", "blazepose_33", "kinectv2_25"])
def test_skeletons_of_other_programs_are_made_of_joints_of_the_body(name):
    assert set(get_skeleton(name).joint_names) <= set(joints.all_joints().skeleton.joint_names)
