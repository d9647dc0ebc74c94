"""The export script's parts that need no download."""

import json

import numpy as np
import pytest

from data_processing.synthetic import export_assets
from data_processing.synthetic.body import ASSETS, PARTS
from metrabs_acae.errors import UserError


def test_bone_parts_are_those_of_the_assets():
    with np.load(ASSETS / "body.npz") as body, np.load(ASSETS / "poses.npz") as poses:
        made = export_assets.export_bone_parts(body["names"])
        assert (made["bone_part"] == poses["bone_part"]).all()
        np.testing.assert_array_equal(made["bone_blend"], poses["bone_blend"])


def test_a_clip_in_its_rest_pose_has_straight_limbs(tmp_path):
    """DeepMimic's rest pose hangs arms and legs straight down; so must ours after retargeting."""
    frame = np.zeros(44)
    frame[[4, 8, 12, 16, 21, 25, 30, 35, 39]] = 1  # unit quaternions
    for clip in export_assets.CLIPS:
        (tmp_path / f"humanoid3d_{clip}.txt").write_text(json.dumps({"Frames": [frame.tolist()]}))
    with np.load(ASSETS / "body.npz") as body:
        names, heads = [str(n) for n in body["names"]], body["j0"].astype(float)
        made = export_assets.export_poses(tmp_path, heads, names)
    assert made["rotvec"].shape == (len(export_assets.CLIPS), len(PARTS), 3)
    rotations = export_assets.matrix_from_rotvec(made["rotvec"][0])
    for part, (start, end) in {"shL": ("upperarm01.L", "lowerarm01.L"), "kneeR": ("lowerleg01.R", "foot.R")}.items():
        bone = heads[names.index(end)] - heads[names.index(start)]
        down = rotations[PARTS.index(part)] @ bone / np.linalg.norm(bone)
        np.testing.assert_allclose(down, (0, 0, -1), atol=1e-5)


def test_a_missing_clip_is_named(tmp_path):
    with np.load(ASSETS / "body.npz") as body, pytest.raises(UserError, match="humanoid3d_walk"):
        export_assets.export_poses(tmp_path, body["j0"], body["names"])
