"""Reads tables that pandas has pickled, without pandas and without running the pickle.

A pickled `DataFrame` holds a manager of blocks: columns of one type lie in one array [columns, rows], with the
positions of those columns in the table. The manager's form changed with pandas 1.3; both are read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.safe_pickle import StandIn, load_pickle


def read_columns(
    path,
    names: Iterable[str],
    *,
    optional: Iterable[str] = (),
    skip_array: Callable[[tuple], bool] | None = None,
) -> dict[str, np.ndarray]:
    """Columns [rows] of a pickled table by name.

    Args:
        optional: columns that may be absent.
        skip_array: see `load_pickle`; for tables whose unwanted cells hold large arrays.

    Raises:
        UserError: the file is missing or damaged, is no table, or lacks a column.
    """
    frame = load_pickle(path, stand_ins=("pandas",), skip_array=skip_array)
    try:
        columns = _columns(frame)
    except (AttributeError, KeyError, ValueError, IndexError, TypeError) as error:
        raise UserError(f"{path} is not a table as pandas 1 or 2 pickles it ({error!r}); fetch it again.") from None
    missing = [n for n in names if n not in columns]
    if missing:
        raise UserError(f"{path} has no column {', '.join(missing)}; is it the right file?")
    return {n: columns[n] for n in (*names, *(n for n in optional if n in columns))}


def _columns(frame) -> dict[str, np.ndarray]:
    if not isinstance(frame, StandIn) or not frame.kind.endswith(".DataFrame"):
        raise ValueError("no DataFrame")
    manager = frame.state["_mgr"] if "_mgr" in frame.state else frame.state["_data"]
    if manager.state is None:
        blocks, axes = manager.args
        blocks = [b.args[:2] for b in blocks]
    else:  # before pandas 1.3
        described = manager.state[3]["0.14.1"]
        axes = described["axes"]
        blocks = [(b["values"], b["mgr_locs"]) for b in described["blocks"]]
    names = _labels(axes[0])
    columns = {}
    for values, places in blocks:
        values = np.atleast_2d(np.asarray(values))
        places = np.arange(len(names))[places]
        if len(places) != len(values):
            raise ValueError("blocks and columns disagree")
        columns.update({names[i]: column for i, column in zip(places, values, strict=True)})
    return columns


def _labels(index) -> list[str]:
    """The names of the columns, from the call that makes an `Index`: (class, {"data": array, ...})."""
    return [str(n) for n in np.asarray(index.args[1]["data"]).ravel()]
