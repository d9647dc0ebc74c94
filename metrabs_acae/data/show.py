"""What training sees: a contact sheet of augmented crops with their joints, and figures per dataset."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from metrabs_acae import tables
from metrabs_acae.data.augmentation.augmentations import Augmentations
from metrabs_acae.data.augmentation.base import Augmentation
from metrabs_acae.data.images import write_image
from metrabs_acae.data.loading import BatchLoader
from metrabs_acae.data.mixture import Mixture
from metrabs_acae.errors import UserError

LEFT, RIGHT, CENTER = (80, 160, 255), (255, 120, 80), (250, 250, 120)
"""Colours (RGB) of the person's left and right joints and of central ones."""


def show_batches(
    mixture: Mixture,
    n: int,
    out_png,
    *,
    image_size: int = 256,
    augmentations: Sequence[Augmentation] = Augmentations().in_order(),  # noqa: B008 (frozen)
    workers: int | None = None,
    max_bad_fraction: float = 1.0,
) -> str:
    """Writes a contact sheet, one row per dataset, of the crops of the first `n` batches, and returns a table.

    Every crop carries its labelled joints, projected by its intrinsics: left blue, right orange, central yellow.
    The table says per dataset what share of joints is labelled and lies inside the crop, the distance and the extent
    of the people, and the crops' mean brightness.
    """
    if n < 1:
        raise UserError(f"The number of batches to show must be at least 1, not {n}.")
    if Path(out_png).suffix.lower() not in (".png", ".jpg"):
        raise UserError(f"The contact sheet {out_png} must be a .png or .jpg file.")
    loader = BatchLoader(
        mixture,
        image_size=image_size,
        augmentations=augmentations,
        workers=workers,
        max_bad_fraction=max_bad_fraction,
        n_ahead=1,
    )
    batches = loader.batches()
    shown = [next(batches) for _ in range(n)]
    batches.close()
    rows, statistics = [], []
    slots = mixture.plan(0).entry
    for number, entry in enumerate(mixture.entries):
        examples = [_example(mixture, b, slot) for b in shown for slot in np.flatnonzero(slots == number)]
        edges = _edges(mixture, number)
        names = mixture.skeleton.joint_names if entry.store.kind == "3d" else mixture.joint_names_2d
        pictures = [_draw(image, px, valid, edges, names) for image, px, valid, _ in examples]
        rows.append((entry.store.name, pictures))
        n_joints = mixture.joint_indices[number].shape[-1]
        statistics.append({"dataset": entry.store.name, **_statistics(examples, n_joints, image_size)})
    sheet = _sheet(rows, image_size)
    write_image(out_png, sheet)
    table = tables.render(statistics, digits=2)
    health = loader.health
    return table + (f"\n{health.n_bad} broken examples: " + "; ".join(health.reasons) if health.n_bad else "")


def _example(mixture: Mixture, batch: dict, slot: int):
    """Image, joints in crop pixels, which are labelled, and 3D joints (None for 2D examples)."""
    image = batch["image"][slot]
    if slot >= mixture.batch_size_3d:
        slot -= mixture.batch_size_3d
        return image, batch["coords2d_px"][slot], batch["valid2d"][slot], None
    coords = batch["coords3d_mm"][slot]
    projected = coords @ batch["intrinsics"][slot].T
    valid = batch["valid3d"][slot]
    return image, projected[:, :2] / np.maximum(projected[:, 2:], 1), valid, coords


def _edges(mixture: Mixture, number: int) -> list[tuple[int, int]]:
    skeleton = mixture.entries[number].store.skeleton
    joints = mixture.joint_indices[number]
    if mixture.entries[number].store.kind == "3d":
        return [(int(joints[a]), int(joints[b])) for a, b in skeleton.edges]
    position = {int(own): int(common) for common, own in joints.T}
    return [(position[a], position[b]) for a, b in skeleton.edges if a in position and b in position]


def _draw(image: np.ndarray, joints_px: np.ndarray, valid: np.ndarray, edges, names) -> np.ndarray:
    picture = image.copy()
    points = np.clip(np.rint(joints_px), -9999, 9999).astype(int)
    for a, b in edges:
        if valid[a] and valid[b]:
            cv2.line(picture, points[a].tolist(), points[b].tolist(), (220, 220, 220), 1, cv2.LINE_AA)
    for i in np.flatnonzero(valid):
        color = {"l": LEFT, "r": RIGHT}.get(names[i][0], CENTER)
        cv2.circle(picture, points[i].tolist(), 2, color, -1, cv2.LINE_AA)
    return picture


def _statistics(examples, n_joints: int, image_size: int) -> dict:
    valid = np.stack([v for _, _, v, _ in examples])
    pixels = np.stack([p for _, p, _, _ in examples])
    inside = ((pixels > -0.5) & (pixels < image_size - 0.5)).all(axis=-1)
    people = [coords[v] for _, _, v, coords in examples if coords is not None]
    return {
        "crops": len(examples),
        "labelled %": round(100 * valid.sum() / (len(examples) * n_joints)),
        "in crop %": round(100 * (inside & valid).sum() / max(1, valid.sum())),
        "distance m": np.mean([p[:, 2].mean() for p in people]) / 1000 if people else None,
        "extent mm": round(np.mean([np.ptp(p, axis=0).max() for p in people])) if people else None,
        "brightness": np.mean([image.mean() for image, _, _, _ in examples]) / 255,
    }


def _sheet(rows: list[tuple[str, list[np.ndarray]]], image_size: int, max_columns: int = 16) -> np.ndarray:
    columns = min(max_columns, max(len(pictures) for _, pictures in rows))
    title_height = 20
    sheet = np.full((len(rows) * (image_size + title_height), columns * image_size, 3), 24, np.uint8)
    for i, (name, pictures) in enumerate(rows):
        top = i * (image_size + title_height)
        cv2.putText(sheet, name, (4, top + 15), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
        for k, picture in enumerate(pictures[:columns]):
            row = slice(top + title_height, top + title_height + image_size)
            sheet[row, k * image_size : (k + 1) * image_size] = picture
    return sheet
