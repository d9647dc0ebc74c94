"""TFRecord files: all kinds of features, and damage."""

import numpy as np
import pytest
import tensorflow as tf

from data_processing.tfrecord import read_examples
from metrabs_acae.errors import UserError


def write_records(path, records) -> None:
    """Each record is {name: [bytes], float32 or int64 array}."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for features in records:
            example = tf.train.Example()
            for name, value in features.items():
                feature = example.features.feature[name]
                if isinstance(value, list):
                    feature.bytes_list.value.extend(value)
                elif value.dtype == np.float32:
                    feature.float_list.value.extend(value)
                else:
                    feature.int64_list.value.extend(value)
            writer.write(example.SerializeToString())


RECORDS = [
    {"b": [b"one", b"two"], "f": np.float32([1.5, -2.25, 3e8]), "i": np.int64([7, -1, 2**40]), "empty": []},
    {},
    {"s": [b"", b"abc" * 100]},
]


@pytest.fixture
def path(tmp_path):
    write_records(tmp_path / "a.tfrecord", RECORDS)
    return tmp_path / "a.tfrecord"


def test_records_are_read_one_by_one(path):
    first, second, third = read_examples(path)
    assert first["b"] == [b"one", b"two"] and second == {} and third == RECORDS[2]
    assert first["f"].dtype == np.float32 and first["i"].dtype == np.int64
    np.testing.assert_array_equal(first["f"], RECORDS[0]["f"])
    np.testing.assert_array_equal(first["i"], RECORDS[0]["i"])
    assert len(first["empty"]) == 0


@pytest.mark.parametrize(
    ("change", "n_good"),
    [
        (lambda d: d[:-1], 2),  # cut off
        (lambda d: d[:30], 0),
        (lambda d: b"\xff" + d[1:], 0),  # a length with a wrong checksum
        (lambda d: d[:12] + b"\xff" * 30 + d[42:], 0),
    ],
)
def test_damaged_files_are_named_and_what_stands_before_is_given(path, change, n_good):
    path.write_bytes(change(path.read_bytes()))
    records = read_examples(path)
    for _ in range(n_good):
        next(records)
    with pytest.raises(UserError, match=f"a.tfrecord is damaged or cut off at record {n_good};"):
        next(records)


def test_a_record_that_is_no_example_and_a_missing_file_are_named(path, tmp_path):
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(b"\xff" * 30)
    with pytest.raises(UserError, match="damaged or cut off at record 0;"):
        list(read_examples(path))
    with pytest.raises(UserError, match="missing.tfrecord cannot be read"):
        list(read_examples(tmp_path / "missing.tfrecord"))
