"""The moments of joints are made again, of a few people."""

import numpy as np

from experiments import joint_moments
from metrabs_acae.geometry.joint_moments import FILE


def test_moments_are_made_by_one_command(tmp_path, capsys):
    assert joint_moments.main(["--people", "60", "--out", str(tmp_path / "m.npz")]) == 0
    assert "60 people fitted to, 12 held out." in capsys.readouterr().out
    with np.load(tmp_path / "m.npz") as made, np.load(FILE) as package:
        assert made["joint_names"].tolist() == package["joint_names"].tolist()
        assert made["fitted"].shape == package["fitted"].shape
