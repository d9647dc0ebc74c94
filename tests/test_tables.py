"""Tables: aligned for people, complete for machines."""

import csv
import io
import json

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.tables import FORMATS, Interval, PlusMinus, render

ROWS = [
    {"model": "a_b", "mpjpe": 57.123, "poses": 3, "pck": Interval(95.25, 94.0, 96.0)},
    {"model": "ours|50%", "mpjpe": np.float32(101.25), "cps": PlusMinus(3.0, 0.11)},
    {"model": "c", "mpjpe": float("nan"), "poses": np.int64(12), "cps": None},
]


def test_text_is_aligned():
    assert render(ROWS, "text", best={"mpjpe": "min"}, title="Results").splitlines() == [
        "Results",
        "model      mpjpe  poses                pck        cps",
        "--------  ------  -----  -----------------  ---------",
        "a_b        57.1*      3  95.2 [94.0, 96.0]          -",
        "ours|50%  101.2       -                  -  3.0 ± 0.1",
        "c              -     12                  -          -",
    ]


def test_markdown():
    lines = render(ROWS, "markdown", headers={"mpjpe": "MPJPE"}, digits={"mpjpe": 2}).splitlines()
    assert len({len(line) for line in lines}) == 1  # aligned
    assert lines[0].split("|")[2].strip() == "MPJPE"
    assert lines[1].split("|")[1].strip().strip("-") == "" and lines[1].split("|")[2].endswith(": ")
    assert "57.12" in lines[2] and "ours\\|50%" in lines[3]


def test_latex_escapes_and_emphasises():
    text = render(ROWS, "latex", best={"mpjpe": "max"})
    assert "a\\_b" in text and "50\\%" in text and "\\textbf{101.2}" in text and "3.0 $\\pm$ 0.1" in text
    assert text.startswith("\\begin{tabular}{lrrrr}") and text.endswith("\\end{tabular}")
    assert text.count(r"\\") == 4


def test_csv_keeps_full_precision_and_parts():
    rows = list(csv.DictReader(io.StringIO(render(ROWS, "csv", digits=0))))
    assert rows[0] == {
        "model": "a_b", "mpjpe": "57.123", "poses": "3", "pck": "95.25", "pck_low": "94.0", "pck_high": "96.0",
        "cps": "", "cps_spread": "",
    }  # fmt: skip
    assert rows[1]["cps_spread"] == "0.11" and rows[2]["mpjpe"] == ""


def test_json_is_strict_and_complete():
    def no_constant(name):
        raise AssertionError(f"{name} is not JSON")

    rows = json.loads(render([*ROWS, {"model": True, "mpjpe": np.inf}], "json"), parse_constant=no_constant)
    assert rows[0]["pck"] == {"value": 95.25, "low": 94.0, "high": 96.0}
    assert rows[2]["mpjpe"] is None and rows[3] == {
        "model": True,
        "mpjpe": "inf",
        "poses": None,
        "pck": None,
        "cps": None,
    }


def test_columns_are_chosen_and_ordered():
    assert render(ROWS, "csv", columns=["poses", "model"]).splitlines()[0] == "poses,model"
    with pytest.raises(UserError, match="no column speed"):
        render(ROWS, columns=["speed"])


def test_equal_best_values_are_all_marked_and_a_single_row_is_not():
    tied = [{"m": "a", "x": 1.01}, {"m": "b", "x": 1.04}, {"m": "c", "x": 2.0}]
    assert render(tied, "markdown", best={"x": "min"}).count("**1.0**") == 2
    assert "**" not in render(tied[:1], "markdown", best={"x": "min"})
    with pytest.raises(UserError, match="'min' or 'max'"):
        render(tied, best={"x": "least"})


@pytest.mark.parametrize("fmt", FORMATS)
def test_empty_and_odd_tables(fmt):
    render([], fmt)
    render([], fmt, columns=["a"])
    render([{}], fmt)
    render([{"a": "x\ny", "b": None}], fmt, title="t")


def test_unknown_format():
    with pytest.raises(UserError, match="text, markdown, latex, csv, json"):
        render(ROWS, "html")
