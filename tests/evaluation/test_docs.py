"""The code in docs/evaluation.md runs as printed, and its tables name what exists."""

import re
from pathlib import Path

import pytest

from metrabs_acae.evaluation.definitions import FAMILIES
from metrabs_acae.evaluation.predictions import OPTIONAL, REQUIRED
from metrabs_acae.evaluation.protocols import protocols

PAGE = (Path(__file__).parents[2] / "docs" / "evaluation.md").read_text()


def test_code_blocks_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert len(blocks) >= 3
    names = {}
    for block in blocks:
        exec(block, names)  # the project's own page
    assert "MPJPE" in capsys.readouterr().out


@pytest.mark.parametrize(
    "names", [FAMILIES, protocols(), REQUIRED, OPTIONAL], ids=["metrics", "protocols", "keys", "more"]
)
def test_everything_is_described(names):
    for name in names:
        assert f"`{name}" in PAGE, name
