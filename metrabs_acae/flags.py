"""From a command line's words to settings classes, for all programs here.

Each setting of a class and of the classes inside it is a flag; its help is the docstring behind it.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import functools
import inspect
import io
import itertools
import sys
import textwrap
import typing
from collections.abc import Callable
from typing import Any

from metrabs_acae.errors import UserError
from metrabs_acae.settings import flag_of, leaves, name_of, require_range


def parse(
    cls: type,
    arguments: list[str],
    program: str,
    *,
    default: Any = None,
    description: str | None = None,
    name: Callable[[dataclasses.Field], str] = name_of,
):
    """An instance of the class from flags. --help prints and exits.

    Args:
        cls: a class made by `@settings`.
        default: the instance whose values the flags change; None: the class's defaults.
        description: what --help begins with; None: the class's docstring.
        name: what a setting is called in this program.

    Raises:
        UserError: a flag that does not exist or has no such value, a value out of range.
    """
    import tyro
    from tyro.constructors import ConstructorRegistry

    registry = ConstructorRegistry()
    registry.struct_rule(functools.partial(_struct, name=name))
    given = {} if default is None else {"default": default}
    messages = io.StringIO()
    asks_help = any(a in ("-h", "--help") for a in arguments)
    try:
        with contextlib.nullcontext() if asks_help else contextlib.redirect_stderr(messages):
            values = tyro.cli(
                cls,
                args=arguments,
                prog=program,
                description=description or inspect.getdoc(cls),
                config=(tyro.conf.OmitArgPrefixes,),
                registry=registry,
                **given,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise UserError(f"{_one_sentence(messages.getvalue())}. See {program} --help.") from None
    return _made(cls, values, name)


def flags_of(instance) -> list[str]:
    """The arguments that give an instance's settings where these differ from the class's defaults."""
    arguments = []
    for leaf in leaves(instance):
        flag = flag_of(leaf.name)
        if leaf.value == leaf.field.default:
            continue
        if isinstance(leaf.value, bool):
            arguments.append(flag if leaf.value else "--no" + flag[1:])
        else:
            arguments += [flag, *map(str, leaf.value if isinstance(leaf.value, tuple) else [leaf.value])]
    return arguments


def _struct(info, name: Callable[[dataclasses.Field], str]):
    """How tyro is to read a dataclass: its fields by their names in the program, into a dict."""
    import tyro
    from tyro.constructors import StructConstructorSpec, StructFieldSpec

    if not dataclasses.is_dataclass(info.type):
        return None
    types = typing.get_type_hints(info.type, include_extras=True)
    specs = []
    for field in dataclasses.fields(info.type):
        if dataclasses.is_dataclass(info.default):
            default = getattr(info.default, field.name)
        elif field.default is not dataclasses.MISSING:
            default = field.default
        elif field.default_factory is not dataclasses.MISSING:
            default = field.default_factory()
        else:
            default = tyro.MISSING
        of_section = types[field.name] if dataclasses.is_dataclass(default) else None
        text = functools.partial(_help_of, info.type, field.name, of_section)
        specs.append(StructFieldSpec(name(field), types[field.name], default, helptext=text))
    return StructConstructorSpec(instantiate=dict, fields=tuple(specs))


def _made(cls: type, values: dict[str, Any], name: Callable[[dataclasses.Field], str]):
    arguments = {}
    for field in dataclasses.fields(cls):
        value = values[name(field)]
        if isinstance(value, dict):
            value = _made(typing.get_type_hints(cls)[field.name], value, name)
        require_range(field, value, name)
        arguments[field.name] = value
    return cls(**arguments)


def _help_of(cls: type, field: str, section: type | None) -> str | None:
    """The docstring behind a field, or else of the class of settings that it holds."""
    texts = {}
    for base in cls.__mro__[::-1]:
        if dataclasses.is_dataclass(base):
            texts |= _docstrings(base.__module__).get(base.__qualname__, {})
    return texts.get(field) or (inspect.getdoc(section) if section else None)


@functools.cache
def _docstrings(module: str) -> dict[str, dict[str, str]]:
    """Class -> field -> the docstring behind it, of the classes at a module's top level."""
    found = {}
    for node in ast.parse(inspect.getsource(sys.modules[module])).body:
        if not isinstance(node, ast.ClassDef):
            continue
        texts = found[node.name] = {}
        for statement, following in itertools.pairwise(node.body):
            text = following.value if isinstance(following, ast.Expr) else None
            if isinstance(statement, ast.AnnAssign) and isinstance(text, ast.Constant):
                texts[statement.target.id] = " ".join(textwrap.dedent(text.value).split())
    return found


def _one_sentence(message: str) -> str:
    """What stands under the title of a framed parser message, up to the next rule."""
    lines = [line.strip(" │|╭╮╰╯") for line in message.splitlines()]
    filled = [bool(line.strip(" ─-")) for line in lines]
    title = filled.index(True) if any(filled) else len(lines)
    after = itertools.dropwhile(lambda i: not filled[i], range(title + 1, len(lines)))
    text = " ".join(lines[i] for i in itertools.takewhile(lambda i: filled[i], after))
    return (text or "The arguments could not be read").rstrip(".")
