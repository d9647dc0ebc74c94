"""The axes of files of motion."""

from types import SimpleNamespace

import numpy as np
from scipy.spatial.transform import Rotation

from metrabs_acae.inference.motion_files import _y_up


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
