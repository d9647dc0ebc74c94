"""The moments of joints and the page about conversions are made again, of a few people."""

import numpy as np

from benchmarks import translation
from metrabs_acae.geometry.joint_moments import FILE


def test_moments_and_page_are_made_by_one_command(tmp_path, monkeypatch):
    monkeypatch.setattr(translation, "SOURCES", ("blazepose_33",))
    monkeypatch.setattr(translation, "TARGETS", ("smpl_24",))
    files = ["--moments-file", str(tmp_path / "m.npz"), "--page", str(tmp_path / "page.md")]
    translation.run(["--people", "60", "--write", *files])
    page = (tmp_path / "page.md").read_text()
    assert "60 people fitted to, 12 held out." in page and "| blazepose_33 | smpl_24 |" in page
    with np.load(tmp_path / "m.npz") as made, np.load(FILE) as package:
        assert made["joint_names"].tolist() == package["joint_names"].tolist()
        assert made["fitted"].shape == package["fitted"].shape
