"""Reads TFRecord files of `tf.train.Example` one record at a time, without TensorFlow.

A record is its length (8 bytes, with a checksum) and its data (with another); an Example is a protocol buffer, read
here field by field. Formats: TensorFlow's guide "TFRecord and tf.train.Example", Protocol Buffers' "Encoding".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError

MAX_BYTES = 1 << 30
VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5


def read_examples(path) -> Iterator[dict[str, list[bytes] | np.ndarray]]:
    """The features of each record: bytes as a list, numbers as an array (float32 or int64).

    UserError where the file is missing, damaged or cut off; the records before that have been given.
    """
    path = Path(path)
    try:
        with open(path, "rb") as file:
            for number in _count():
                header = file.read(12)
                if not header:
                    return
                try:
                    yield parse_example(_read_record(file, header))
                except (ValueError, IndexError, struct.error, UnicodeDecodeError) as error:
                    raise UserError(f"{path} is damaged at record {number} ({error}); fetch it again.") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the raw folder.") from None


def _count() -> Iterator[int]:
    number = 0
    while True:
        yield number
        number += 1


def _read_record(file, header: bytes) -> bytes:
    length, checksum = struct.unpack("<QI", header)
    if masked_crc(header[:8]) != checksum:
        raise ValueError("the checksum of a length is wrong")
    if length > MAX_BYTES:
        raise ValueError(f"a record of {length:,} bytes")
    data = file.read(length + 4)
    if len(data) != length + 4:
        raise ValueError("the file is cut off")
    return data[:length]


def masked_crc(data: bytes) -> int:
    """CRC-32C, masked as TFRecord files have it."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def parse_example(data: bytes) -> dict[str, list[bytes] | np.ndarray]:
    """A serialized `tf.train.Example`; ValueError (or IndexError) where it is none."""
    features = {}
    for number, message in _fields(memoryview(data)):
        if number == 1:  # features
            for _, entry in _fields(message):
                parts = dict(_fields(entry))  # 1: name, 2: feature
                if 1 in parts:
                    features[bytes(parts[1]).decode()] = _feature(parts.get(2, b""))
    return features


def _feature(message) -> list[bytes] | np.ndarray:
    for kind, listed in _fields(message):
        if kind == 1:
            return [bytes(value) for _, value in _fields(listed)]
        if kind == 2:
            return np.concatenate([_floats(v) for _, v in _fields(listed)] or [np.zeros(0, np.float32)])
        if kind == 3:
            values = [n for _, v in _fields(listed) for n in ([v] if isinstance(v, int) else _varints(v))]
            return np.array([n - (1 << 64) if n >> 63 else n for n in values], np.int64)
    return []


def _floats(value) -> np.ndarray:
    return np.frombuffer(value, "<f4")


def _varints(data) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def _varint(data, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        if shift > 63:
            raise ValueError("a number of more than ten bytes")


def _fields(data) -> Iterator[tuple[int, int | memoryview]]:
    """(number, value) of the fields of a message: integers of varints, bytes of all others."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        kind = key & 7
        if kind == VARINT:
            value, position = _varint(data, position)
        else:
            if kind == BYTES:
                length, position = _varint(data, position)
            elif kind in (FIXED32, FIXED64):
                length = 4 if kind == FIXED32 else 8
            else:
                raise ValueError(f"a field of unknown type {kind}")
            if position + length > len(data):
                raise ValueError("a field is longer than its message")
            value, position = data[position : position + length], position + length
        yield key >> 3, value
