"""Tables pickled by pandas, in the forms of its versions before and since 1.3."""

import pickle
import tracemalloc

import numpy as np
import pytest

from data_processing.pandas_pickle import read_columns
from metrabs_acae.errors import UserError

from .body_models import Foreign, ForeignPickler, foreign


def write_table(path, columns: dict[str, list], *, old: bool = False) -> None:
    """Columns of floats in one block and of anything else in another, as pandas lays them out."""
    names = list(columns)
    numeric = [i for i, n in enumerate(names) if all(isinstance(v, float) for v in columns[n])]
    other = [i for i in range(len(names)) if i not in numeric]
    blocks = []
    for places in (numeric, other):
        values = np.empty((len(places), len(columns[names[0]])), float if places is numeric else object)
        for row, i in enumerate(places):
            for k, cell in enumerate(columns[names[i]]):
                values[row, k] = cell
        consecutive = places == list(range(places[0], places[0] + len(places))) if places else False
        blocks.append((values, slice(places[0], places[-1] + 1, 1) if consecutive else np.array(places, int)))
    index = Foreign("pandas.core.indexes.base", "Index")
    ranged = Foreign("pandas.core.indexes.range", "RangeIndex")
    new_index = ("pandas.core.indexes.base", "_new_Index")
    axes = [
        Foreign(*new_index, (index, {"data": np.array(names, object), "name": None})),
        Foreign(*new_index, (ranged, {"name": None, "start": 0, "stop": len(columns[names[0]]), "step": 1})),
    ]
    place = ("pandas.core.internals.managers", "BlockManager")
    if old:
        listed = [{"values": v, "mgr_locs": at} for v, at in blocks]
        known = {"0.14.1": {"axes": axes, "blocks": listed}}
        manager = foreign(*place, (axes, [v for v, _ in blocks], [], known))
        state = {"_data": manager, "_typ": "dataframe", "_metadata": []}
    else:
        made = tuple(Foreign("pandas._libs.internals", "_unpickle_block", (v, at, 2)) for v, at in blocks)
        manager = Foreign(*place, (made, axes))
        state = {"_mgr": manager, "_typ": "dataframe", "_metadata": [], "attrs": {}, "_flags": {}}
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        ForeignPickler(file, 4).dump(foreign("pandas.core.frame", "DataFrame", state))


@pytest.mark.parametrize("old", [False, True])
def test_columns_are_read(tmp_path, old):
    columns = {
        "a": [1.0, 2.0],
        "name": ["x.png", "y.png"],
        "b": [3.0, 4.0],
        "cells": [[np.ones((2, 3))], [np.zeros((4, 3)), np.ones((1, 3))]],
    }
    write_table(tmp_path / "t.pkl", columns, old=old)
    read = read_columns(tmp_path / "t.pkl", ["cells", "name", "b"])
    assert list(read) == ["cells", "name", "b"] and list(read["name"]) == ["x.png", "y.png"]
    np.testing.assert_array_equal(read["b"], [3, 4])
    assert [len(c) for c in read["cells"]] == [1, 2]
    np.testing.assert_array_equal(read["cells"][1][0], np.zeros((4, 3)))
    with pytest.raises(UserError, match="has no column c"):
        read_columns(tmp_path / "t.pkl", ["c"])


def test_large_arrays_that_are_not_wanted_take_no_memory(tmp_path):
    rows = 60
    columns = {"joints": [[np.full((24, 3), i)] for i in range(rows)]}
    columns["verts"] = [[np.random.default_rng(i).normal(size=(6890, 3))] for i in range(rows)]  # 10 MB in all
    write_table(tmp_path / "t.pkl", columns)
    tracemalloc.start()
    read = read_columns(tmp_path / "t.pkl", ["joints"], skip_array=lambda shape: shape == (6890, 3))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2e6
    np.testing.assert_array_equal(read["joints"][7][0], np.full((24, 3), 7))


def test_other_pickles_are_refused(tmp_path):
    path = tmp_path / "t.pkl"
    path.write_bytes(pickle.dumps({"a": 1}))
    with pytest.raises(UserError, match="not a table as pandas"):
        read_columns(path, ["a"])
    with open(path, "wb") as file:
        ForeignPickler(file, 4).dump(foreign("pandas.core.frame", "DataFrame", {"_mgr": 3}))
    with pytest.raises(UserError, match="not a table as pandas"):
        read_columns(path, ["a"])
    path.write_bytes(b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(UserError, match="holds a os.system"):
        read_columns(path, ["a"])
