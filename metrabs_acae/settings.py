"""How a setting is declared: its default, range, flag and users stand with the field that it configures.

The parts of the program take frozen dataclasses, made by `@settings`, whose fields are made by `setting(...)` and
explained by the docstring behind them. The command lines are put together from these very classes, so that a setting
is written down once. A setting's name on the command line and in config.json is its field's (with dashes, without), or
`flag` where a short name says enough beside its part only; no two settings of one program share it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, TypeVar, dataclass_transform

from metrabs_acae.errors import UserError

Class = TypeVar("Class", bound=type)


def setting(
    default: Any,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    flag: str = "",
    used_by: tuple[str, ...] = (),
    free_on_resume: bool = False,
) -> Any:
    """A field of a settings class.

    Args:
        default: of any immutable type; None is never out of range.
        at_least, above, at_most, below: the range, ends included or not.
        flag: name on the command line and in files, with underscores; empty: the field's.
        used_by: field names of the verbs that use it; empty: those of the section it stands in.
        free_on_resume: another value may go on with a run, since no result depends on it.
    """
    metadata = {"range": (at_least, above, at_most, below), "flag": flag}
    metadata |= {"used_by": tuple(used_by), "free_on_resume": free_on_resume}
    return dataclasses.field(default=default, metadata=metadata)


@dataclass_transform(frozen_default=True, field_specifiers=(setting, dataclasses.field))
def settings(cls: Class) -> Class:
    """Makes a frozen dataclass that refuses values out of range with UserError when it is made."""
    inherited = getattr(cls, "__post_init__", None)

    def check(self) -> None:
        for field in dataclasses.fields(self):
            _check_range(field, getattr(self, field.name))
        if inherited:
            inherited(self)

    cls.__post_init__ = check
    return dataclasses.dataclass(frozen=True)(cls)


def name_of(field: dataclasses.Field) -> str:
    """What a setting is called on the command line (there with dashes) and in files."""
    return field.metadata.get("flag") or field.name


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


def leaves(instance) -> Iterator[tuple[tuple[str, ...], dataclasses.Field, Any]]:
    """(names of the fields on the way, field, value) of all settings in a dataclass and the dataclasses inside it."""
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if dataclasses.is_dataclass(value):
            yield from (((field.name, *path), leaf, v) for path, leaf, v in leaves(value))
        else:
            yield (field.name,), field, value


def _check_range(field: dataclasses.Field, value) -> None:
    at_least, above, at_most, below = field.metadata.get("range", (None,) * 4)
    if value is None or (at_least, above, at_most, below) == (None,) * 4:
        return
    inside = (
        (at_least is None or value >= at_least)
        and (above is None or value > above)
        and (at_most is None or value <= at_most)
        and (below is None or value < below)
    )
    if not inside:  # also what compares with nothing: NaN
        raise UserError(f"{flag_of(name_of(field))} must {_in_words(at_least, above, at_most, below)}; got {value}.")


def _in_words(at_least, above, at_most, below) -> str:
    if (at_least, above, at_most, below) == (0, None, 1, None):
        return "lie between 0 and 1"
    if (at_least, above, at_most, below) == (0, None, None, None):
        return "not be negative"
    if (at_least, above, at_most, below) == (None, 0, None, None):
        return "be greater than zero"
    bounds = (("at least", at_least), ("greater than", above), ("at most", at_most), ("below", below))
    return "be " + " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
