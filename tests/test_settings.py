"""Settings declared beside what they configure."""

import dataclasses
import math

import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.settings import flag_of, leaves, section, setting, settings, with_values


@settings
class Inner:
    """A part."""

    share: float = setting(0.5, at_least=0, at_most=1)
    """A share."""
    steps: int | None = setting(None, above=0, flag="inner_steps")
    """A number."""
    zoom: float = setting(25.0, at_least=0, below=100)
    """Percent."""


@settings
class Outer:
    """A program."""

    inner: Inner = section(Inner, used_by=("train",), stored=True)
    name: str = setting("", used_by=("demo",), free_on_resume=True)
    """A name."""


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


def test_settings_inside_settings_are_found_with_what_is_said_of_them():
    found = {leaf.name: leaf for leaf in leaves(Outer(inner=Inner(steps=3)))}
    assert set(found) == {"share", "inner_steps", "zoom", "name"} and found["inner_steps"].value == 3
    assert found["inner_steps"].used_by == ("train",) and found["name"].used_by == ("demo",)
    assert found["zoom"].stored and not found["name"].stored
    assert found["name"].free_on_resume and not found["zoom"].free_on_resume
    assert flag_of("inner_steps") == "--inner-steps"


def test_values_are_given_by_name_wherever_they_stand():
    changed = with_values(Outer(), {"inner_steps": 4, "name": "x"})
    assert changed == Outer(inner=Inner(steps=4), name="x")
    with pytest.raises(KeyError, match="steps"):
        with_values(Outer(), {"steps": 4})
