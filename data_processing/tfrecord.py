"""Reads TFRecord files of `tf.train.Example` one record at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError


def read_examples(path) -> Iterator[dict[str, list[bytes] | np.ndarray]]:
    """The features of each record: bytes as a list, numbers as an array (float32 or int64).

    UserError where the file is missing, damaged or cut off; the records before that have been given.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf
    from google.protobuf.message import DecodeError

    if not Path(path).is_file():
        raise UserError(f"{path} cannot be read (there is no such file); check the raw folder.")
    number, records = 0, iter(tf.data.TFRecordDataset(os.fspath(path)))
    while True:
        try:
            data = next(records, None)
            if data is None:
                return
            example = tf.train.Example.FromString(data.numpy())
        except (tf.errors.OpError, DecodeError):
            raise UserError(f"{path} is damaged or cut off at record {number}; fetch it again.") from None
        yield {name: _values(feature) for name, feature in example.features.feature.items()}
        number += 1


def _values(feature) -> list[bytes] | np.ndarray:
    kind = feature.WhichOneof("kind")
    if kind == "float_list":
        return np.array(feature.float_list.value, np.float32)
    if kind == "int64_list":
        return np.array(feature.int64_list.value, np.int64)
    return list(feature.bytes_list.value)
