"""Benchmarks by name, each in a file of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predictions import Predictions, load_predictions
from metrabs_acae.evaluation.protocols import generic, human36m, mpi_inf_3dhp, mupots, threedpw
from metrabs_acae.evaluation.protocols.base import Protocol
from metrabs_acae.evaluation.results import Result
from metrabs_acae.evaluation.truth import truth_from_store

if TYPE_CHECKING:
    from metrabs_acae.data.store import PoseStore


def protocols() -> dict[str, Protocol]:
    """Name -> protocol."""
    return {m.PROTOCOL.name: m.PROTOCOL for m in (generic, human36m, mpi_inf_3dhp, mupots, threedpw)}


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
    chosen = get_protocol(protocol)
    needs_2d = chosen is mupots.PROTOCOL or (chosen is threedpw.PROTOCOL and options.get("association") != "given")
    return chosen.evaluate(predictions, truth_from_store(store, split, with_2d=needs_2d), **options)


def get_protocol(name: str) -> Protocol:
    """The protocol called `name` (``h36m`` is ``human36m``); UserError lists the names."""
    name = {"h36m": "human36m"}.get(name, name)
    if name not in protocols():
        raise UserError(f"There is no evaluation protocol '{name}'; choose one of {', '.join(protocols())}.")
    return protocols()[name]
