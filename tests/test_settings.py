"""Settings declared beside what they configure."""

import dataclasses
import math

import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.settings import flag_of, leaves, name_of, setting, settings


@settings
class Inner:
    share: float = setting(0.5, at_least=0, at_most=1)
    """A share."""
    steps: int | None = setting(None, above=0, flag="inner_steps")
    """A number."""
    zoom: float = setting(25.0, at_least=0, below=100)
    """Percent."""


@settings
class Outer:
    inner: Inner = dataclasses.field(default_factory=Inner)
    name: str = ""


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (dict(share=1.5), "--share must lie between 0 and 1; got 1.5."),
        (dict(share=math.nan), "--share must lie between 0 and 1; got nan."),
        (dict(steps=0), "--inner-steps must be greater than zero; got 0."),
        (dict(zoom=100), "--zoom must be at least 0 and below 100; got 100."),
    ],
)
def test_values_out_of_range_are_refused_with_their_flag(values, sentence):
    with pytest.raises(UserError) as error:
        Inner(**values)
    assert str(error.value) == sentence


def test_replacing_checks_again_and_none_is_never_out_of_range():
    assert Inner(steps=None).steps is None
    with pytest.raises(UserError):
        dataclasses.replace(Inner(), share=-1)


def test_settings_inside_settings_are_found_with_their_names():
    found = {name_of(field): (path, value) for path, field, value in leaves(Outer(inner=Inner(steps=3)))}
    assert found["inner_steps"] == (("inner", "steps"), 3)
    assert set(found) == {"share", "inner_steps", "zoom", "name"}
    assert flag_of("inner_steps") == "--inner-steps"
