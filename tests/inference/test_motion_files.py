"""The axes of files of motion."""

from types import SimpleNamespace

import numpy as np
from scipy.spatial.transform import Rotation

from metrabs_acae.inference.motion_files import _y_up, fit_motions


def test_the_world_of_several_cameras_stands_upright():
    """A world with z up: heights stay, and nothing is mirrored."""
    rotation, center = (
        Rotation.from_euler("xyz", [-100, 20, 30], degrees=True).as_matrix(),
        np.array([400, -900, 1900.0]),
    )
    source = SimpleNamespace(world=np.column_stack([rotation, center]), up=rotation.T @ [0, 0, 1])
    turn, shift = _y_up(source)
    points_mm = np.random.default_rng(0).normal(size=(5, 3)) * 1000
    in_world = points_mm @ rotation.T + center
    in_files = points_mm @ turn.T + shift
    np.testing.assert_allclose(in_files[:, 1], in_world[:, 2], atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(in_files, axis=1), np.linalg.norm(in_world, axis=1))
    assert np.isclose(np.linalg.det(turn), 1)
    turn, shift = _y_up(SimpleNamespace(world=None))
    np.testing.assert_array_equal([turn @ [0, -1, 0], shift], [[0, 1, 0], [0, 0, 0]])


def test_a_floor_in_a_known_world_is_level():
    """People on a slope: with --floor, heights are moved and nothing is turned, nor moved sideways."""
    n = 200
    ways_mm = np.random.default_rng(1).uniform(-2000, 2000, (n, 1, 2))
    body = np.array([[0, 0, 900], [90, 0, 0], [-90, 0, 0], [90, 120, 0], [-90, 120, 0.0]])
    world_mm = body + np.concatenate([ways_mm, 0.15 * ways_mm[..., :1] + 250], axis=-1)
    rotation = Rotation.from_euler("x", -100, degrees=True).as_matrix()
    world = np.column_stack([rotation, [400, -900, 1900.0]])
    columns = {
        "poses3d": (world_mm - world[:, 3]) @ rotation,
        "uncertainty": np.zeros((n, 5)),
        "person": np.ones(n, int),
        **dict.fromkeys(("frame", "frames"), np.arange(n)),
        "times_s": np.arange(n) / 25,
    }
    edges = ((0, 1), (0, 2), (1, 3), (2, 4))
    names = ("pelv", "lank", "rank", "ltoe", "rtoe")
    source = SimpleNamespace(joint_names=names, edges=edges, world=world, up=rotation.T @ [0, 0, 1])
    log = SimpleNamespace(source=source, column=columns.__getitem__)
    level, floor = (fit_motions(log, floor=wanted) for wanted in (False, True))
    np.testing.assert_allclose(floor.rotation, level.rotation, atol=1e-9)
    shift = floor.translation_mm - level.translation_mm
    np.testing.assert_allclose(shift[[0, 2]], 0, atol=1e-6)
    assert -250 < shift[1] < 50  # the lowest feet are at -50
