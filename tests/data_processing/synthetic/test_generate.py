"""Writing the stores: every store opens, workers do not matter, cache, interruption, errors."""

import hashlib

import numpy as np
import pytest

from data_processing.__main__ import main
from data_processing.synthetic import datasets, generate
from metrabs_acae.data.store import PoseStore
from metrabs_acae.errors import UserError


@pytest.fixture(autouse=True)
def mini(monkeypatch):
    monkeypatch.setitem(datasets.SIZES, "mini", datasets.Size(1, 3, 2, 3))


def run(folder, **settings):
    return generate.generate(folder, **({"size": "mini", "workers": 1, "progress": False} | settings))


def digest(path):
    """Of every file's name and bytes."""
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files if p.suffix != ".json"}


def same_rows(first, second, split):
    names = ("coords", "box_ltwh_px", "K", "R", "optical_center_mm", "frame", "person")
    return all(
        np.array_equal(first.column(split, n), second.column(split, n), equal_nan=n not in ("frame", "person"))
        for n in names
    )


def test_every_store_opens_and_holds_what_the_table_says(tmp_path):
    paths = run(tmp_path)
    assert [p.name for p in paths] == list(datasets.STORES)
    for path in paths:
        store, spec = PoseStore(path), datasets.STORES[path.name]
        assert store.kind == spec.kind
        assert store.skeleton.joint_names == spec.skeleton.joint_names
        assert set(store.splits) == set(spec.splits)
        assert (store.clean, store.realistic_background) == (spec.clean, spec.realistic_background)
        for split, count in store.splits.items():
            images = datasets.image_count(spec, split, "mini")
            assert count >= images if spec.all_labelled else count == images
            for i in range(count):
                row = store.row(split, i)
                assert row.image_path.exists()
                assert row.mask is not None and (row.camera is not None) == (spec.kind == "3d")
                if split != "train":
                    assert np.isfinite(row.coords).all()


def test_the_number_of_workers_does_not_matter(tmp_path):
    names = ["synthetic-panoptic", "synthetic-mupots-test"]
    run(tmp_path / "one", stores=names)
    run(tmp_path / "two", stores=names, workers=2)
    for name, split in zip(names, ("train", "test"), strict=True):
        assert digest(tmp_path / "one" / name / "images") == digest(tmp_path / "two" / name / "images")
        assert same_rows(PoseStore(tmp_path / "one" / name), PoseStore(tmp_path / "two" / name), split)


def test_a_complete_store_is_kept_and_a_missing_one_made(tmp_path, monkeypatch):
    names = ["synthetic-gpa", "synthetic-mpii"]
    run(tmp_path, stores=names[:1])
    written = (tmp_path / names[0] / "annotations.h5").stat().st_mtime_ns
    run(tmp_path, stores=names)
    assert (tmp_path / names[0] / "annotations.h5").stat().st_mtime_ns == written
    assert (tmp_path / names[1] / "store.json").exists()
    monkeypatch.setattr(generate, "VERSION", generate.VERSION + 1)
    run(tmp_path, stores=names[:1])
    assert (tmp_path / names[0] / "annotations.h5").stat().st_mtime_ns != written


def test_an_interrupted_run_leaves_no_store(tmp_path, monkeypatch):
    calls = []

    def interrupted(task):
        calls.append(task)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return original(task)

    original = generate._images
    monkeypatch.setattr(generate, "_images", interrupted)
    monkeypatch.setattr(generate, "CHUNK", 1)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, stores=["synthetic-gpa"])
    assert [p.name for p in tmp_path.iterdir()] == [".lock"]
    monkeypatch.setattr(generate, "_images", original)
    run(tmp_path, stores=["synthetic-gpa"])
    assert PoseStore(tmp_path / "synthetic-gpa").splits == {"train": 3}


def test_what_stands_in_the_folder_is_not_lost(tmp_path):
    run(tmp_path, stores=["synthetic-gpa"])
    with pytest.raises(UserError, match="seed 0"):
        run(tmp_path, stores=["synthetic-gpa"], seed=1)
    (tmp_path / "synthetic-mpii").mkdir()
    (tmp_path / "synthetic-mpii" / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="not a synthetic pose store"):
        run(tmp_path, stores=["synthetic-mpii"])
    assert (tmp_path / "synthetic-mpii" / "thesis.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["synthetic", "--size", "huge"], "huge"),
        (["synthetic", "--sizee", "tiny"], "sizee"),
        (["synthetic", "--workers", "0", "--out", "OUT"], "at least 1"),
        (["synthetic", "--stores", "synthetic-mars", "--out", "OUT"], "synthetic-mars"),
        (["synthetic", "--out", "/dev/null/x"], "cannot be made"),
        (["no-such-dataset"], "no-such-dataset"),
    ],
)
def test_wrong_flags_get_one_sentence_and_exit_code_2(tmp_path, capsys, arguments, says):
    assert main([str(tmp_path) if a == "OUT" else a for a in arguments]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1 and says in message
    assert list(tmp_path.iterdir()) == []


def test_help_names_the_command(capsys):
    assert main(["--help"]) == 0
    assert "synthetic" in capsys.readouterr().out
