"""Poses drawn with OpenCV: over the image, and in 3D from the front, the side and above. Works without a display."""

from __future__ import annotations

import colorsys
from collections.abc import Sequence

import cv2
import numpy as np

SUBPIXEL_BITS = 4
N_COLORS = 24
TRUTH_COLOR = (235, 235, 235)
BACKGROUND = (250, 250, 250)
INK = (60, 60, 60)
_VIEWS = {"front": (0, 1), "side": (2, 1), "above": (0, 2)}


def pose_colors(n_poses: int) -> list[tuple[int, int, int]]:
    """Distinct RGB colours, the same for the same number of poses."""
    hues = [(0.08 + i * 0.381966) % 1 for i in range(n_poses)]
    return [tuple(round(255 * c) for c in colorsys.hsv_to_rgb(h, 0.85, 1.0)) for h in hues]


def number_color(number: int) -> tuple[int, int, int]:
    """The colour of a person's number; the first ones are those of `pose_colors`."""
    return pose_colors(N_COLORS)[number % N_COLORS]


def draw_pose_2d(
    image, coords2d, edges, *, color=(255, 128, 0), thickness: int | None = None, joints: bool = True, copy: bool = True
):
    """A copy of `image` [H, W, 3] uint8 RGB with one pose [J, 2] px (NaN = absent) drawn over it.

    Joints that no edge touches are drawn as dots. thickness: of the bones, px; by default 1/250 of the image. Without
    `copy` the image itself, in C order, is drawn upon.
    """
    image = np.ascontiguousarray(image).copy() if copy else image
    if thickness is None:
        thickness = max(1, round(max(image.shape[:2]) / 250))
    points = np.asarray(coords2d, np.float64)
    # OpenCV's fixed-point coordinates overflow far outside the image.
    drawable = np.isfinite(points).all(-1) & (np.abs(points) < 1e5).all(-1)
    fixed = np.round(np.where(drawable[:, None], points, 0) * 2**SUBPIXEL_BITS).astype(int)
    for a, b in edges:
        if drawable[a] and drawable[b]:
            cv2.line(image, fixed[a].tolist(), fixed[b].tolist(), color, thickness, cv2.LINE_AA, SUBPIXEL_BITS)
    if joints:
        radius = max(1, round(thickness * 0.9)) * 2**SUBPIXEL_BITS
        for i in np.flatnonzero(drawable):
            cv2.circle(image, fixed[i].tolist(), radius, color, -1, cv2.LINE_AA, SUBPIXEL_BITS)
    return image


def draw_boxes(image, boxes_ltwh, *, colors=None, labels=None):
    """A copy of `image` with rectangles [P, 4 or 5]; at their tops the labels or else the fifth number, a score."""
    image = np.ascontiguousarray(image).copy()
    thickness = max(1, round(max(image.shape[:2]) / 500))
    font_scale, pen = max(0.45, max(image.shape[:2]) / 2000), max(1, thickness // 2)
    labels = labels or [f"{b[4]:.2f}" if len(b) > 4 else "" for b in boxes_ltwh]
    for box, color, label in zip(boxes_ltwh, colors or pose_colors(len(boxes_ltwh)), labels, strict=True):
        x, y, w, h = (round(v) for v in np.clip(box[:4], -1e5, 1e5).tolist())
        cv2.rectangle(image, (x, y), (x + w, y + h), color, thickness, cv2.LINE_AA)
        inside = (max(x, 2), max(y - 4, round(25 * font_scale)))
        cv2.putText(image, label, inside, cv2.FONT_HERSHEY_SIMPLEX, font_scale, color, pen, cv2.LINE_AA)
    return image


def draw_view(poses3d, edges, *, size: int, view: str = "front", colors=None, title: str = ""):
    """Poses [P, J, 3] mm (x right, y down, z forward) by parallel projection onto a square of `size` px.

    view: "front" (x, y), "side" (z, y: the camera is on the left) or "above" (x, z: the camera is below).
    """
    horizontal, vertical = _VIEWS[view]
    canvas = np.full((size, size, 3), BACKGROUND, np.uint8)
    poses = np.asarray(poses3d, np.float64)
    points = poses[..., [horizontal, vertical]]
    if view == "above":
        points = points * [1, -1]
    finite = points[np.isfinite(points).all(-1)]
    if len(finite):
        low, high = finite.min(0), finite.max(0)
        extent = max(float((high - low).max()), 500.0) * 1.15
        points = (points - (low + high) / 2) * (size / extent) + size / 2
        _draw_grid(canvas, extent, size)
        thickness = max(1, size // 180)
        for pose, color in zip(points, colors or pose_colors(len(points)), strict=True):
            darker = tuple(int(c * 0.75) for c in color)
            canvas = draw_pose_2d(canvas, pose, edges, color=darker, thickness=thickness)
    cv2.putText(canvas, title or view, (8, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, INK, 1, cv2.LINE_AA)
    return canvas


def _draw_grid(canvas, extent_mm: float, size: int) -> None:
    """Lines at a round distance in mm, with a scale bar."""
    cell = next(c for c in (250, 500, 1000, 2500, 5000, 10000, 50000, 250000, np.inf) if extent_mm / c <= 8)
    if not np.isfinite(cell):
        return
    step = cell * size / extent_mm
    for i in range(int(size / step) + 1):
        p = round(size / 2 + (i - int(size / step) // 2) * step)
        cv2.line(canvas, (p, 0), (p, size), (225, 225, 225), 1)
        cv2.line(canvas, (0, p), (size, p), (225, 225, 225), 1)
    cv2.line(canvas, (8, size - 10), (8 + round(step), size - 10), INK, 2)
    text = f"{cell / 1000:g} m"
    cv2.putText(canvas, text, (8, size - 16), cv2.FONT_HERSHEY_SIMPLEX, 0.4, INK, 1, cv2.LINE_AA)


def figure_pose_views(image, coords2d, coords3d, edges, *, boxes=None, height: int = 720):
    """The image with its poses drawn over it, and the poses from the front, the side and above.

    Args:
        image: [H, W, 3] uint8 RGB. coords2d: [P, J, 2] px. coords3d: [P, J, 3] mm. boxes: [P, 4 or 5] or None.
        height: of the figure, px.

    Returns:
        [height, *, 3] uint8 RGB.
    """
    coords2d, coords3d = np.asarray(coords2d), np.asarray(coords3d)
    colors = pose_colors(len(coords2d))
    drawn = image if boxes is None else draw_boxes(image, boxes, colors=colors)
    for pose, color in zip(coords2d, colors, strict=True):
        drawn = draw_pose_2d(drawn, pose, edges, color=color)
    scale = height / image.shape[0]
    width = int(np.clip(round(image.shape[1] * scale), 1, 4 * height))
    photo = cv2.resize(drawn, (width, height), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    half = height // 2
    front, side, above = (
        draw_view(coords3d, edges, size=s, view=v, colors=colors)
        for v, s in (("front", height), ("side", half), ("above", height - half))
    )
    column = np.full((height, max(half, height - half), 3), BACKGROUND, np.uint8)
    column[:half, :half] = side
    column[half:, : height - half] = above
    return np.concatenate([photo, front, column], axis=1)


def overlay_sheet(images, coords2d, edges, coords3d=None, truth2d=None, *, columns: int = 4) -> np.ndarray:
    """A contact sheet of crops [N, S, S, 3] uint8 RGB with predictions [N, J, 2] px.

    Beside each crop stands the prediction [N, J, 3] from the side, if given. truth2d [N, J, 2] is drawn in grey.
    """
    images = np.asarray(images)
    if not len(images):
        return np.full((64, 64, 3), BACKGROUND, np.uint8)
    tiles = []
    for i, image in enumerate(images):
        if truth2d is not None:
            image = draw_pose_2d(image, truth2d[i], edges, color=TRUTH_COLOR, joints=False)
        tile = draw_pose_2d(image, coords2d[i], edges)
        if coords3d is not None:
            view = draw_view(coords3d[i : i + 1], edges, size=image.shape[0], view="side", colors=[(255, 128, 0)])
            tile = np.concatenate([tile, view], axis=1)
        tiles.append(tile)
    return tile_images(tiles, columns=columns)


def tile_images(tiles: Sequence[np.ndarray], *, columns: int) -> np.ndarray:
    """Equal pictures in rows of `columns`; missing ones of the last row are left blank."""
    columns = min(columns, len(tiles))
    blank = np.full_like(tiles[0], 255)
    tiles = [*tiles, *[blank] * (-len(tiles) % columns)]
    rows = [np.concatenate(tiles[i : i + columns], axis=1) for i in range(0, len(tiles), columns)]
    return np.concatenate(rows, axis=0)
