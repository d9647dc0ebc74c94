"""The page about conversions is made again, of a few people."""

from benchmarks import translation


def test_the_page_is_made_by_one_command(tmp_path, monkeypatch):
    monkeypatch.setattr(translation, "SOURCES", ("blazepose_33",))
    monkeypatch.setattr(translation, "TARGETS", ("smpl_24",))
    monkeypatch.setattr(translation, "RESULTS", tmp_path / "page.md")
    translation.run(["--people", "12", "--write"])
    page = (tmp_path / "page.md").read_text()
    assert "12 held-out people." in page and "| blazepose_33 | smpl_24 |" in page
