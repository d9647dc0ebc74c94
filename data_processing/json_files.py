"""Reads JSON files of the raw data: whole, or one array of a large file element by element."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from metrabs_acae.errors import UserError

CHUNK = 1 << 20
MAX_ELEMENT = 64 << 20
SPACE = " \t\r\n"


def read_json(path):
    """The contents of a file; UserError where it is missing or damaged."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the raw folder.") from None
    except ValueError as error:
        raise UserError(f"{path} is not readable JSON ({error}); fetch it again.") from None


def iterate_array(path, key: str) -> Iterator:
    """The elements of the array `key` of the object in a file, in constant memory; UserError as in `read_json`."""
    try:
        with open(path, encoding="utf-8") as file:
            yield from _Scanner(file).elements(key)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); check the raw folder.") from None
    except ValueError as error:
        raise UserError(f"{path} is not readable JSON with an array '{key}' ({error}); fetch it again.") from None


class _Scanner:
    """Decodes one value after another from a text file, of which it holds a window."""

    def __init__(self, file):
        self.file = file
        self.text, self.position, self.at_end = "", 0, False
        self.decoder = json.JSONDecoder()

    def elements(self, key: str) -> Iterator:
        self.expect("{")
        while self.peek() == '"':
            name = self.value()
            self.expect(":")
            if self.peek() == "[":
                for element in self.array():
                    if name == key:
                        yield element
                if name == key:
                    return
            else:
                self.value()
            if self.peek() == ",":
                self.expect(",")
        raise ValueError("it is not there")

    def array(self) -> Iterator:
        self.expect("[")
        if self.peek() != "]":
            yield self.value()
            while self.peek() == ",":
                self.expect(",")
                yield self.value()
        self.expect("]")

    def peek(self) -> str:
        """The next character that is no space; empty at the end of the file."""
        while True:
            while self.position < len(self.text) and self.text[self.position] in SPACE:
                self.position += 1
            if self.position < len(self.text) or not self.more():
                return self.text[self.position : self.position + 1]

    def expect(self, character: str) -> None:
        if self.peek() != character:
            raise ValueError(f"'{character}' expected")
        self.position += 1

    def value(self):
        self.peek()
        while True:
            try:
                value, end = self.decoder.raw_decode(self.text, self.position)
            except ValueError:
                if not self.more():
                    raise
                continue
            if end == len(self.text) and self.more():
                continue  # a number could go on
            self.position = end
            return value

    def more(self) -> bool:
        """Reads on, forgetting what has been decoded; False at the end of the file."""
        if self.at_end:
            return False
        size = max(CHUNK, len(self.text) - self.position)  # doubles for long elements
        if size > MAX_ELEMENT:
            raise ValueError("an element is too long")
        chunk = self.file.read(size)
        self.at_end = not chunk
        self.text, self.position = self.text[self.position :] + chunk, 0
        return bool(chunk)
