"""What users name as MODULE:NAME on the command line: their own protocols, backbones, ..."""

from __future__ import annotations

import importlib

from metrabs_acae.errors import UserError


def import_named(text: str, flag: str):
    """The object NAME of the module in `text`, MODULE:NAME; UserError where there is none.

    Importing a module runs its code. So only what the user has given on purpose may come here, as the value of `flag`,
    never what a file says.
    """
    module, _, name = text.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except Exception as error:  # whatever the module's code raises
        reason = f"{type(error).__name__}: {error}"
        raise UserError(f"{flag} {text} cannot be imported ({reason}); expected MODULE:NAME.") from error
