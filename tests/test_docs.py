"""Commands and links of the documentation: every flag exists, every file linked is there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from metrabs_acae import command_line
from metrabs_acae.presets import PRESETS

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COMMAND = re.compile(r"python -m metrabs_acae\.main([^`\n]*)")


def commands() -> list[tuple[str, str]]:
    return [(page.name, m[1]) for page in PAGES for m in COMMAND.finditer(page.read_text())]


@pytest.mark.parametrize("page, arguments", commands())
def test_documented_commands_have_flags_that_exist(page, arguments):
    words = shlex.split(arguments, comments=True)
    if words and "--help" not in words:
        command_line.parse_arguments(words, "metrabs_acae")


def test_the_documentation_shows_commands():
    assert len(commands()) >= 6


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_presets_are_listed():
    readme = (ROOT / "README.md").read_text()
    for name in PRESETS:
        assert f"| `{name}` |" in readme
