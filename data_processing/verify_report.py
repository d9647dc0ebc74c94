"""The page that `verify` writes for a store, and its pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_processing import masks
from data_processing.cameras import project
from data_processing.images import decode_image
from data_processing.verify import Report
from metrabs_acae import tables
from metrabs_acae.data.images import write_image
from metrabs_acae.data.store import Example, PoseStore
from metrabs_acae.errors import UserError
from metrabs_acae.joint_names import side

TILE = 256
COLORS = {"l": (31, 119, 180), "r": (214, 39, 40), "c": (255, 255, 255)}


def write(report: Report, folder: Path) -> Path:
    """Writes <store>.md and <store>.jpg into `folder`; returns the page."""
    import cv2

    folder.mkdir(parents=True, exist_ok=True)
    name = report.store.path.resolve().name
    tiles = [tile for row in report.shown if (tile := draw(row, report.store)) is not None]
    lines = [f"# {report.store.name}: {'BROKEN' if report.broken else 'fine'}", "", f"{report.store.path}", ""]
    lines += [f"- **Error**: {e}." for e in report.errors] + [f"- Warning: {w}." for w in report.warnings]
    if not report.errors and not report.warnings:
        lines.append("Nothing to complain about.")
    if tiles:
        sheet = _sheet(tiles)
        write_image(folder / f"{name}.jpg", sheet, [cv2.IMWRITE_JPEG_QUALITY, 85])
        lines += ["", f"![examples]({name}.jpg)", "", "Blue: the person's left, red: its right; the box; the mask."]
    facts = [{"fact": k, "": str(v)} for k, v in report.facts.items()]
    lines += ["", tables.render(facts, "markdown")]
    missing = {k: v for k, v in report.nan_rates.items() if v > 0}
    lines += ["", "Missing labels: " + (", ".join(f"{k} {v:.1%}" for k, v in missing.items()) or "none") + "."]
    left_out = report.store.metadata.get("provenance", {}).get("left_out")
    if left_out:
        lines += [
            "",
            "Left out by the conversion: " + ", ".join(f"{n} {reason}" for reason, n in left_out.items()) + ".",
        ]
    page = folder / f"{name}.md"
    page.write_text("\n".join(lines) + "\n")
    return page


def draw(row: Example, store: PoseStore) -> np.ndarray | None:
    """The neighbourhood of a person with joints, edges, box and mask [TILE, TILE, 3]; None without its picture."""
    import cv2

    try:
        image = decode_image(store.images.read(row.image_key), row.image_key)
    except (OSError, UserError):
        return None
    skeleton = store.skeleton
    box = np.asarray(row.box_ltwh_px, np.float64)
    if row.mask is not None:
        contours, _ = cv2.findContours(
            masks.decode(row.mask).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
        )
        cv2.drawContours(image, contours, -1, (255, 200, 0), max(1, int(max(box[2:]) / 200)))
    side_px = max(box[2:]) * 1.3
    scale = TILE / side_px
    origin = box[:2] + box[2:] / 2 - side_px / 2
    matrix = np.array([[scale, 0, -scale * origin[0]], [0, scale, -scale * origin[1]]])
    tile = cv2.warpAffine(image, matrix, (TILE, TILE), flags=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    points = row.coords if row.coords.shape[1] == 2 else project(row.camera, row.coords)
    points = (points - origin) * scale
    known = np.isfinite(points).all(1) & (np.abs(points) < 1e4).all(1)
    pixels = np.where(known[:, None], points, 0).round().astype(int)
    corner = ((box[:2] - origin) * scale).round().astype(int)
    cv2.rectangle(tile, tuple(corner), tuple(corner + (box[2:] * scale).round().astype(int)), (0, 200, 0), 1)
    for a, b in skeleton.edges:
        if known[a] and known[b]:
            sides = {side(skeleton.joint_names[a]), side(skeleton.joint_names[b])} - {"c"}
            cv2.line(tile, tuple(pixels[a]), tuple(pixels[b]), COLORS[min(sides, default="c")], 1, cv2.LINE_AA)
    for name, point, valid in zip(skeleton.joint_names, pixels, known, strict=True):
        if valid:
            cv2.circle(tile, tuple(point), 2, COLORS[side(name)], -1, cv2.LINE_AA)
    return tile


def _sheet(tiles: list[np.ndarray], columns: int = 4) -> np.ndarray:
    rows = -(-len(tiles) // columns)
    sheet = np.full((rows * TILE, columns * TILE, 3), 40, np.uint8)
    for i, tile in enumerate(tiles):
        y, x = divmod(i, columns)
        sheet[y * TILE : (y + 1) * TILE, x * TILE : (x + 1) * TILE] = tile
    return sheet
