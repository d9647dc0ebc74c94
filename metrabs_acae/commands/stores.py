"""Which pose stores a command works on: the user's, or the embedded synthetic ones, made at first use."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from metrabs_acae.commands import embedded
from metrabs_acae.config import Config
from metrabs_acae.data import store_checks
from metrabs_acae.data.mixture import Entry, Mixture
from metrabs_acae.data.paper_mixtures import find_stores
from metrabs_acae.data.settings import Data, store_and_count, store_and_split
from metrabs_acae.data.shares import in_proportion
from metrabs_acae.data.store import PoseStore
from metrabs_acae.dealing import Dealing
from metrabs_acae.errors import UserError


def with_paper_stores(config: Config) -> Config:
    """Names the stores of the presets paper-full, -medium and -small one by one, unless the user has named others."""
    size = config.preset.removeprefix("paper-")
    if size == config.preset or config.data.dataset3d:
        return config
    n_devices = int(config.devices.devices) if config.devices.devices.isdigit() else 1
    found = find_stores(
        size,
        config.files.data_dir,
        n_parts=Dealing(config.training.grad_accum_steps, max(1, n_devices), config.devices.n_hosts or 1).n_pieces,
        allow_missing=config.files.allow_missing_stores,
        has_converter=embedded.has_converter,
    )
    data = dataclasses.replace(
        config.data,
        dataset3d=found.dataset3d,
        dataset2d=config.data.dataset2d or found.dataset2d,
        test_on=config.data.test_on or found.test_on,
    )
    return dataclasses.replace(config, data=data)


def training_mixture(data: Data, *, data_dir: str, seed: int, merge_joints: bool = False) -> Mixture:
    """The mixture that `data` describes; the embedded data are made first if they are used and absent."""
    wanted_3d, wanted_2d = _wanted(data, data_dir)
    entries = []
    for wanted, kind, batch_size in ((wanted_3d, "3d", data.batch_size), (wanted_2d, "2d", data.batch_size_2d)):
        stores = [PoseStore(path) for path, _ in wanted]
        for store in stores:
            if store.kind != kind:
                raise UserError(f"{store.path} is a {store.kind} pose store; name it with --dataset{store.kind}.")
        counts = share([count for _, count in wanted], batch_size)
        entries += [
            Entry(store, "train", count) for store, count in zip(stores, counts, strict=True) if count or kind == "3d"
        ]
    return Mixture(entries, seed=seed, merge_joints=merge_joints)


def look_at_own(mixture: Mixture, data: Data) -> list[str]:
    """What `store_checks` say of the user's stores, for the log; UserError where their labels cannot be right."""
    if not data.dataset3d:
        return []  # the embedded data are exact
    said = []
    for store in dict.fromkeys(entry.store for entry in mixture.entries):
        findings = store_checks.check_store(store)
        said.append(f"{store.name}: {store_checks.sides_in_words(store.skeleton)}.")
        said += [f"Warning: {store.name}, {text}." for text in findings.warnings]
        if data.allow_suspicious_data:
            said += [f"Warning: {store.name} is used although its labels look wrong: {e}." for e in findings.errors]
        else:
            hint = (
                f"`python -m data_processing verify {store.path}` shows more; "
                "--allow-suspicious-data trains with it as it is."
            )
            store_checks.refuse(findings, f"The labels of {store.path}", hint=hint)
    return said


def stores_3d(data: Data, data_dir: str) -> list[PoseStore]:
    """The 3D stores that `data` describes."""
    return [PoseStore(path) for path, _ in _wanted(data, data_dir)[0]]


def share(counts: list[int | None], total: int) -> list[int]:
    """Fills in the missing counts: what is left of `total`, as evenly as it goes, at least one each.

    If all are given they count as they are, whatever `total` says. With `total` 0 the missing ones are 0.
    """
    given = sum(count or 0 for count in counts)
    missing = [i for i, count in enumerate(counts) if count is None]
    filled = in_proportion(dict.fromkeys(missing, 1), total - given) if total else {}
    return [filled.get(i, 0) if count is None else count for i, count in enumerate(counts)]


def validation_stores(data: Data, mixture: Mixture) -> list[PoseStore]:
    """The stores whose valid split is the validation set."""
    if data.validate_on:
        stores = [PoseStore(path) for path in data.validate_on]
        for store in stores:
            require_split(store, "valid")
        return stores
    return [e.store for e in mixture.entries if e.store.kind == "3d" and e.store.splits.get("valid")]


def test_stores(data: Data, data_dir: str) -> list[PoseStore]:
    """The stores whose test split is evaluated: --test-on, or the synthetic benchmarks where those are used."""
    if data.test_on:
        stores = [PoseStore(path) for path in data.test_on]
    elif data.dataset3d:
        stores = [s for s in (PoseStore(store_and_count(t)[0]) for t in data.dataset3d) if s.splits.get("test")]
    else:
        folder = embedded.folder(data_dir, data.synthetic_size, workers=data.workers)
        stores = [PoseStore(folder / name) for name in embedded.test_stores()]
    for store in stores:
        require_split(store, "test")
    return stores


def open_split(text: str, split: str = "test", *, known: Sequence[PoseStore] = ()) -> tuple[PoseStore, str]:
    """The 3D store and split of STORE or STORE:SPLIT; UserError if it has no examples there.

    STORE is the name of one of the `known` stores, or a path.
    """
    name, split = store_and_split(text, split)
    store = {s.name: s for s in known}.get(name) or PoseStore(name)
    require_split(store, split)
    return store, split


def _wanted(data: Data, data_dir: str) -> tuple[list[tuple[Path, int | None]], list[tuple[Path, int | None]]]:
    """(path, count) of the 3D and 2D stores."""
    if data.dataset3d:
        return [store_and_count(t) for t in data.dataset3d], [store_and_count(t) for t in data.dataset2d]
    if data.dataset2d:
        raise UserError("--dataset2d needs --dataset3d: training needs at least one 3D pose store.")
    shared = [
        in_proportion(embedded.shares_3d(data.synthetic_mixture), data.batch_size),
        in_proportion(embedded.shares_2d(), data.batch_size_2d) if data.batch_size_2d else {},
    ]
    folder = embedded.folder(data_dir, data.synthetic_size, workers=data.workers)
    return tuple([(folder / name, count) for name, count in counts.items()] for counts in shared)


def require_split(store: PoseStore, split: str) -> None:
    """Raises UserError if the store has no 3D-labelled examples in the split."""
    if store.kind != "3d":
        raise UserError(f"{store.path} has 2D labels; a 3D pose store is needed.")
    if not store.splits.get(split):
        raise UserError(f"{store.path} has no examples in split '{split}'; it has {store.splits}.")
