"""Flags made from settings classes, for every program."""

from __future__ import annotations

import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.flags import flags_of, parse
from metrabs_acae.settings import section, setting, settings


@settings
class Inner:
    """A part."""

    share: float = setting(0.5, at_least=0, at_most=1)
    """A share."""
    steps: int | None = setting(None, above=0, flag="inner_steps")
    """A number: '%' of all
    steps."""
    zoom: float = setting(25.0, at_least=0, below=100)
    """Percent."""


@settings
class Outer:
    """A program."""

    inner: Inner = section(Inner)
    name: str = setting("")
    """A name."""
    parts: tuple[str, ...] = setting(())
    """Parts."""
    exact: bool = setting(True)
    """Exact."""


def test_flags_are_the_settings_names_and_change_the_default():
    default = Outer(inner=Inner(zoom=5.0))
    assert parse(Outer, ["--inner-steps", "3"], "x", default=default) == Outer(inner=Inner(steps=3, zoom=5.0))
    assert parse(Outer, [], "x") == Outer()


@pytest.mark.parametrize(
    "arguments, sentence",
    [
        ("--steps 3", "Unrecognized options: --steps, 3. See x --help."),
        ("--inner-steps 0", "--inner-steps must be greater than zero; got 0."),
        ("--share a", "Error parsing --share: could not convert string to float: 'a'. See x --help."),
    ],
)
def test_wrong_flags_give_one_sentence(arguments, sentence):
    with pytest.raises(UserError) as error:
        parse(Outer, arguments.split(), "x")
    assert str(error.value) == sentence


def test_help_shows_the_docstrings_and_defaults(capsys):
    with pytest.raises(SystemExit):
        parse(Outer, ["--help"], "x", default=Outer(inner=Inner(zoom=5.0)))
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for text in ("A program.", "A part.", "--inner-steps {None}|INT A number: '%' of all steps. (default: None)"):
        assert text in shown
    assert "--zoom FLOAT Percent. (default: 5.0)" in shown and "--name STR A name." in shown


def test_a_setting_without_a_default_must_be_given_and_a_part_may_have_names_of_its_own():
    @settings
    class Own:
        size: int = setting(flag="own_size", above=0)

    assert parse(Own, ["--size", "3"], "x", name=lambda field: field.name) == Own(size=3)
    with pytest.raises(UserError, match="^--size must be greater than zero; got 0.$"):
        parse(Own, ["--size", "0"], "x", name=lambda field: field.name)
    with pytest.raises(UserError, match="--own-size"):
        parse(Own, [], "x")


def test_flags_of_settings_give_them_again():
    outer = Outer(inner=Inner(steps=3, zoom=1.5), parts=("a", "b"), exact=False)
    flags = flags_of(outer)
    assert flags == ["--inner-steps", "3", "--zoom", "1.5", "--parts", "a", "b", "--no-exact"]
    assert parse(Outer, flags, "x") == outer and flags_of(Outer()) == []
