"""Reads JSON files: whole, or one array of a large file element by element."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from metrabs_acae.errors import UserError


def read_json(path, kind: type | None = None):
    """The contents of a file whose top level is of a kind (`dict`, `list`; None: any); UserError for anything else."""
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise UserError(f"{path} does not exist.") from None
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is not readable JSON ({error or 'too deeply nested'}).") from None
    if kind is not None and not isinstance(data, kind):
        raise UserError(f"{path} should hold a JSON {'object' if kind is dict else 'list'}.")
    return data


def iterate_array(path, key: str) -> Iterator:
    """The elements of the array `key` of the object in a file, in constant memory; UserError as in `read_json`."""
    try:
        import ijson
    except ImportError:
        raise UserError("Reading large JSON files needs the extra [data]: pip install metrabs_acae[data].") from None

    def events_of(file):
        for prefix, event, value in ijson.parse(file, use_float=True):
            yield prefix, event, value
            if (prefix, event) == (key, "end_array"):
                return  # what follows in the file is not read
        raise ValueError("it is not there")

    try:
        with open(path, "rb") as file:
            yield from ijson.items(events_of(file), f"{key}.item")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the raw folder.") from None
    except (ValueError, ijson.JSONError) as error:
        raise UserError(f"{path} is not readable JSON with an array '{key}' ({error}); fetch it again.") from None
