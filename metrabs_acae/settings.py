"""How a setting is declared: its default, range, flag and users stand with the field that it configures.

The parts of the program take frozen dataclasses, made by `@settings`, whose fields are made by `setting(...)` and
explained by the docstring behind them. The command lines are put together from these very classes by `section(...)`,
so that a setting is written down once. A setting's name on the command line and in config.json is its field's (with
dashes, without), or `flag` where a short name says enough beside its part only; no two settings of one program share
it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, dataclass_transform

from metrabs_acae.errors import UserError

Class = TypeVar("Class", bound=type)
_NO_RANGE = (None,) * 4


def setting(
    default: Any = dataclasses.MISSING,
    *,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    flag: str = "",
    used_by: tuple[str, ...] = (),
    stored: bool = False,
    free_on_resume: bool = False,
    of_weights: bool = False,
) -> Any:
    """A field of a settings class.

    Args:
        default: of any immutable type; None is never out of range. Without one the setting must be given.
        at_least, above, at_most, below: the range, ends included or not.
        flag: name on the command line and in files, with underscores; empty: the field's.
        used_by: field names of the verbs that use it; empty: those of the section it stands in.
        stored: it stands in a run's config.json, as do all settings of a section that is stored.
        free_on_resume: another value may go on with a run, since no result depends on it.
        of_weights: weights that were trained with one value are of no use with another.
    """
    metadata = {"range": (at_least, above, at_most, below), "flag": flag, "used_by": used_by, "stored": stored}
    metadata |= {"free_on_resume": free_on_resume, "of_weights": of_weights}
    return dataclasses.field(default=default, metadata=metadata)


def section(cls: type, *, used_by: tuple[str, ...] = (), stored: bool = False) -> Any:
    """A field that holds settings of another class; `used_by` and `stored` count for all that say nothing else."""
    return dataclasses.field(default_factory=cls, metadata={"used_by": used_by, "stored": stored})


@dataclass_transform(frozen_default=True, field_specifiers=(setting, section, dataclasses.field))
def settings(cls: Class) -> Class:
    """Makes a frozen dataclass that refuses values out of range with UserError when it is made."""
    inherited = getattr(cls, "__post_init__", None)

    def check(self) -> None:
        for field in dataclasses.fields(self):
            require_range(field, getattr(self, field.name))
        if inherited:
            inherited(self)

    cls.__post_init__ = check
    return dataclasses.dataclass(frozen=True)(cls)


def name_of(field: dataclasses.Field) -> str:
    """What a setting is called on the command line (there with dashes) and in files."""
    return field.metadata.get("flag") or field.name


def flag_of(name: str) -> str:
    return "--" + name.replace("_", "-")


@dataclasses.dataclass(frozen=True)
class Leaf:
    """One setting inside a settings instance: its value, its field, and the fields that lead to it."""

    value: Any
    field: dataclasses.Field
    sections: tuple[dataclasses.Field, ...]

    @property
    def name(self) -> str:
        return name_of(self.field)

    @property
    def used_by(self) -> tuple[str, ...]:
        """What the innermost field says that says something."""
        return next(
            (f.metadata["used_by"] for f in (self.field, *self.sections[::-1]) if f.metadata.get("used_by")), ()
        )

    @property
    def stored(self) -> bool:
        return any(f.metadata.get("stored") for f in (*self.sections, self.field))

    @property
    def free_on_resume(self) -> bool:
        return bool(self.field.metadata.get("free_on_resume"))

    @property
    def of_weights(self) -> bool:
        return bool(self.field.metadata.get("of_weights"))


def leaves(instance, sections: tuple[dataclasses.Field, ...] = ()) -> Iterator[Leaf]:
    """All settings in a dataclass and the dataclasses inside it."""
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(value, (*sections, field))
        else:
            yield Leaf(value, field, sections)


def with_values(instance, values: Mapping[str, Any]):
    """A copy with other values {name: value} of some settings, wherever they stand; KeyError on unknown names."""
    unknown = set(values) - {leaf.name for leaf in leaves(instance)}
    if unknown:
        raise KeyError(", ".join(sorted(unknown)))
    return _with_known(instance, values)


def _with_known(instance, values: Mapping[str, Any]):
    changes = {}
    for field in dataclasses.fields(instance):
        value = getattr(instance, field.name)
        if dataclasses.is_dataclass(value):
            changes[field.name] = _with_known(value, values)
        elif name_of(field) in values:
            changes[field.name] = values[name_of(field)]
    return dataclasses.replace(instance, **changes)


def require_range(field: dataclasses.Field, value, name: Callable[[dataclasses.Field], str] = name_of) -> None:
    """Raises UserError if the value is out of the field's range."""
    at_least, above, at_most, below = bounds = field.metadata.get("range", _NO_RANGE)
    if value is None or bounds == _NO_RANGE:
        return
    inside = (
        (at_least is None or value >= at_least)
        and (above is None or value > above)
        and (at_most is None or value <= at_most)
        and (below is None or value < below)
    )
    if not inside:  # also what compares with nothing: NaN
        raise UserError(f"{flag_of(name(field))} must {_in_words(*bounds)}; got {value}.")


def _in_words(at_least, above, at_most, below) -> str:
    if at_least is not None and at_most is not None:
        return f"lie between {at_least:g} and {at_most:g}"
    if above is not None and below is not None:
        return f"lie between {above:g} and {below:g}, ends excluded"
    if (at_least, above, at_most, below) == (0, None, None, None):
        return "not be negative"
    if (at_least, above, at_most, below) == (None, 0, None, None):
        return "be greater than zero"
    bounds = (("at least", at_least), ("greater than", above), ("at most", at_most), ("below", below))
    return "be " + " and ".join(f"{words} {bound:g}" for words, bound in bounds if bound is not None)
