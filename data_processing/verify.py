"""Checks a pose store: are the pictures there, the units right, left and right where they belong, the cameras sane?"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field

import numpy as np

from data_processing.boxes import area, within_image
from data_processing.images import decode_image
from data_processing.plausibility import BoneCheck
from data_processing.rows import Row
from metrabs_acae.data.store import Example, PoseStore
from metrabs_acae.data.store_checks import MAX_BAD_FRACTION, Findings, check_rows, check_skeleton
from metrabs_acae.errors import UserError
from metrabs_acae.joint_names import side

ROWS = 2000
SHORT_MM = 30.0
"""Differences of bones below this are annotation noise."""


@dataclass
class Report(Findings):
    """What the checks found in a store."""

    store: PoseStore | None = None
    nan_rates: dict[str, float] = field(default_factory=dict)
    shown: list[Example] = field(default_factory=list)

    @property
    def broken(self) -> bool:
        return bool(self.errors)


def verify(path, *, rows: int = ROWS, pictures: int = 12) -> Report:
    """Checks one store.

    Args:
        rows: per split so many examples, evenly spread, are examined and their pictures decoded; 0 for all. Whether
            pictures exist and whether examples are duplicates is checked for all.
        pictures: how many examples the report will show.
    """
    store = PoseStore(path)
    report = Report(store=store)
    report.facts["examples"] = ", ".join(f"{split} {n:,}" for split, n in store.splits.items())
    check_skeleton(report, store.skeleton)
    for split, count in store.splits.items():
        if not count:
            report.warnings.append(f"split {split} is empty")
            continue
        _check_keys(report, split, count)
        chosen = np.unique(np.linspace(0, count - 1, count if rows == 0 else min(count, rows)).astype(int))
        _check_rows(report, split, [store.row(split, int(i)) for i in chosen])
    first = max(store.splits, key=store.splits.get)
    spread = np.unique(np.linspace(0, store.splits[first] - 1, min(pictures, store.splits[first])).astype(int))
    report.shown = [store.row(first, int(i)) for i in spread]
    return report


def _check_keys(report: Report, split: str, count: int) -> None:
    """All pictures exist; no example stands there twice."""
    store = report.store
    keys, coords = store.column(split, "image_key"), store.column(split, "coords")
    boxes = store.column(split, "box_ltwh_px")
    seen: set[bytes] = set()
    known: dict[str, bool] = {}
    duplicates = missing = 0
    for i in range(count):
        key = keys.text(i)
        if key not in known:
            folder = store.path / "images"
            known[key] = (folder / key).exists() or not folder.exists()  # archives are read below
        missing += not known[key]
        digest = hashlib.blake2b(os.fsencode(key) + coords[i].tobytes() + boxes[i].tobytes(), digest_size=12).digest()
        duplicates += digest in seen
        seen.add(digest)
    report.facts[f"{split}: pictures"] = f"{len(known):,}"
    if missing:
        names = [k for k, exists in known.items() if not exists]
        report.errors.append(f"{split}: {missing:,} examples lack their picture, e.g. {names[0]}")
    if duplicates:
        report.warnings.append(f"{split}: {duplicates:,} examples are there twice")


def _check_rows(report: Report, split: str, rows: list[Example]) -> None:
    coords = np.stack([r.coords for r in rows]).astype(np.float64)
    missing = np.isnan(coords).any(-1)
    for name, rate in zip(report.store.skeleton.joint_names, missing.mean(0), strict=True):
        report.nan_rates[name] = max(rate, report.nan_rates.get(name, 0.0))
    empty = [n for n, never in zip(report.store.skeleton.joint_names, missing.all(0), strict=True) if never]
    if empty:
        report.warnings.append(f"{split}: never labelled: {', '.join(empty)}")
    _check_pictures(report, split, rows)
    _check_boxes(report, split, rows)
    check_rows(report, split, rows, report.store.skeleton, report.store.kind)
    if report.store.kind == "3d":
        _check_symmetry(report, split, coords)
        _check_bones(report, split, rows)


def _check_pictures(report: Report, split: str, rows: list[Example]) -> None:
    broken = []
    for row in rows:
        try:
            size = decode_image(report.store.images.read(row.image_key), row.image_key).shape[1::-1]
            if tuple(size) != tuple(row.image_size_wh):
                broken.append(f"{row.image_key} has {size} pixels, the store says {tuple(row.image_size_wh)}")
        except (OSError, UserError) as error:
            broken.append(str(error))
    if broken:
        report.errors.append(f"{split}: {len(broken):,} of {len(rows):,} pictures are unreadable, e.g. {broken[0]}")


def _check_boxes(report: Report, split: str, rows: list[Example]) -> None:
    sides = np.array([max(r.box_ltwh_px[2:]) for r in rows])
    outside = np.mean([area(within_image(r.box_ltwh_px, r.image_size_wh)) < 0.3 * area(r.box_ltwh_px) for r in rows])
    report.facts[f"{split}: box side, px"] = f"median {np.median(sides):.0f}, 5 % below {np.percentile(sides, 5):.0f}"
    if outside > MAX_BAD_FRACTION:
        report.warnings.append(f"{split}: {outside:.1%} of the boxes lie mostly outside their picture")
    if np.median(sides) < 64:
        report.warnings.append(f"{split}: the median box has only {np.median(sides):.0f} px")


def _check_symmetry(report: Report, split: str, coords: np.ndarray) -> None:
    """Bones on the left are as long as those on the right."""
    skeleton = report.store.skeleton
    names, check = skeleton.joint_names, BoneCheck(skeleton)
    for (a, b), lengths in zip(check.edges, check.lengths(coords).T, strict=True):
        twin = {int(skeleton.mirror[a]), int(skeleton.mirror[b])}
        if side(names[a]) != "l" or twin == {int(a), int(b)}:
            continue
        other = np.array([{int(i), int(j)} == twin for i, j in check.edges])
        if other.any():
            right = check.lengths(coords)[:, np.argmax(other)]
            if not np.isfinite(lengths - right).any():
                continue
            ratio = np.nanmedian(lengths / right)
            if not 0.8 < ratio < 1.25 and np.abs(np.nanmedian(lengths - right)) > SHORT_MM:
                report.warnings.append(
                    f"{split}: {names[a]}-{names[b]} is {ratio:.2f} times as long as its mirror image in the median"
                )


def _check_bones(report: Report, split: str, rows: list[Example]) -> None:
    check = BoneCheck(report.store.skeleton)
    if not check.enabled:
        return
    listed = [Row(split, r.image_key, r.box_ltwh_px, r.camera, r.coords) for r in rows]
    for row in listed:
        check.learn(row)
    faults = np.mean([check.is_fault(r.coords).any() for r in listed])
    report.facts[f"{split}: impossible bones"] = f"{faults:.2%} of the people"
    if faults > 0.05:
        report.errors.append(f"{split}: {faults:.1%} of the people have a bone of impossible length")
    elif faults > MAX_BAD_FRACTION and split == "train":
        report.warnings.append(f"{split}: {faults:.1%} of the people have a bone of impossible length")
