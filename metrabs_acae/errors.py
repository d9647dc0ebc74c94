"""The exceptions that stand for bad input."""


class UserError(ValueError):
    """Input that cannot be used: one sentence saying what was wrong, what was expected and what to do.

    The command line prints it alone (no traceback) and exits with code 2.
    """


class BadExample(UserError):
    """A row of a pose store, or its picture, is broken: loaders count it and go on with others."""
