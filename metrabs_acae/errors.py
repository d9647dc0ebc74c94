"""The exceptions that stand for bad input."""

import re


class UserError(ValueError):
    """Input that cannot be used: one sentence saying what was wrong, what was expected and what to do.

    The command line prints it alone (no traceback) and exits with code 2. The sentence stays on one line whatever it
    quotes (arrays print on several); `lines` are a list to be shown under it.
    """

    def __init__(self, sentence: object, *lines: str):
        super().__init__("\n".join([re.sub(r"\s*\n\s*", " ", str(sentence)), *lines]))


class BadExample(UserError):
    """A row of a pose store, or its picture, is broken: loaders count it and go on with others."""
