"""Writing whole files or none, and mapping arrays inside .npz files."""

from __future__ import annotations

import contextlib
import os
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np


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


def write_npz(path: str | Path, arrays: dict[str, np.ndarray]) -> None:
    """An uncompressed .npz, of arrays of any size; memory-mapped arrays are streamed."""
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as stream:
                np.lib.format.write_array(stream, np.asanyarray(array), allow_pickle=False)


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
