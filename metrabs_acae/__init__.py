"""MeTRAbs 3D human pose models trained on many datasets, bridged by an affine-combining autoencoder."""

from metrabs_acae.machine import find_numba_cache

__version__ = "0.1.0"

find_numba_cache()
