"""Drawings: the right places change, absent and far joints do no harm."""

import numpy as np

from metrabs_acae.visualization import overlay

EDGES = [(0, 1), (1, 2)]
POSE = np.array([[10, 10], [50, 10], [50, 50.0]])


def test_bones_are_drawn_where_they_are():
    image = np.zeros((64, 64, 3), np.uint8)
    drawn = overlay.draw_pose_2d(image, POSE, EDGES, color=(0, 255, 0), thickness=1, joints=False)
    assert drawn[10, 30, 1] > 200 and drawn[30, 50, 1] > 200 and drawn[..., [0, 2]].max() == 0
    assert drawn[30, 30].max() == 0 and image.max() == 0


def test_absent_and_distant_joints():
    pose = np.array([[np.nan, np.nan], [1e30, -np.inf], [50, 50.0]])
    drawn = overlay.draw_pose_2d(np.zeros((64, 64, 3), np.uint8), pose, EDGES)
    assert drawn[50, 50].max() > 0


def test_side_view_is_z_to_the_right():
    pose = np.array([[[0, 0, 0], [0, 0, 1000.0], [0, 0, 1000.0]]])
    view = overlay.draw_view(pose, EDGES, size=100, view="side", colors=[(255, 0, 0)])
    colored = np.argwhere((view[..., 0].astype(int) - view[..., 1]) > 50)
    rows, columns = colored[:, 0], colored[:, 1]
    assert np.ptp(rows) < 8 and np.ptp(columns) > 70


def test_views_of_nobody():
    figure = overlay.figure_pose_views(np.zeros((30, 40, 3), np.uint8), np.zeros((0, 3, 2)), np.zeros((0, 3, 3)), EDGES)
    assert figure.shape[0] == 720 and figure.dtype == np.uint8


def test_sheet():
    images = np.zeros((5, 64, 64, 3), np.uint8)
    poses = np.stack([POSE] * 5)
    truth = poses + 3
    truth[0] = np.nan
    flat = overlay.overlay_sheet(images, poses, EDGES, columns=4)
    assert flat.shape == (128, 256, 3)
    full = overlay.overlay_sheet(images, poses, EDGES, coords3d=np.zeros((5, 3, 3)), truth2d=truth)
    assert full.shape == (128, 512, 3)
    assert overlay.overlay_sheet(images[:0], poses[:0], EDGES).ndim == 3
