"""Checks a pose store: are the pictures there, the units right, left and right where they belong, the cameras sane?"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np

from data_processing.boxes import area, within_image
from data_processing.cameras import is_inside, project, to_camera
from data_processing.images import decode_image
from data_processing.plausibility import BoneCheck, joints_in_box
from data_processing.rows import Row
from data_processing.sides import forwardness
from metrabs_acae.data.store import Example, PoseStore
from metrabs_acae.errors import UserError

ROWS = 2000
MIN_HEIGHT_MM, MAX_HEIGHT_MM = 500.0, 2600.0
"""Plausible median extent of a labelled person; metres or centimetres taken for millimetres are far outside."""
MAX_BAD_FRACTION = 0.01
SHORT_MM = 30.0
"""Differences of bones below this are annotation noise."""


@dataclass
class Report:
    """What the checks found; `errors` make a store broken, `warnings` ask for a look."""

    store: PoseStore
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: dict[str, str] = field(default_factory=dict)
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
    report = Report(store)
    report.facts["examples"] = ", ".join(f"{split} {n:,}" for split, n in store.splits.items())
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
        digest = hashlib.blake2b(key.encode() + coords[i].tobytes() + boxes[i].tobytes(), digest_size=12).digest()
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
    if report.store.kind == "3d":
        _check_cameras(report, split, rows)
        _check_projection(report, split, rows)
        _check_size(report, split, coords)
        _check_sides(report, split, coords, rows)
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
    masked = np.mean([r.mask is not None for r in rows])
    report.facts[f"{split}: box side, px"] = f"median {np.median(sides):.0f}, 5 % below {np.percentile(sides, 5):.0f}"
    report.facts[f"{split}: with mask"] = f"{masked:.0%}"
    if outside > MAX_BAD_FRACTION:
        report.warnings.append(f"{split}: {outside:.1%} of the boxes lie mostly outside their picture")
    if np.median(sides) < 64:
        report.warnings.append(f"{split}: the median box has only {np.median(sides):.0f} px")


def _check_cameras(report: Report, split: str, rows: list[Example]) -> None:
    field_of_view, tilts, distances = [], [], []
    for row in rows:
        camera = row.camera
        field_of_view.append(np.degrees(2 * np.arctan(row.image_size_wh[0] / 2 / camera.K[0, 0])))
        up = -camera.R[1] @ (camera.world_up / np.linalg.norm(camera.world_up))
        tilts.append(np.degrees(np.arccos(np.clip(up, -1, 1))))
        distances.append(np.nanmean(to_camera(camera, row.coords)[:, 2]))
    tilts, distances = np.array(tilts), np.array(distances)
    report.facts[f"{split}: field of view"] = f"median {np.median(field_of_view):.0f} degrees"
    report.facts[f"{split}: distance"] = f"{np.percentile(distances, 5):.0f} to {np.percentile(distances, 95):.0f} mm"
    if (distances <= 0).mean() > MAX_BAD_FRACTION:
        report.errors.append(f"{split}: {(distances <= 0).mean():.1%} of the people stand behind their camera")
    if np.median(tilts) > 90:
        report.errors.append(f"{split}: most cameras stand on their head: is world_up right?")
    elif (tilts > 60).mean() > 0.2:
        report.warnings.append(f"{split}: {(tilts > 60).mean():.0%} of the cameras are tilted by more than 60 degrees")
    if not 0.5 < np.median(field_of_view) < 170:
        report.errors.append(f"{split}: the median field of view is {np.median(field_of_view):.1f} degrees")


def _check_projection(report: Report, split: str, rows: list[Example]) -> None:
    inside, boxed = [], []
    for row in rows:
        points = project(row.camera, row.coords)
        n_labelled = max(1, np.isfinite(row.coords).all(-1).sum())
        inside.append(is_inside(points, row.image_size_wh).sum() / n_labelled)
        boxed.append(joints_in_box(points, _widened(row.box_ltwh_px)) / n_labelled)
    report.facts[f"{split}: joints in the picture"] = f"{np.mean(inside):.1%}"
    report.facts[f"{split}: joints in the box (+10 %)"] = f"{np.mean(boxed):.1%}"
    if np.mean(boxed) < 0.5:
        report.errors.append(f"{split}: only {np.mean(boxed):.0%} of the joints project into their person's box")
    elif np.mean(np.array(boxed) < 0.5) > 0.05:
        report.warnings.append(f"{split}: {np.mean(np.array(boxed) < 0.5):.1%} of the people lie mostly off their box")


def _widened(box) -> np.ndarray:
    box = np.asarray(box, np.float64)
    return np.concatenate([box[:2] - 0.1 * box[2:], 1.2 * box[2:]])


def _check_size(report: Report, split: str, coords: np.ndarray) -> None:
    with np.errstate(invalid="ignore"):
        extent = np.linalg.norm(np.nanmax(coords, 1) - np.nanmin(coords, 1), axis=-1)
    median = float(np.nanmedian(extent))
    report.facts[f"{split}: extent of a person"] = f"median {median:.0f} mm"
    if not MIN_HEIGHT_MM < median < MAX_HEIGHT_MM:
        guess = next(
            (f" They look like {u}." for u, f in (("metres", 1000), ("centimetres", 10)) if _is_size(median * f)), ""
        )
        report.errors.append(f"{split}: people have a median extent of {median:.3g} mm: wrong units?{guess}")


def _is_size(extent_mm: float) -> bool:
    return MIN_HEIGHT_MM < extent_mm < MAX_HEIGHT_MM


def _check_sides(report: Report, split: str, coords: np.ndarray, rows: list[Example]) -> None:
    """Left and right: with the left hip on the person's left, nose and toes point forward; bones are symmetric."""
    forward = forwardness(coords, report.store.skeleton.joint_names)
    if forward is not None:
        report.facts[f"{split}: faces where its sides say"] = f"{forward:.0%}"
        if forward < 0.5:
            report.errors.append(
                f"{split}: {1 - forward:.0%} of the people walk backwards by their labels: left and right are swapped, "
                "or the world is mirrored"
            )
        elif forward < 0.8:
            report.warnings.append(f"{split}: {1 - forward:.0%} of the people walk backwards by their labels")
    names = report.store.skeleton.joint_names
    check = BoneCheck(report.store.skeleton)
    for (a, b), lengths in zip(check.edges, check.lengths(coords).T, strict=True):
        twin = {int(report.store.skeleton.mirror[a]), int(report.store.skeleton.mirror[b])}
        if names[a][0] != "l" or twin == {int(a), int(b)}:
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
