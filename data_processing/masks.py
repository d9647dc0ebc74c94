"""Person masks: boolean arrays [H, W], and their run-length encodings (`rlemasklib`)."""

from __future__ import annotations

import numpy as np

from data_processing import boxes


def encode(mask: np.ndarray) -> dict:
    """The run-length encoding that pose stores hold."""
    import rlemasklib

    return rlemasklib.encode(np.ascontiguousarray(mask, np.uint8))


def decode(rle: dict) -> np.ndarray:
    import rlemasklib

    return rlemasklib.decode(rle).astype(bool)


def area(rle: dict) -> int:
    """How many pixels an encoded mask has."""
    import rlemasklib

    return int(rlemasklib.area(rle))


def component_of_box(mask: np.ndarray, box) -> np.ndarray:
    """The 4-connected component of `mask` whose bounding box has the largest IoU with `box`; empty if there is none."""
    import cv2

    n, labels, stats, _ = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8), connectivity=4)
    if n < 2:
        return np.zeros(mask.shape, bool)
    ious = boxes.iou_matrix([box], stats[1:, :4])[0]
    return labels == 1 + int(np.argmax(ious))


def largest_component(mask: np.ndarray) -> np.ndarray:
    """The largest 4-connected component; empty if there is none."""
    import cv2

    n, labels, stats, _ = cv2.connectedComponentsWithStats(np.asarray(mask, np.uint8), connectivity=4)
    if n < 2:
        return np.zeros(mask.shape, bool)
    return labels == 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))


def box_of(mask: np.ndarray) -> np.ndarray | None:
    """The bounding box of a mask; None where it is empty."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    return np.array([columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1], np.float64)


def from_polygons(segmentation, image_size_wh) -> dict:
    """Run-length encoding of COCO's `segmentation`: polygons, or run lengths (compressed or not)."""
    import rlemasklib

    width, height = (int(v) for v in image_size_wh)
    if isinstance(segmentation, dict):
        counts = segmentation["counts"]
        if isinstance(counts, list):
            runs = np.asarray(counts, np.int64)
            if runs.sum() != width * height or (runs < 0).any():
                raise ValueError("the run lengths do not add up to the image's size")
            flat = np.repeat(np.arange(len(runs)) % 2, runs).astype(np.uint8)
            return encode(flat.reshape(width, height).T)
        counts = counts.encode() if isinstance(counts, str) else bytes(counts)
        return {"size": [height, width], "counts": counts}
    parts = []
    for polygon in segmentation:
        if len(polygon) >= 6:
            parts.append(rlemasklib.from_polygon(np.asarray(polygon, np.float64), imsize=[width, height]))
    return rlemasklib.union(parts) if parts else rlemasklib.empty([height, width])
