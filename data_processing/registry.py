"""The datasets by name: 28 with 3D labels, 4 with 2D labels, the benchmarks, and two that serve augmentation.

The names are those of the command line and of the stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from data_processing import registry_3d, registry_other
from data_processing.dataset_info import DatasetInfo
from metrabs_acae.errors import UserError
from metrabs_acae.plugins import import_named

DATASETS: Mapping[str, DatasetInfo] = MappingProxyType(
    {d.name: d for d in (*registry_3d.DATASETS, *registry_other.DATASETS)}
)


_registered: dict[str, DatasetInfo] = {}


def register_dataset(dataset: DatasetInfo) -> DatasetInfo:
    """Adds a dataset of one's own; UserError where another one has its name."""
    if {**DATASETS, **_registered}.get(dataset.name, dataset) != dataset:
        raise UserError(f"There is another dataset '{dataset.name}' already; give yours a name of its own.")
    _registered[dataset.name] = dataset
    return dataset


def get_dataset(name: str) -> DatasetInfo:
    """A dataset by name; UserError lists the names."""
    known = {**DATASETS, **_registered}
    if name not in known:
        raise UserError(f"There is no dataset '{name}'; known ones: {', '.join(known)}. Your own: MODULE:NAME.")
    return known[name]


def dataset_from_command(text: str) -> DatasetInfo:
    """As `get_dataset`, or of the user's own module, MODULE:NAME, which is imported."""
    if ":" not in text:
        return get_dataset(text)
    found = import_named(text, "The dataset")
    if not isinstance(found, DatasetInfo):
        raise UserError(f"{text} is no DatasetInfo but a {type(found).__name__}.")
    return register_dataset(found)


def table(
    columns: tuple[str, ...] = ("name", "title", "year", "role", "kind", "licence", "skeleton"),
) -> list[list[str]]:
    """The registry as rows of text, the header first; "per batch" and "command" are computed."""
    return [list(columns), *([_cell(d, c) for c in columns] for d in DATASETS.values())]


def _cell(dataset: DatasetInfo, column: str) -> str:
    if column == "per batch":
        return "/".join(str(n) for n in dataset.batch) if any(dataset.batch) else "-"
    if column == "converter":
        return "yes" if dataset.converter else "no"
    if column == "skeleton" and dataset.joints:
        return f"{dataset.skeleton} ({len(dataset.joints)})"
    return str(getattr(dataset, column)) or "-"
