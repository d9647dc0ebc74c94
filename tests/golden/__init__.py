"""Golden arrays: inputs and outputs of the public MeTRAbs reference (see README.md in this folder)."""

from pathlib import Path

import numpy as np


def golden(name: str) -> dict[str, np.ndarray]:
    """All arrays of one golden file, by key. `name` is the file name without `.npz`."""
    with np.load(Path(__file__).parent / f"{name}.npz", allow_pickle=False) as arrays:
        return dict(arrays)
