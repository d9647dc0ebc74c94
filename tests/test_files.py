"""Files that grow: what was there after the last whole step is what an interrupted process goes on with."""

import json

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.files import GrowingArray, PartialFile

COLUMNS = {"pose": ("<f4", (2, 3)), "frame": ("<i8", ())}


def open_partial(path, **settings):
    return PartialFile(path, {"settings": settings, "names": ("a", "b")}, COLUMNS, {"done": 0}, what="poses")


def rows(first: int, n: int) -> dict:
    return {"pose": np.arange(first, first + n)[:, None, None] * np.ones((2, 3)), "frame": np.arange(first, first + n)}


def test_growing_arrays(tmp_path):
    array = GrowingArray(tmp_path / "a", "<f4", (2,))
    assert array.array().shape == (0, 2)
    array.append([[1, 2], [3, 4]])
    array.append([5, 6])
    np.testing.assert_array_equal(array.array(), [[1, 2], [3, 4], [5, 6]])
    array.close()
    again = GrowingArray(tmp_path / "a", "<f4", (2,), n_rows=1)
    again.append([7, 8])
    np.testing.assert_array_equal(again.array(), [[1, 2], [7, 8]])


@pytest.mark.parametrize("stopped", ["before", "in a column", "between columns", "before the index"])
def test_an_interrupted_partial_file_goes_on_after_its_last_whole_step(tmp_path, stopped, monkeypatch):
    path = tmp_path / "poses.npz"
    partial = open_partial(path, mirrored=True)
    partial.append(rows(0, 3), {"done": 4})
    folder = tmp_path / "poses.npz.partial"
    if stopped == "in a column":
        with open(folder / "pose.bin", "ab") as file:
            file.write(b"12345")
    elif stopped != "before":
        monkeypatch.setattr(json, "dumps", lambda value: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            partial.append(rows(3, 2), {"done": 9})
        monkeypatch.undo()
        if stopped == "between columns":
            (folder / "frame.bin").write_bytes((folder / "frame.bin").read_bytes()[: 3 * 8])
    again = open_partial(path, mirrored=True)
    assert (again.state, again.n_rows) == ({"done": 4}, 3)
    again.append(rows(3, 1), {"done": 5})
    np.testing.assert_array_equal(again.column("frame"), np.arange(4))
    np.testing.assert_array_equal(again.column("pose"), rows(0, 4)["pose"])
    again.discard()
    assert not folder.exists()


def test_partial_files_of_other_settings_or_versions_are_refused(tmp_path):
    open_partial(tmp_path / "a.npz", mirrored=True).append(rows(0, 1), {"done": 1})
    with pytest.raises(UserError, match="a.npz.partial holds unfinished poses of other settings; finish"):
        open_partial(tmp_path / "a.npz", mirrored=False)
    (tmp_path / "a.npz.partial" / "index.json").write_text('{"joint_names": [], "settings": {}, "images_done": 3}')
    with pytest.raises(UserError, match="other settings"):
        open_partial(tmp_path / "a.npz", mirrored=True)
