"""Reads one array of a large JSON file element by element; `metrabs_acae.files.read_json` reads whole files."""

from __future__ import annotations

import codecs
from collections.abc import Iterator

from metrabs_acae.errors import UserError


def iterate_array(path, key: str) -> Iterator:
    """The elements of the array `key` of the object in a file, in constant memory; UserError where it is not there."""
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
            if file.read(3) != codecs.BOM_UTF8:
                file.seek(0)
            yield from ijson.items(events_of(file), f"{key}.item")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the raw folder.") from None
    except (ValueError, ijson.JSONError) as error:
        raise UserError(f"{path} is not readable JSON with an array '{key}' ({error}); fetch it again.") from None
