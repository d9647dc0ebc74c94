"""What is counted is what was there: joints, pictures, people, units and names."""

from __future__ import annotations

import numpy as np

from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.store import PoseStore
from tests.small_stores import write_store


def test_2d_joints_that_are_too_low_are_counted_in_the_table(tmp_path):
    """They do not count in training (MeTRAbs's rule), so the table of the mixture says how many they are."""
    import h5py

    for kind in ("3d", "2d"):
        write_store(tmp_path / kind, kind=kind, counts={"train": 12})
    with h5py.File(tmp_path / "2d" / "annotations.h5", "r+") as h5:
        coords = h5["train"]["coords"][()]  # of 96 px pictures
        coords[..., 1] = 90.0
        coords[:3, :4, 1] = 95.0  # below 0.95 x 96; 12 of 12 x 8 labels, of which 8 are missing
        coords[4, :, :] = np.nan
        h5["train"]["coords"][...] = coords
    entries = [Entry(PoseStore(tmp_path / kind), "train", 2) for kind in ("3d", "2d")]
    lines = Mixture(entries, seed=0).describe(12).splitlines()
    assert lines[0].endswith("too low %")
    assert float(lines[3].split()[-1]) == round(100 * 12 / (96 - 8), 1) and lines[2].split()[-1] == "2.00"
