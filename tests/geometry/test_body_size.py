"""Units by the size of the body."""

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.geometry import body_size
from metrabs_acae.geometry.body_size import UNITS_MM, likely_unit
from tests.small_stores import POSE_MM

POSE = np.array(list(POSE_MM.values()), float)
NAMES = tuple(f"{n}_a" for n in POSE_MM)
COCO = ("nose", "left_shoulder", "right_shoulder", "left_knee", "right_knee", "neck", "left_wrist", "right_wrist")


@pytest.mark.parametrize("unit", UNITS_MM)
@pytest.mark.parametrize("names", [NAMES, COCO, tuple("abcdefgh")])
def test_units_are_known_by_the_size_of_the_body(unit, names):
    rng = np.random.default_rng(0)
    for size in (1.0, 0.75):  # a child
        poses = size * (POSE + rng.normal(0, 30, (50, *POSE.shape))) + rng.normal(0, 1000, (50, 1, 3))
        poses[::7] = np.nan
        assert likely_unit(poses, names) == "millimetres"
        assert likely_unit(poses / UNITS_MM[unit], names) == unit or (names != NAMES and size < 1)


def test_a_newborn_child_is_in_millimetres_and_a_point_in_no_unit():
    assert likely_unit(0.35 * POSE[None], NAMES) == "millimetres"
    for nothing in (np.zeros((3, 8, 3)), np.full((3, 8, 3), np.nan), np.zeros((0, 8, 3))):
        assert likely_unit(nothing, NAMES) == "millimetres"


def test_joints_at_zero_are_none():
    poses = np.repeat(POSE[None] + 9000, 10, axis=0)
    poses[:, ::2] = 0
    assert likely_unit(poses, NAMES) == "millimetres"


def test_the_median_of_the_limbs_that_are_there():
    names = ("lhip_a", "lkne_a", "lank_a", "rhip_a", "rkne_a", "lhip_b", "rkne_c")
    assert body_size.limbs(names) == [(("lhip", "lkne"), 0, 1), (("lkne", "lank"), 1, 2), (("rhip", "rkne"), 3, 4)]
    lengths = np.array([[420 * 0.5, 400 * 0.6, 420 * 0.9], [420 * 0.7, 400 * 0.8, np.nan], [np.nan, 0, np.nan]])
    poses = np.zeros((3, 7, 3))
    poses[:, 1, 1], poses[:, 4, 2] = lengths[:, 0], lengths[:, 2]
    poses[:, 2, 1] = poses[:, 1, 1] + lengths[:, 1]
    assert body_size.relative_size(poses, names) == pytest.approx(np.median([0.6, 0.7, 0.9]))
    assert body_size.relative_size(poses[:1] * 0 + [[[0, 0, 1]] * 3 + [[0, 650, 2]] * 4], "abcdefg") == 0.5
    assert np.isnan(body_size.relative_size(np.where(np.arange(7)[:, None] < 6, np.nan, poses), "abcdefg"))
    with pytest.raises(UserError, match=r"^These looks like inches \(the median body is 0.04 times .* by 25.4\.$"):
        body_size.require_mm("These", np.tile(POSE / 25.4, (5, 1, 1)), NAMES)


@pytest.mark.parametrize(
    "limb, mm", [(("hip", "kne"), 420), (("kne", "ank"), 400), (("sho", "elb"), 290), (("elb", "wri"), 255)]
)
def test_grown_up_limbs(limb, mm):
    pose = np.array([[[0, 0, 0], [0, mm / 2, 0.0]]])
    assert body_size.relative_size(pose, [f"r{end}" for end in limb]) == 0.5
