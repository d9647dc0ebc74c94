"""The embedded synthetic data, and how pose stores are made: the one module here that knows `data_processing`.

`data_processing` stands beside this package and writes stores with it; what it needs is imported when asked for.
"""

from __future__ import annotations

from pathlib import Path


def folder(data_dir: str, size: str, *, workers: int | None = None) -> Path:
    """Folder with the embedded stores of a size; generates those that are not there."""
    from data_processing.synthetic.generate import generate

    path = Path(data_dir) / size
    generate(path, size=size, workers=workers)
    return path


def shares_3d(mixture: str) -> dict[str, int]:
    """Store -> share in the batch of a mixture of the embedded 3D data, in batch order."""
    from data_processing.synthetic.datasets import MIXTURES_3D

    return dict(MIXTURES_3D[mixture])


def shares_2d() -> dict[str, int]:
    """The same for the 2D-labelled data."""
    from data_processing.synthetic.datasets import TRAIN_2D

    return dict(TRAIN_2D)


def test_stores() -> tuple[str, ...]:
    """Names of the embedded test sets: the benchmarks, then the one with the joints of all skeletons."""
    from data_processing.synthetic.datasets import BENCHMARKS, CONSISTENCY_STORE

    return (*(b.store for b in BENCHMARKS), CONSISTENCY_STORE)


def has_converter(dataset: str) -> bool:
    """Whether `python -m data_processing DATASET` makes a pose store of a dataset's raw files."""
    from data_processing.registry import get_dataset

    return bool(get_dataset(dataset).converter)
