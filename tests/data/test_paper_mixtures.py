"""The paper's mixtures: their composition, and what is said and done where stores are missing."""

import re

import pytest

from metrabs_acae import command_line
from metrabs_acae.commands import stores as stores_lib
from metrabs_acae.data.paper_mixtures import COUNTS_2D, COUNTS_3D, find_stores
from metrabs_acae.errors import UserError
from metrabs_acae.main import main

from .stores import write_toy_store


def parse(text: str):
    return stores_lib.with_paper_stores(command_line.parse_arguments(text.split(), "metrabs"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """All stores of the small mixture but coco, and a benchmark that has foreign joints beside one that has not."""
    path = tmp_path_factory.mktemp("stores")
    for name in COUNTS_3D["small"]:
        write_toy_store(path / name, n=3, suffix=f"_{name}")
    for name in ("mpii", "jrdb", "posetrack"):
        write_toy_store(path / name, kind="2d", n=3)
    write_toy_store(path / "3dpw", n=3, suffix="_surreal")
    write_toy_store(path / "mupots", n=3, suffix="_other")
    return path


def test_composition():
    assert [(len(c), sum(c.values())) for c in COUNTS_3D.values()] == [(28, 96), (14, 96), (3, 96)]
    assert [sum(c.values()) for c in COUNTS_2D.values()] == [32, 33, 30]
    # Ghost batches of 16 have the fixed composition of the paper: the first is h36m 4, muco 6, humbi 5, 3doh 1.
    assert list(COUNTS_3D["full"].items())[:4] == [("h36m", 4), ("muco", 6), ("humbi", 5), ("3doh", 3)]


def test_missing_stores_are_listed_with_their_commands(folder, capsys):
    assert main(["--train", "--preset", "paper-small", "--data-dir", str(folder)]) == 2
    text = capsys.readouterr().err
    assert f"The mixture paper-small has 7 pose stores. Missing in {folder} (1):" in text
    assert f"python -m data_processing coco --raw RAW --out {folder / 'coco'}" in text
    assert "--allow-missing-stores" in text and "docs/datasets.md" in text and "h36m" not in text
    assert main(["--train", "--preset", "paper-full", "--data-dir", "nowhere"]) == 2
    listed = re.findall(r"^  (\w+) ", capsys.readouterr().err, re.MULTILINE)
    assert listed == [*COUNTS_3D["full"], *COUNTS_2D[1]]
    assert main(["--train", "--preset", "paper-medium", "--data-dir", "nowhere", "--allow-missing-stores"]) == 2
    assert "None of the paper's 3D pose stores is in nowhere" in capsys.readouterr().err


def test_the_preset_names_the_stores_that_are_there(folder):
    config = parse(f"--train --preset paper-small --data-dir {folder} --allow-missing-stores")
    assert config.data.dataset3d == tuple(f"{folder / n}:32" for n in ("h36m", "muco", "surreal"))
    assert config.data.dataset2d == tuple(
        f"{folder / n}:{k}" for n, k in (("mpii", 11), ("jrdb", 11), ("posetrack", 10))
    )
    assert config.data.test_on == (str(folder / "3dpw"),)  # the other benchmark's joints are not learnt
    assert config.training.training_steps == 400_000 and config.model.backbone == "efficientnetv2-s"
    mixture = stores_lib.training_mixture(config.data, data_dir="nowhere", seed=1)
    assert (mixture.batch_size_3d, mixture.batch_size_2d) == (96, 32)
    assert mixture.skeleton.n_joints == 36


def test_own_stores_are_left_alone(folder):
    own = parse(f"--train --preset paper-full --dataset3d {folder / 'h36m'}:3")
    assert own.data.dataset3d == (f"{folder / 'h36m'}:3",) and own.data.dataset2d == ()
    assert parse(f"--show-batches 1 --preset paper-small --data-dir {folder} --allow-missing-stores").data.dataset3d


def test_the_batch_divides_among_replicas_and_accumulation_steps(folder):
    write_toy_store(folder / "coco", kind="2d", n=3)
    counts = [int(path.rpartition(":")[2]) for path in find_stores("small", folder, n_parts=3).dataset2d]
    assert counts == [8, 9, 8, 8]
    config = parse(f"--train --preset paper-small --data-dir {folder} --grad-accum-steps 6")
    assert [int(path.rpartition(":")[2]) for path in config.data.dataset2d] == [8, 8, 7, 7]
    config = parse(f"--train --preset paper-small --data-dir {folder} --devices 3")
    assert [int(path.rpartition(":")[2]) for path in config.data.dataset2d] == [8, 9, 8, 8]
    with pytest.raises(UserError, match="Missing in"):
        find_stores("medium", folder)
