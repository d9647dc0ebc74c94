"""The frame: resumable, parallel, complete or absent."""

import subprocess
import sys

import numpy as np
import pytest

from data_processing.conversion import convert
from data_processing.converter import Options
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError

from .toy import INFO, Toy, contents, make_raw

RUN = (
    "import sys; from pathlib import Path; from tests.data_processing.toy import *;"
    "from data_processing.conversion import convert;"
    "convert(Toy(INFO, Path(sys.argv[1])), sys.argv[2], workers=int(sys.argv[3]), progress=False)"
)


def test_a_store_with_everything(tmp_path):
    raw = make_raw(tmp_path / "raw", ["", "", ""])
    store = PoseStore(convert(Toy(INFO, raw), tmp_path / "store", workers=0, progress=False))
    assert store.splits == {"train": 6}
    assert store.name == "toy" and store.skeleton.joint_names[0] == "rank_aspset"
    row = store.row("train", 3)
    assert (row.sequence, row.frame, row.image_key) == ("unit1", 1, "unit1/1.jpg")
    assert row.image_path.exists()
    expected = np.random.default_rng(1).normal(size=(17, 3)) * 100 + [0, 0, 4001]
    np.testing.assert_allclose(row.coords, expected, atol=1e-3)
    assert store.metadata["provenance"]["left_out"] == {"example of a reason": 3}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw", "store"]


def test_worker_processes_give_the_same_store(tmp_path):
    raw = make_raw(tmp_path / "raw", ["", "", "", ""])
    alone = PoseStore(convert(Toy(INFO, raw), tmp_path / "a", workers=0, progress=False))
    pool = PoseStore(convert(Toy(INFO, raw), tmp_path / "b", workers=2, progress=False))
    assert contents(alone) == contents(pool)


def test_a_killed_conversion_goes_on_where_it_stopped(tmp_path):
    raw = make_raw(tmp_path / "raw", ["", "", "die", ""])
    arguments = [sys.executable, "-c", RUN, str(raw), str(tmp_path / "store"), "0"]
    assert subprocess.run(arguments, capture_output=True).returncode == 9
    assert not (tmp_path / "store").exists()
    assert (raw / "log").read_text().split() == ["unit0", "unit1", "unit2"]
    assert subprocess.run(arguments, capture_output=True).returncode == 0
    assert (raw / "log").read_text().split() == ["unit0", "unit1", "unit2", "unit2", "unit3"]
    fresh = PoseStore(convert(Toy(INFO, raw), tmp_path / "fresh", workers=0, progress=False))
    assert contents(PoseStore(tmp_path / "store")) == contents(fresh)


def test_a_broken_unit_is_reported_and_the_others_are_kept(tmp_path):
    raw = make_raw(tmp_path / "raw", ["", "broken", "bug"])
    with pytest.raises(UserError, match=r"2 of 3 units .*unit1.txt is broken; fetch it again.*KeyError"):
        convert(Toy(INFO, raw), tmp_path / "store", workers=0, progress=False)
    assert not (tmp_path / "store").exists()
    (raw / "unit1.txt").write_text("")
    store = PoseStore(convert(Toy(INFO, raw), tmp_path / "store", workers=0, progress=False, skip_broken=True))
    assert store.splits == {"train": 4}
    assert store.metadata["provenance"]["failed_units"] == ["unit2"]
    assert (raw / "log").read_text().split().count("unit0") == 1


def test_wrong_folders_and_settings_are_explained(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match=r"no unit\*\.txt in .*Expected there: unit"):
        convert(Toy(INFO, tmp_path / "empty"), tmp_path / "store", workers=0)
    raw = make_raw(tmp_path / "raw", ["broken"])
    with pytest.raises(UserError):
        convert(Toy(INFO, raw), tmp_path / "store", workers=0, progress=False)
    with pytest.raises(UserError, match="other settings"):
        convert(Toy(INFO, raw, Options(split="test")), tmp_path / "store", workers=0, progress=False)
    (tmp_path / "there").mkdir()
    with pytest.raises(UserError, match="exists already"):
        convert(Toy(INFO, raw), tmp_path / "there", workers=0)


def test_killed_after_the_store_was_done_only_tidies_up(tmp_path):
    raw = make_raw(tmp_path / "raw", [""])
    store = convert(Toy(INFO, raw), tmp_path / "store", workers=0, progress=False)
    (tmp_path / ".store.work" / "units").mkdir(parents=True)
    assert convert(Toy(INFO, raw), tmp_path / "store", workers=0, progress=False) == store
    assert sorted(p.name for p in tmp_path.iterdir()) == ["raw", "store"]


def test_two_conversions_of_one_store_are_refused(tmp_path):
    import fcntl

    raw = make_raw(tmp_path / "raw", [""])
    (tmp_path / ".store.work").mkdir()
    with open(tmp_path / ".store.work" / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="Another conversion"):
            convert(Toy(INFO, raw), tmp_path / "store", workers=0)


def test_a_killed_worker_leaves_what_was_done(tmp_path):
    raw = make_raw(tmp_path / "raw", ["", "die", "", ""])
    with pytest.raises(UserError, match="killed"):
        convert(Toy(INFO, raw), tmp_path / "store", workers=1, progress=False)
    store = PoseStore(convert(Toy(INFO, raw), tmp_path / "store", workers=1, progress=False))
    assert store.splits == {"train": 8}


def test_a_start_that_takes_long_says_so(tmp_path, monkeypatch, capsys):
    import time

    monkeypatch.setattr("data_processing.conversion.PATIENCE_S", 0.05)
    monkeypatch.setattr(Toy, "convert", lambda self, unit, output: time.sleep(0.3))
    raw = make_raw(tmp_path / "raw", [""])
    with pytest.raises(UserError, match="no example was found"):
        convert(Toy(INFO, raw), tmp_path / "store", workers=0)
    assert "none is done after 0.05 s; a first start compiles some code" in capsys.readouterr().err
