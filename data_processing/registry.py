"""The datasets by name: 28 with 3D labels, 4 with 2D labels, the benchmarks, and two that serve augmentation.

The names are those of the command line and of the stores.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from data_processing import registry_3d, registry_other
from data_processing.dataset_info import DatasetInfo
from metrabs_acae.errors import UserError

DATASETS: Mapping[str, DatasetInfo] = MappingProxyType(
    {d.name: d for d in (*registry_3d.DATASETS, *registry_other.DATASETS)}
)


def get_dataset(name: str) -> DatasetInfo:
    """A dataset by name; UserError lists the names."""
    if name not in DATASETS:
        raise UserError(f"There is no dataset '{name}'; known ones: {', '.join(DATASETS)}.")
    return DATASETS[name]


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
