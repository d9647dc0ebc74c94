"""The guards: what is right passes, and plausible damage is named."""

import dataclasses

import numpy as np
import pytest

from data_processing import guards
from data_processing.boxes import box_of_points
from data_processing.cameras import make_camera, project
from metrabs_acae.data.lens import Lens
from metrabs_acae.skeletons import get_skeleton

from .motion import moving
from .people import camera

SKELETON = get_skeleton("3dhp")
N = 3000
LENS = (-0.2, 0.1, 0.001, -0.001, 0.02)
VIEW = camera(20, size_wh=(2048, 2048), focal=1500, distortion=LENS)
OTHER = camera(97, size_wh=(2048, 2048), focal=1480, distortion=LENS)
WORLD = moving(SKELETON.joint_names, N)
PIXELS = project(VIEW, WORLD) + np.random.default_rng(0).normal(0, 0.05, (N, SKELETON.n_joints, 2))


def swapped(poses, first=400, last=2399):
    poses = poses.copy()
    poses[first : last + 1] = poses[first : last + 1][:, SKELETON.mirror]
    return poses


def turned(view, R, center=None):
    center = view.optical_center_mm if center is None else center
    return make_camera(R, center, view.K, distortion=view.lens, world_up=view.world_up)


def scaled(view, factor):
    K = view.K * np.array([[factor, 1, 1], [1, factor, 1], [1, 1, 1]])
    return dataclasses.replace(view, K=K)


def t_of(view):
    return -view.R @ view.optical_center_mm


DAMAGE = {
    # what is done to (poses, camera): the words that name it
    "frames early": (lambda p, c: (np.roll(p, -1, 0), c), "a frame early"),
    "frames late": (lambda p, c: (np.roll(p, 1, 0), c), "a frame late"),
    "sides": (lambda p, c: (swapped(p), c), "left and right are swapped"),
    "metres": (lambda p, c: (p / 1000, c), "3D labels are metres"),
    "centimetres": (lambda p, c: (p / 10, c), "3D labels are centimetres"),
    "position in metres": (
        lambda p, c: (p, dataclasses.replace(c, optical_center_mm=c.optical_center_mm / 1000)),
        "position is metres",
    ),
    "R transposed": (lambda p, c: (p, turned(c, c.R.T)), "rotation is transposed"),
    "R transposed, same t": (lambda p, c: (p, turned(c, c.R.T, -c.R @ t_of(c))), "rotation is transposed"),
    "t for the centre": (lambda p, c: (p, turned(c, c.R, t_of(c))), "translation was taken for its position"),
    "the centre for t": (
        lambda p, c: (p, turned(c, c.R, -c.R.T @ c.optical_center_mm)),
        "position was taken for its translation",
    ),
    "OpenGL": (lambda p, c: (p, turned(c, np.diag([1, -1, -1.0]) @ c.R)), "OpenGL"),
    "world y up": (lambda p, c: (p[..., [0, 2, 1]] * [1, 1, -1], c), "world's axes are"),
    "focal length": (lambda p, c: (p, scaled(c, 1.01)), "focal length is 0.99"),
    "other camera": (lambda p, c: (p, OTHER), "camera 1"),
    "lens": (
        lambda p, c: (p, dataclasses.replace(c, lens=Lens.fisheye(LENS[:4]))),
        "lens is of the other model",
    ),
}


def test_what_is_right_passes():
    guards.check_projection("x", SKELETON, WORLD, PIXELS, VIEW, others={"1": OTHER})
    guards.check_poses("x", SKELETON, WORLD)
    guards.check_view("x", SKELETON, WORLD, VIEW, (2048, 2048))


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_named_where_there_are_2d_labels(name):
    damage, words = DAMAGE[name]
    poses, view = damage(WORLD, VIEW)
    others = {"1": VIEW} if name == "other camera" else {"1": OTHER}
    with pytest.raises(guards.LabelFault, match=words) as caught:
        guards.check_projection("annot.mat", SKELETON, poses, PIXELS, view, others=others)
    message = str(caught.value)
    assert message.startswith("annot.mat: in frames ") and "--allow-suspicious-data" in message
    if name == "sides":
        first, last = (int(v) for v in message.split("frames ")[1].split(" the")[0].split(" to "))
        assert 400 <= first < last <= 2399


def test_an_unknown_mistake_is_said_to_be_unknown_and_small_noise_passes():
    rng = np.random.default_rng(1)
    shuffled = WORLD[:, rng.permutation(SKELETON.n_joints)]
    with pytest.raises(guards.LabelFault, match="None of the usual mistakes"):
        guards.check_projection("x", SKELETON, shuffled, PIXELS, VIEW)
    guards.check_projection("x", SKELETON, WORLD, PIXELS + rng.normal(0, 2, PIXELS.shape), VIEW)
    guards.check_projection("x", SKELETON, WORLD, PIXELS + 3.0, VIEW)  # a constant offset of a few pixels
    guards.check_projection("x", SKELETON, WORLD * np.nan, PIXELS, VIEW)  # nothing to compare


def test_sides_are_judged_by_the_poses_alone():
    with pytest.raises(guards.LabelFault, match="in frames 400 to 2399 people walk backwards.*left and right"):
        guards.check_poses("x", SKELETON, swapped(WORLD))
    with pytest.raises(guards.LabelFault, match="in frames 0 to 2999 people walk backwards"):
        guards.check_poses("x", SKELETON, WORLD[:, SKELETON.mirror])
    guards.check_poses("x", SKELETON, swapped(WORLD, 400, 410))  # a glitch
    for name in ("h36m", "smpl", "umpm", "aspset", "coco", "totcap", "mads"):
        skeleton = get_skeleton(name)
        world = moving(skeleton.joint_names, N, seed=3)
        guards.check_poses("x", skeleton, world)
        world[700:2700] = world[700:2700][:, skeleton.mirror]
        with pytest.raises(guards.LabelFault, match="700 to 2699"):
            guards.check_poses("x", skeleton, world)


@pytest.mark.parametrize("factor, words", [(0.001, "metres"), (0.1, "centimetres"), (1 / 25.4, "inches")])
def test_units_are_judged_by_the_poses_alone(factor, words):
    with pytest.raises(guards.LabelFault, match=words):
        guards.check_poses("x", SKELETON, WORLD * factor)


@pytest.mark.parametrize("name", ["R transposed", "t for the centre", "OpenGL", "position in metres"])
def test_nobody_in_the_picture_is_explained(name):
    poses, view = DAMAGE[name][0](WORLD, VIEW)
    with pytest.raises(guards.LabelFault, match="Likely cause"):
        guards.check_view("x", SKELETON, poses, view, (2048, 2048))


def record_of(poses, view, *, every=7, noise=3.0, shift=0):
    """Boxes of the true joints, a margin around them, as masks or detectors give them, at every so many frames."""
    rng = np.random.default_rng(2)
    record = guards.BoxRecord()
    for i in range(1, N - 1, every):
        box = box_of_points(project(VIEW, WORLD[i + shift]), 1.08) + rng.normal(0, noise, 4)
        record.add(i, view, poses[i], box, poses[i - 1], poses[i + 1])
    return record


def test_boxes_that_fit_pass():
    guards.check_boxes("x", SKELETON, record_of(WORLD, VIEW))
    guards.check_boxes("x", SKELETON, record_of(WORLD, VIEW, every=400))


@pytest.mark.parametrize(
    "name",
    ["frames early", "frames late", "metres", "R transposed", "t for the centre", "focal length", "other camera"],
)
def test_damage_is_named_where_there_are_boxes(name):
    poses, view = DAMAGE[name][0](WORLD, VIEW)
    record = record_of(poses, view)
    words = {
        "focal length": "0.99[01] times",
        "other camera": "camera 1",
    }
    with pytest.raises(guards.LabelFault, match=words.get(name, DAMAGE[name][1])):
        guards.check_boxes("x", SKELETON, record, others={"1": VIEW if name == "other camera" else OTHER})
