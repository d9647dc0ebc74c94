"""What the guards find of six kinds of plausible damage, by what a dataset's files allow to hold its labels against.

For the skeleton of every dataset: a person who walks about for 3,000 frames, labels in the world, two calibrated
cameras, and the evidence that the dataset has. The table of docs/datasets.md is what these tests find.
"""

import dataclasses
import functools

import numpy as np
import pytest

from data_processing import guards
from data_processing.boxes import box_of_points
from data_processing.cameras import make_camera, project
from data_processing.dataset_page import DAMAGES, FOUND
from data_processing.registry import DATASETS

from .motion import moving
from .people import camera

N = 3000
SIZE = (1920, 1080)
CASES = {(d.skeleton, d.evidence): d.name for d in DATASETS.values() if d.store_kind == "3d" and d.evidence != "fitted"}
"""One dataset of each skeleton and kind of evidence. Cameras that are fitted to the labels are tested with them."""


def _camera(azimuth):
    return camera(azimuth, size_wh=SIZE, focal=1200, distortion=(-0.1, 0.05, 0, 0, 0))


VIEW, OTHER = _camera(20), _camera(97)


@functools.cache
def scene(skeleton_name):
    """True poses of a dataset's skeleton and their pixels, to a twentieth of a pixel."""
    skeleton = DATASETS[skeleton_name].get_skeleton()
    world = moving(skeleton.joint_names, N)
    return skeleton, world, project(VIEW, world) + np.random.default_rng(0).normal(0, 0.05, (*world.shape[:2], 2))


def damaged(kind, skeleton, world):
    """Poses and camera as the damaged files give them."""
    poses, view = world, VIEW
    if kind == "frames shifted by one":
        poses = np.roll(world, 1, 0)
    elif kind == "left and right swapped for 2,000 frames":
        poses = world.copy()
        poses[400:2400] = poses[400:2400][:, skeleton.mirror]
    elif kind == "metres for millimetres":
        poses = world / 1000
    elif kind == "R transposed":
        view = make_camera(VIEW.R.T, VIEW.optical_center_mm, VIEW.K, distortion=VIEW.lens)
    elif kind == "focal length 1 % off":
        view = dataclasses.replace(VIEW, K=VIEW.K * np.array([[1.01, 1, 1], [1, 1.01, 1], [1, 1, 1]]))
    elif kind == "another camera's calibration":
        view = OTHER
    return poses, view


def judge(evidence, skeleton, poses, view, pixels, true_world):
    """Runs the guards that a conversion with this evidence runs."""
    others = {"2": VIEW if view is OTHER else OTHER}
    guards.check_poses("x", skeleton, poses, successive=evidence != "pictures")
    if evidence == "joints":
        guards.check_projection("x", skeleton, poses, pixels, view, others=others)
        return
    guards.check_view("x", skeleton, poses, view, SIZE, others=others)
    if not evidence:
        return
    record, rng = guards.BoxRecord(), np.random.default_rng(1)
    for i in range(1, N - 1, 6):
        box = box_of_points(project(VIEW, true_world[i]), 1.08) + rng.normal(0, 3, 4)
        around = (poses[i - 1], poses[i + 1]) if evidence == "boxes" else ()
        record.add(i, view, poses[i], box, *around)
    guards.check_boxes("x", skeleton, record, others=others)


@pytest.mark.parametrize("name", CASES.values())
def test_what_is_found(name):
    evidence = DATASETS[name].evidence
    skeleton, world, pixels = scene(name)
    judge(evidence, skeleton, world, VIEW, pixels, world)  # what is right passes
    found = []
    for kind in DAMAGES:
        try:
            judge(evidence, skeleton, *damaged(kind, skeleton, world), pixels, world)
        except guards.LabelFault:
            found.append(kind)
    assert found == list(FOUND[evidence]), name


def test_most_is_found_where_the_files_make_it_possible():
    possible = [d for d in DATASETS.values() if d.evidence in ("joints", "boxes")]
    assert len(possible) >= 12
    assert all(len(FOUND[d.evidence]) >= 0.8 * len(DAMAGES) for d in possible)
