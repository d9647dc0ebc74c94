"""Commands and links of the documentation: every flag exists, every file linked is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from metrabs_acae import command_line
from metrabs_acae.presets import PRESETS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "metrabs_acae" / "pretrained" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"python -m metrabs_acae\.main([^`\n]*)")


def commands() -> list[tuple[str, str]]:
    return [(str(page.relative_to(ROOT)), m[1]) for page in PAGES for m in COMMAND.finditer(page.read_text())]


@pytest.mark.parametrize("page, arguments", commands())
def test_documented_commands_have_flags_that_exist(page, arguments):
    words = shlex.split(arguments, comments=True)
    if words and "--help" not in words:
        command_line.parse_arguments(words, "metrabs_acae")


def test_the_documentation_shows_commands():
    assert len(commands()) >= 6


def headings(page: Path) -> set[str]:
    """What a link's # may be followed by, as GitHub makes it of the headings."""
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.S)
    return {re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in re.findall(r"^#+ (.*)$", text, re.M)}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_to_files_and_headings(page):
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        target, _, heading = link.partition("#")
        if not target.startswith("http"):
            path = page.parent / target if target else page
            assert path.exists() and (not heading or heading in headings(path)), link


def test_presets_are_listed():
    readme = (ROOT / "README.md").read_text()
    for name in PRESETS:
        assert f"| `{name}` |" in readme
