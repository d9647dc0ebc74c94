"""Pickles that would run code, archives that would write elsewhere, headers that ask for too much."""

import io
import pickle
import struct
import tarfile
import zipfile

import numpy as np
import pytest

from data_processing import images, matlab, safe_archive
from metrabs_acae import safe_pickle
from metrabs_acae.errors import UserError


class Evil:
    def __reduce__(self):
        import os

        return os.system, ("touch hacked",)


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_and_plain_values_are_read(tmp_path, protocol):
    value = {
        "poses": [np.arange(6.0).reshape(2, 3), np.zeros((0, 3), np.float32), np.asfortranarray(np.eye(3))],
        "scalar": np.float64(2.5),
        "names": np.array(["a", "b"], object),
        "text": "ünder",
        "bytes": b"\x00\xff",
        "nested": (1, 2.0, None, True, {3, 4}, frozenset([5]), 1 << 80, complex(1, 2)),
    }
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(value, protocol))
    loaded = safe_pickle.load_pickle(tmp_path / "a.pkl")
    for a, b in zip(loaded["poses"], value["poses"], strict=True):
        np.testing.assert_array_equal(a, b)
        assert a.dtype == b.dtype
    assert loaded["scalar"] == 2.5 and loaded["names"].tolist() == ["a", "b"]
    assert (loaded["text"], loaded["bytes"], loaded["nested"]) == (value["text"], value["bytes"], value["nested"])


def test_a_pickle_of_python_2_is_read(tmp_path):
    # What Python 2 with protocol 2 writes for {"a": numpy.array([1., 2.])}.
    data = (
        b"\x80\x02}q\x01U\x01aq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85q\x05"
        b"U\x01bq\x06\x87q\x07Rq\x08(K\x01K\x02\x85q\tcnumpy\ndtype\nq\nU\x02f8q\x0bK\x00K\x01\x87q\x0cRq\r(K\x03U\x01"
        b"<q\x0eNNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tq\x0fb\x89U\x10\x00\x00\x00\x00\x00\x00\xf0?\x00\x00\x00"
        b"\x00\x00\x00\x00@q\x10tq\x11bs."
    )
    np.testing.assert_array_equal(safe_pickle.loads(data)["a"], [1.0, 2.0])


@pytest.mark.parametrize(
    "data",
    [
        pickle.dumps(Evil()),
        pickle.dumps({"a": [Evil()]}, 0),
        pickle.dumps(np.ndarray),
        b"cbuiltins\neval\n(S'1+1'\ntR.",
        b"cnumpy\nndarray\n((I1000000000000\ntt\x81.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I1000000000000\ntS'd'\ntR.",
        b"\x80\x05\x96\x00\x00\x00\x00\x00\x00\x00\x7f.",
        b"\x80\x04\x8e\xff\xff\xff\xff\xff\xff\xff\x00abc.",
        b"I1\nr\xff\xff\xff\x7f0",
        pickle.dumps({"a": 1})[:-3],
        b"",
        b"not a pickle",
    ],
)
def test_other_pickles_are_refused(tmp_path, monkeypatch, data):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.pkl").write_bytes(data)
    result = None
    with pytest.raises(UserError):
        result = safe_pickle.load_pickle(tmp_path / "a.pkl")
        if isinstance(result, type):  # naming a class builds nothing
            raise UserError("only a name")
    assert not (tmp_path / "hacked").exists()


def make_zip(path, names, link=False):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            info = zipfile.ZipInfo(name)
            if link:
                info.external_attr = 0o120777 << 16
            archive.writestr(info, "content")
    return path


def make_tar(path, names, kind=tarfile.REGTYPE, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name in names:
            info = tarfile.TarInfo(name)
            info.size, info.type, info.linkname = (7 if kind == tarfile.REGTYPE else 0), kind, "/etc/passwd"
            archive.addfile(info, io.BytesIO(b"content"))
    return path


@pytest.mark.parametrize("make, ending", [(make_zip, "zip"), (make_tar, "tar.gz")])
def test_archives_are_unpacked_and_again_without_harm(tmp_path, make, ending):
    archive = make(tmp_path / f"a.{ending}", ["x/1.txt", "2.txt"])
    for _ in range(2):
        written = safe_archive.extract(archive, tmp_path / "out")
    assert sorted(p.relative_to(tmp_path / "out").as_posix() for p in written) == ["2.txt", "x/1.txt"]
    assert (tmp_path / "out" / "x" / "1.txt").read_text() == "content"


@pytest.mark.parametrize("name", ["../evil", "/abs/evil", "a/../../evil", "..\\evil", "C:\\evil"])
@pytest.mark.parametrize("make, ending", [(make_zip, "zip"), (make_tar, "tar.gz")])
def test_paths_that_lead_out_are_refused_before_anything_is_written(tmp_path, make, ending, name):
    archive = make(tmp_path / f"a.{ending}", ["good.txt", name])
    with pytest.raises(UserError, match="leads out"):
        safe_archive.extract(archive, tmp_path / "out")
    assert not (tmp_path / "out").exists() and not (tmp_path / "evil").exists()


def test_links_and_devices_are_refused(tmp_path):
    cases = [make_zip(tmp_path / "a.zip", ["link"], link=True)]
    cases += [
        make_tar(tmp_path / f"{k!r}.tar", ["x"], k, "w") for k in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE)
    ]
    for archive in cases:
        with pytest.raises(UserError, match="link"):
            safe_archive.extract(archive, tmp_path / "out")


def test_an_existing_link_is_not_followed(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="by a link"):
        safe_archive.extract(make_zip(tmp_path / "a.zip", ["x/1.txt"]), tmp_path / "out")


def test_archives_that_grow_too_much_or_are_cut_off_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(safe_archive, "RATIO_FREE_BYTES", 0)
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("zeros", bytes(5_000_000))
    with pytest.raises(UserError, match="times its size"):
        safe_archive.extract(tmp_path / "bomb.zip", tmp_path / "out")
    whole = make_tar(tmp_path / "a.tar.gz", ["x", "y"]).read_bytes()
    (tmp_path / "a.tar.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="cut off"):
        safe_archive.extract(tmp_path / "a.tar.gz", tmp_path / "out2")
    with pytest.raises(UserError, match="does not exist"):
        safe_archive.extract(tmp_path / "none.zip", tmp_path / "out2")


def test_huge_and_broken_images_are_refused(tmp_path):
    header = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 2**31 - 1, 2**31 - 1) + bytes(20)
    (tmp_path / "huge.png").write_bytes(header)
    with pytest.raises(UserError, match="claims to be 2147483647 x"):
        images.read_image(tmp_path / "huge.png")
    jpeg = images.encode_jpeg(np.zeros((50, 60, 3), np.uint8))
    (tmp_path / "cut.jpg").write_bytes(jpeg[:30])
    with pytest.raises(UserError, match=r"cut\.jpg"):
        images.read_image(tmp_path / "cut.jpg")
    with pytest.raises(UserError, match="none.jpg cannot be read"):
        images.read_image(tmp_path / "none.jpg")


def test_matlab_files_are_checked(tmp_path):
    import h5py
    import scipy.io

    scipy.io.savemat(tmp_path / "a.mat", {"x": np.arange(6.0).reshape(2, 3)})
    np.testing.assert_array_equal(matlab.load_mat5(tmp_path / "a.mat")["x"], [[0, 1, 2], [3, 4, 5]])
    (tmp_path / "bad.mat").write_bytes((tmp_path / "a.mat").read_bytes()[:150])
    with pytest.raises(UserError, match="not a readable MATLAB file|claims"):
        matlab.load_mat5(tmp_path / "bad.mat")["x"]
    with pytest.raises(UserError, match="missing"):
        matlab.load_mat5(tmp_path / "none.mat")
    with h5py.File(tmp_path / "b.mat", "w") as file:
        file.create_dataset("x", (1 << 20, 1 << 20), "f8", chunks=(1, 1 << 10))
    with pytest.raises(UserError, match="claims an array"), matlab.open_mat73(tmp_path / "b.mat") as file:
        matlab.read_array(file["x"])
    with pytest.raises(UserError, match="7.3 file"), matlab.open_mat73(tmp_path / "a.mat"):
        pass
