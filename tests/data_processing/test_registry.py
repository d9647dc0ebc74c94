from dataclasses import replace
from pathlib import Path

import pytest

from data_processing import dataset_page
from data_processing.__main__ import main
from data_processing.registry import DATASETS
from data_processing.registry_3d import PANOPTIC_SEQUENCES
from metrabs_acae.data.paper_mixtures import COUNTS_2D, COUNTS_3D
from metrabs_acae.errors import UserError


def of_role(role):
    return [d for d in DATASETS.values() if d.role == role]


def test_the_papers_datasets_are_there():
    assert len(of_role("3d")) == 28
    assert len(of_role("2d")) == 4
    assert {d.name for d in of_role("benchmark")} == {
        *("h36m-test", "3dhp-test", "mupots", "3dpw", "emdb", "pose2sim-demo")
    }
    assert len(PANOPTIC_SEQUENCES) == len(set(PANOPTIC_SEQUENCES)) == 66


def test_examples_per_batch_are_those_of_the_mixtures():
    for i, setting in enumerate(("full", "medium", "small")):
        counts = {d.name: d.batch[i] for d in of_role("3d") if d.batch[i]}
        assert counts == COUNTS_3D[setting]
        assert sum(counts.values()) == 96
    assert {d.name: d.batch[0] for d in of_role("2d")} == COUNTS_2D[1]


def test_every_entry_says_what_a_reader_needs():
    for info in DATASETS.values():
        for field in ("title", "licence", "citation", "url", "layout", "splits", "cameras", "units", "boxes"):
            assert getattr(info, field), (info.name, field)
        assert info.steps or info.files, info.name
        assert info.get_skeleton().n_joints > 10
        if info.converter:
            assert info.load_converter().__name__


def test_the_list_and_one_entry_are_printed(capsys):
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in DATASETS)
    assert main(["list", "--name", "mupots"]) == 0
    assert "MultiPersonTestSet" in capsys.readouterr().out


def test_the_page_of_datasets_is_current():
    path = Path(__file__).parents[2] / "docs" / "datasets.md"
    assert path.read_text() == dataset_page.page(), "run python -m data_processing skeletons --docs docs"


def test_unknown_names_are_explained(capsys):
    assert main(["h37m"]) == 2
    assert "no dataset or command 'h37m'" in capsys.readouterr().err
    with pytest.raises(UserError, match="no converter for 'aist' yet"):
        replace(DATASETS["aist"], converter="").load_converter()
