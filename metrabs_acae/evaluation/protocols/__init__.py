"""Benchmarks by name, each in a file of its own."""

from __future__ import annotations

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.protocols import generic, human36m, mpi_inf_3dhp, mupots, threedpw
from metrabs_acae.evaluation.protocols.base import Protocol


def protocols() -> dict[str, Protocol]:
    """Name -> protocol."""
    return {m.PROTOCOL.name: m.PROTOCOL for m in (generic, human36m, mpi_inf_3dhp, mupots, threedpw)}


def get_protocol(name: str) -> Protocol:
    """The protocol called `name`; UserError lists the names."""
    if name not in protocols():
        raise UserError(f"There is no evaluation protocol '{name}'; choose one of {', '.join(protocols())}.")
    return protocols()[name]
