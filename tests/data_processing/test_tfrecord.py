"""TFRecord files, against bytes that TensorFlow wrote."""

import struct

import numpy as np
import pytest

from data_processing.tfrecord import masked_crc, parse_example, read_examples
from metrabs_acae.errors import UserError

# tf.io.TFRecordWriter (TensorFlow 2.21) of b = [b"one", b"two"], f = [1.5, -2.25, 3e8], i = [7, -1, 2**40], an empty
# feature `empty`; then a record without data.
WRITTEN = bytes.fromhex(
    "53000000000000000d7d4e910a510a110a0162120c0a0a0a036f6e650a0374776f0a090a05656d70747912000a150a016612"
    "10120e0a0c0000c03f000010c0180d8f4d0a1a0a016912151a130a1107ffffffffffffffffff018080808080209653ca5300"
    "0000000000000029039807d8ea82a2"
)


def write_records(path, records) -> None:
    """Each record is {name: [bytes], float32 or int64 array}."""
    with open(path, "wb") as file:
        for features in records:
            data = _field(
                1, b"".join(_field(1, _field(1, k.encode()) + _field(2, _feature(v))) for k, v in features.items())
            )
            length = struct.pack("<Q", len(data))
            file.write(length + struct.pack("<I", masked_crc(length)) + data + b"\0\0\0\0")


def _feature(value) -> bytes:
    if isinstance(value, list):
        return _field(1, b"".join(_field(1, v) for v in value))
    if value.dtype == np.float32:
        return _field(2, _field(1, value.tobytes()))
    return _field(3, _field(1, b"".join(_varint(int(v) & (2**64 - 1)) for v in value)))


def _field(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def test_records_of_tensorflow_are_read(tmp_path):
    (tmp_path / "a.tfrecord").write_bytes(WRITTEN)
    first, second = read_examples(tmp_path / "a.tfrecord")
    assert first["b"] == [b"one", b"two"] and second == {}
    np.testing.assert_array_equal(first["f"], np.float32([1.5, -2.25, 3e8]))
    np.testing.assert_array_equal(first["i"], [7, -1, 2**40])
    assert len(first["empty"]) == 0


def test_numbers_may_be_written_one_by_one():
    floats = b"".join(b"\x0d" + struct.pack("<f", v) for v in (1.0, 2.0))
    integers = b"\x08\x05\x08\x81\x01"
    entries = [_field(1, b"f") + _field(2, _field(2, floats)), _field(1, b"i") + _field(2, _field(3, integers))]
    example = parse_example(_field(1, b"".join(_field(1, e) for e in entries)))
    np.testing.assert_array_equal(example["f"], [1, 2])
    np.testing.assert_array_equal(example["i"], [5, 129])


def test_what_is_written_here_is_read_back(tmp_path):
    record = {"x": np.float32([0.1]), "n": np.int64([-3, 300]), "s": [b"", b"abc" * 100]}
    write_records(tmp_path / "a", [record, record])
    for read in read_examples(tmp_path / "a"):
        assert read["s"] == record["s"]
        np.testing.assert_array_equal(read["x"], record["x"])
        np.testing.assert_array_equal(read["n"], record["n"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d[:-1], "record 1.*cut off"),
        (lambda d: d[:30], "record 0.*cut off"),
        (lambda d: b"\xff" + d[1:], "record 0.*checksum"),
        (lambda d: d[:12] + b"\xff" * 30 + d[42:], "damaged at record 0"),
    ],
)
def test_damaged_files_are_named(tmp_path, change, message):
    (tmp_path / "a.tfrecord").write_bytes(change(WRITTEN))
    with pytest.raises(UserError, match=message):
        list(read_examples(tmp_path / "a.tfrecord"))
    with pytest.raises(UserError, match="missing.tfrecord cannot be read"):
        list(read_examples(tmp_path / "missing.tfrecord"))
