"""JSON, writing whole files or none, growing files that survive an interruption, mapping arrays inside .npz files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError


def load_json(path):
    """The contents of a JSON file, UTF-8 with or without the mark (BOM) that some editors begin with; OSError,
    ValueError."""
    return json.loads(Path(path).read_text(encoding="utf-8-sig"))


def read_json(path, kind: type | None = None):
    """The contents of a file whose top level is of a kind (`dict`, `list`; None: any); UserError for anything else."""
    try:
        data = load_json(path)
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not readable JSON ({error or 'too deeply nested'}).") from None
    if kind is not None and not isinstance(data, kind):
        raise UserError(f"{path} should hold a JSON {'object' if kind is dict else 'list'}.")
    return data


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """A temporary sibling to write to; it takes the place of `path` on success and vanishes on an exception."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.tmp{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class GrowingArray:
    """Rows of an array that grows in a file.

    Args:
        n_rows: how many rows of an existing file count; what stands behind them is cut off.
    """

    def __init__(self, path: str | Path, dtype, row_shape: tuple[int, ...] = (), *, n_rows: int = 0):
        self.dtype, self.row_shape, self.n_rows = np.dtype(dtype), tuple(row_shape), n_rows
        self._path = Path(path)
        self._file = open(path, "r+b" if n_rows else "wb")
        self._file.truncate(n_rows * int(np.prod(self.row_shape, dtype=np.int64)) * self.dtype.itemsize)
        self._file.seek(0, os.SEEK_END)

    def append(self, rows) -> None:
        """Adds rows [N, ...], or one row."""
        rows = np.ascontiguousarray(rows, self.dtype).reshape(-1, *self.row_shape)
        self._file.write(rows.tobytes())
        self.n_rows += len(rows)

    def array(self) -> np.ndarray:
        """All rows, mapped from the file."""
        self.flush()
        if not self.n_rows:
            return np.zeros((0, *self.row_shape), self.dtype)
        return np.memmap(self._path, self.dtype, "r", shape=(self.n_rows, *self.row_shape))

    def flush(self) -> None:
        if not self._file.closed:
            self._file.flush()

    def close(self) -> None:
        self._file.close()


class PartialFile:
    """What there is so far of a file of many rows: a folder `<path>.partial` with a growing array for each column.

    An interrupted one goes on after its last whole `append`.

    Args:
        path: the file to be made in the end.
        made_with: plain types that decide its content; a folder made with others is refused with UserError.
        columns: by name, data type and shape of a row.
        state: plain types that are kept beside the rows, as they are at the beginning.
        what: what the rows are, for the error's sentence.

    Attributes:
        state: as of the last `append`.
        n_rows: how many rows there are.
    """

    def __init__(self, path: str | Path, made_with: Mapping, columns: Mapping, state: Mapping, *, what: str):
        path = Path(path)
        self._folder = path.with_name(path.name + ".partial")
        self._index = self._folder / "index.json"
        self._made_with = json.loads(json.dumps(made_with))
        self.state, self.n_rows = json.loads(json.dumps(state)), 0
        if self._index.exists():
            index = load_json(self._index)
            if index.get("made_with") != self._made_with:
                raise UserError(
                    f"{self._folder} holds unfinished {what} of other settings; finish them or delete that folder."
                )
            self.state, self.n_rows = index["state"], index["n_rows"]
        self._folder.mkdir(parents=True, exist_ok=True)
        self._columns = {
            name: GrowingArray(self._folder / f"{name}.bin", dtype, row_shape, n_rows=self.n_rows)
            for name, (dtype, row_shape) in columns.items()
        }

    def append(self, rows: Mapping, state: Mapping) -> None:
        """Adds rows to every column, and notes the new state; both are there after an interruption, or neither."""
        for name, column in self._columns.items():
            column.append(rows[name])
            column.flush()
        self.state, self.n_rows = dict(state), next(iter(self._columns.values())).n_rows
        with replacing(self._index) as temporary:
            temporary.write_text(json.dumps({"made_with": self._made_with, "state": self.state, "n_rows": self.n_rows}))

    def column(self, name: str) -> np.ndarray:
        """All rows of a column, mapped from its file."""
        return self._columns[name].array()

    def discard(self) -> None:
        """Removes the folder; the finished file has been written."""
        for column in self._columns.values():
            column.close()
        shutil.rmtree(self._folder)


def write_npz(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """An uncompressed .npz, of arrays of any size; memory-mapped arrays are streamed."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)


@contextlib.contextmanager
def writing_hdf5(path: str | Path) -> Iterator:
    """A new `h5py.File` to be filled; OSError where that cannot be done, on a full disk for instance."""
    import h5py

    with open(path, "w+b", buffering=0) as file:
        disk = _PatientFile(file)
        with h5py.File(disk, "w") as h5:
            yield h5
        if disk.error is not None:
            raise disk.error


class _PatientFile:
    """Keeps the first error of writing to itself: HDF5 crashes the process when it cannot close its file properly."""

    def __init__(self, file):
        self._file = file
        self.error: OSError | None = None
        self.read, self.readinto, self.seek, self.tell = file.read, file.readinto, file.seek, file.tell

    def write(self, data) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self.error is None:
            try:
                done += self._file.write(view[done:])
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int) -> int:
        try:
            return self._file.truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size

    def flush(self) -> None:
        pass


def map_npz_array(path: str | Path, name: str) -> np.ndarray:
    """One array of an .npz: memory-mapped if it is stored uncompressed in C order, else read into memory."""
    with zipfile.ZipFile(path) as archive:
        entry = archive.getinfo(f"{name}.npy")
        with archive.open(entry) as stream:
            version = np.lib.format.read_magic(stream)
            read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
            if version in read_header and entry.compress_type == zipfile.ZIP_STORED:
                shape, fortran_order, dtype = read_header[version](stream)
                if not fortran_order and not dtype.hasobject and np.prod(shape):
                    start = _data_start(path, entry) + stream.tell()
                    return np.memmap(path, dtype=dtype, mode="r", offset=start, shape=shape)
    with np.load(path, allow_pickle=False) as arrays:
        return arrays[name]


def _data_start(path: str | Path, entry: zipfile.ZipInfo) -> int:
    """Where an entry's bytes begin: after its local header, whose name and extra field have lengths of their own."""
    with open(path, "rb") as file:
        file.seek(entry.header_offset)
        header = file.read(30)
    name_length, extra_length = struct.unpack("<HH", header[26:30])
    return entry.header_offset + 30 + name_length + extra_length
