"""C3D files against what an independent writer put there, and large JSON files read piece by piece."""

import json
import resource

import numpy as np
import pytest

from data_processing.c3d import read_c3d
from data_processing.json_files import iterate_array
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json

from .people import write_c3d

pytest.importorskip("ezc3d")


def test_points_units_and_lost_points(tmp_path):
    points = np.random.default_rng(0).normal(size=(7, 3, 3)) * 500
    points[2, 1] = np.nan
    for unit, factor in (("mm", 1), ("m", 1000)):
        write_c3d(tmp_path / "a.c3d", points, names=("a", "b", "c"), rate=50, unit=unit)
        read = read_c3d(tmp_path / "a.c3d")
        np.testing.assert_allclose(read.positions_mm, points * factor, rtol=1e-5)
        assert read.names == ("a", "b", "c") and read.rate_hz == 50


def test_bad_c3d_files(tmp_path):
    with pytest.raises(UserError, match="is missing"):
        read_c3d(tmp_path / "a.c3d")
    (tmp_path / "a.c3d").write_bytes(b"\x02P" + bytes(100))
    with pytest.raises(UserError, match="not a readable C3D file"):
        read_c3d(tmp_path / "a.c3d")


def test_c3d_files_that_are_cut_off_are_refused(tmp_path):
    write_c3d(tmp_path / "a.c3d", np.ones((200, 15, 3)), names=[f"m{i}" for i in range(15)])
    data = (tmp_path / "a.c3d").read_bytes()
    for part in (0.5, 0.9):
        (tmp_path / "a.c3d").write_bytes(data[: int(part * len(data))])
        with pytest.raises(UserError, match=r"a\.c3d is cut off after \d+ frames"):
            read_c3d(tmp_path / "a.c3d")


@pytest.mark.parametrize("indent", [None, 1])
def test_arrays_are_read_as_json_says(tmp_path, indent):
    data = {
        "info": {"x": [1, 2]}, "n": 12345, "other": [[1], "a,]}"], "empty": [],
        "items": [{"name": 'quo"te', "v": [1.5, -2e-3]}, 17, 123456, None, "ü", [], {"nested": [[1, 2], []]}],
    }  # fmt: skip
    (tmp_path / "a.json").write_text(json.dumps(data, indent=indent, ensure_ascii=False), encoding="utf-8")
    for key in ("items", "other", "empty"):
        assert list(iterate_array(tmp_path / "a.json", key)) == data[key]
    assert read_json(tmp_path / "a.json") == data


def test_bad_json_files(tmp_path):
    path = tmp_path / "a.json"
    with pytest.raises(UserError, match="cannot be read"):
        list(iterate_array(path, "items"))
    for text in ('{"items": [1, 2', '{"items": [1 2]}', '{"items": 3}', '{"other": []}', "[1]", ""):
        path.write_text(text)
        with pytest.raises(UserError, match="not readable JSON with an array 'items'"):
            list(iterate_array(path, "items"))
    path.write_text("{")
    with pytest.raises(UserError, match="not readable JSON"):
        read_json(path)


def test_memory_does_not_grow_with_the_file(tmp_path):
    element = json.dumps({"joint_cams": np.round(np.random.default_rng(0).normal(size=(3, 34)), 3).tolist()})
    with open(tmp_path / "a.json", "w") as file:
        file.write('{"images": [' + ", ".join([element] * 10) + '], "annotations": [')
        for i in range(30):
            file.write(", " * (i > 0) + ", ".join([element] * 1000))
        file.write("]}")
    next(iterate_array(tmp_path / "a.json", "annotations"))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert sum(1 for _ in iterate_array(tmp_path / "a.json", "annotations")) == 30_000
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < 20  # MiB; the file has 24
