"""The small files that the commands exchange: exact, checked, and harmless whoever wrote them."""

import io
import json
import zipfile

import numpy as np
import pytest

from data_processing import plain_files
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError


@pytest.mark.parametrize("ending", ["npz", "json"])
def test_arrays_come_back(tmp_path, ending):
    path = tmp_path / f"sub/a.{ending}"
    poses = np.arange(12.0).reshape(2, 2, 3)
    plain_files.write_arrays(path, {"poses": poses, "keep": np.array([True, False])})
    read = plain_files.read_arrays(path, ["poses"], ["keep", "other"])
    assert set(read) == {"poses", "keep"} and (read["poses"] == poses).all() and read["keep"].tolist() == [1, 0]
    assert list(path.parent.iterdir()) == [path]
    with pytest.raises(UserError, match="lacks the array points"):
        plain_files.read_arrays(path, ["points"])


def test_every_order_and_type_that_numpy_writes(tmp_path):
    arrays = {"a": np.asfortranarray(np.arange(6.0).reshape(2, 3)), "b": np.arange(3, dtype=">i2"), "c": np.float32(4)}
    np.savez(tmp_path / "a.npz", **arrays)
    read = plain_files.read_arrays(tmp_path / "a.npz", arrays)
    for name, value in arrays.items():
        np.testing.assert_array_equal(read[name], value)


def npz_with(member: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("poses.npy", member)
    return buffer.getvalue()


def header(text: str) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text.encode()


HUGE = header("{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3)}\n")
SHORT = header("{'descr': '<f8', 'fortran_order': False, 'shape': (10, 3)}\n") + b"\0" * 100
CODE = header("{'descr': '<f8', 'fortran_order': False, 'shape': (print('hacked'),)}\n")
NEGATIVE = header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1, 3)}\n")


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", *map(npz_with, [HUGE, SHORT, CODE, NEGATIVE, b"", b"\x93NUMPY"])])
def test_hostile_and_damaged_npz_files(tmp_path, data):
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(UserError, match="a.npz is not a readable .npz file"):
        plain_files.read_arrays(tmp_path / "a.npz", ["poses"])


def test_pickles_in_npz_files_are_refused(tmp_path):
    np.savez(tmp_path / "a.npz", poses=np.array([{"a": 1}], object))
    with pytest.raises(UserError, match="not numbers"):
        plain_files.read_arrays(tmp_path / "a.npz", ["poses"])


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100000, '{"poses": [[1], [2, 3]]}', '{"poses": ["x"]}', "\xff"])
def test_wrong_json(tmp_path, text):
    (tmp_path / "a.json").write_text(text, encoding="latin1")
    with pytest.raises(UserError, match=r"a\.json"):
        plain_files.read_arrays(tmp_path / "a.json", ["poses"])


def test_cameras(tmp_path):
    camera = CameraParams(
        np.eye(3), [1.0, 2, 3], [[500.0, 0, 320], [0, 500, 240], [0, 0, 1]], [0.1, 0, 0, 0], [0, -1, 0]
    )
    data = json.loads(json.dumps(plain_files.camera_to_json(camera)))
    read = plain_files.camera_from_json(data, "x")
    for name in ("R", "optical_center_mm", "K", "world_up"):
        np.testing.assert_array_equal(getattr(read, name), getattr(camera, name))
    for wrong, message in (
        ([], "a camera is an object with K, R, position_mm"),
        ({**data, "R": 2}, "x: the camera's R has shape"),
        ({**data, "K": [[1, "a"]]}, "arrays of numbers"),
        ({**data, "lens": [1, 2, 3]}, "x: a brown_conrady lens must have"),
        ({**data, "lens": {"model": "other"}}, "x: there is no lens model 'other'"),
    ):
        with pytest.raises(UserError, match=message):
            plain_files.camera_from_json(wrong, "x")


def test_box_lists():
    assert plain_files.check_box_list([], "x").shape == (0, 4)
    assert plain_files.check_box_list([[1, 2, 3, 4, 0.5]], "x", (4, 5)).shape == (1, 5)
    for wrong in ([[1, 2, 3]], [1, 2, 3, 4], [[1, 2, 0, 4]], "abc", [[1, 2, 3, None]], {"a": 1}):
        with pytest.raises(UserError, match="x: expected a list of boxes"):
            plain_files.check_box_list(wrong, "x")
