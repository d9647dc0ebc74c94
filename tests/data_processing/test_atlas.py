import xml.etree.ElementTree as ET
from pathlib import Path

from data_processing import atlas, dataset_page
from data_processing.__main__ import main
from metrabs_acae.skeletons import dataset_skeletons, extra_skeletons

DOCS = Path(__file__).parents[2] / "docs"


def test_the_documentation_is_what_the_command_writes(tmp_path):
    assert main(["skeletons", "--docs", str(tmp_path)]) == 0
    written = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*") if p.is_file())
    assert len(written) == 23
    for path in written:
        assert (DOCS / path).read_text() == (tmp_path / path).read_text(), f"run `skeletons` again: {path} is old"


def test_every_skeleton_is_drawn_inside_its_picture():
    for skeleton in (dataset_skeletons() | extra_skeletons()).values():
        root = ET.fromstring(atlas.draw(skeleton))
        tag = "{http://www.w3.org/2000/svg}"
        circles = root.findall(f"{tag}circle")
        assert len(circles) == skeleton.n_joints
        for element in [*circles, *root.findall(f"{tag}text")]:
            x = float(element.get("cx") or element.get("x"))
            y = float(element.get("cy") or element.get("y"))
            assert 0 < x < atlas.WIDTH and 0 < y < atlas.HEIGHT


def test_the_numbers_of_the_atlas():
    page = atlas.page()
    assert "19 conventions, 555 joints: 222 left, 222 right, 111 central. Merged by name they are 163." in page
    assert "| rank | 20 |" in page.replace("| rank | 20 | ", "| rank | 20 |")
    assert "| rhip | 21 |" in page


def test_every_dataset_has_its_part():
    from data_processing.registry import DATASETS

    page = dataset_page.page()
    assert all(f"## {d.title} ({d.year})" in page for d in DATASETS.values())
