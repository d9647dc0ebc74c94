"""Benchmarks by name. Each is a file here with a `PROTOCOL`; a user's own is named MODULE:NAME or registered."""

from __future__ import annotations

import importlib
import pkgutil
from typing import TYPE_CHECKING

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predictions import Predictions, load_predictions
from metrabs_acae.evaluation.protocols.base import Protocol
from metrabs_acae.evaluation.results import Result
from metrabs_acae.plugins import import_named

if TYPE_CHECKING:
    from metrabs_acae.data.store import PoseStore

_registered: dict[str, Protocol] = {}


def register(protocol: Protocol) -> Protocol:
    """Adds a protocol, which is then found by its name and aliases; UserError where another one has one of these."""
    for name in (protocol.name, *protocol.aliases):
        if protocols_by_any_name().get(name, protocol) is not protocol:
            raise UserError(f"There is another evaluation protocol '{name}'; give yours a name of its own.")
    _registered[protocol.name] = protocol
    return protocol


def protocols() -> dict[str, Protocol]:
    """Name -> protocol: those of the files of this package, then those that were registered."""
    modules = [importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)]
    found = {m.PROTOCOL.name: m.PROTOCOL for m in modules if hasattr(m, "PROTOCOL")}
    return {**found, **_registered}


def protocols_by_any_name() -> dict[str, Protocol]:
    """As `protocols`, by aliases too."""
    return {name: p for p in protocols().values() for name in (p.name, *p.aliases)}


def get_protocol(name: str) -> Protocol:
    """The protocol of that name or alias; UserError lists the names."""
    found = protocols_by_any_name()
    if name not in found:
        raise UserError(
            f"There is no evaluation protocol '{name}'; choose one of {', '.join(protocols())}, or name your own as "
            "--protocol MODULE:NAME."
        )
    return found[name]


def protocol_from_flag(text: str) -> Protocol:
    """As `get_protocol`, or of the user's own module, MODULE:NAME, which is imported.

    Only for what stands on the command line: a file must not decide what is imported.
    """
    module, colon, attribute = text.partition(":")
    if not colon:
        return get_protocol(text)
    found = import_named(text, "--protocol")
    if not isinstance(found, Protocol):
        raise UserError(f"--protocol {text}: {attribute} of {module} is no Protocol but a {type(found).__name__}.")
    return register(found)


def evaluate_file(path, store: PoseStore, *, protocol: str, split: str = "test", **options) -> Result:
    """Scores a prediction file against the labels of a benchmark's pose store.

    Args:
        path: see `predictions`.
        protocol: its name; `options` are its own.
    """
    return evaluate_predictions(load_predictions(path), store, protocol=protocol, split=split, **options)


def evaluate_predictions(
    predictions: Predictions, store: PoseStore, *, protocol: str, split: str = "test", **options
) -> Result:
    """`evaluate_file` of predictions in memory."""
    return get_protocol(protocol).evaluate_on(predictions, store, split, **options)
