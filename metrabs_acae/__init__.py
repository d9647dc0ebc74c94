"""MeTRAbs 3D human pose models trained on many datasets, bridged by an affine-combining autoencoder."""

import importlib
from typing import TYPE_CHECKING, Any

from metrabs_acae.machine import find_numba_cache

if TYPE_CHECKING:
    from metrabs_acae.api import Model, People, load
    from metrabs_acae.errors import UserError

__version__ = "0.1.0"
__all__ = ["Model", "People", "UserError", "__version__", "load"]

find_numba_cache()


def __getattr__(name: str) -> Any:
    """`load` and its results are imported when they are asked for."""
    if name in ("Model", "People", "UserError", "load"):
        return getattr(importlib.import_module("metrabs_acae.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
