"""Person boxes [left, top, width, height] in pixels, and which detection belongs to which labelled person."""

from __future__ import annotations

import numpy as np


def box_of_points(points_px, factor: float = 1.0) -> np.ndarray | None:
    """The box around the finite points [N, 2], enlarged about its centre; None without a finite point."""
    points = np.asarray(points_px, np.float64)
    points = points[np.isfinite(points).all(-1)]
    if not len(points):
        return None
    low, high = points.min(0), points.max(0)
    return expand(np.concatenate([low, high - low]), factor)


def expand(box, factor: float) -> np.ndarray:
    """The box enlarged about its centre."""
    box = np.asarray(box, np.float64)
    return np.concatenate([box[:2] + box[2:] * (1 - factor) / 2, box[2:] * factor])


def intersection(a, b) -> np.ndarray:
    """The common part of two boxes; zero width or height where there is none."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low = np.maximum(a[:2], b[:2])
    return np.concatenate([low, np.maximum(0, np.minimum(a[:2] + a[2:], b[:2] + b[2:]) - low)])


def within_image(box, image_size_wh) -> np.ndarray:
    """The part of a box that lies in the image, whose first pixel's centre is (0, 0)."""
    return intersection(box, [-0.5, -0.5, *image_size_wh])


def hull(a, b) -> np.ndarray:
    """The smallest box that holds both."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    low = np.minimum(a[:2], b[:2])
    return np.concatenate([low, np.maximum(a[:2] + a[2:], b[:2] + b[2:]) - low])


def area(box) -> float:
    return float(max(0, box[2]) * max(0, box[3]))


def iou(a, b) -> float:
    """Intersection over union; 0 for empty boxes."""
    common = area(intersection(a, b))
    union = area(a) + area(b) - common
    return common / union if union > 0 else 0.0


def iou_matrix(a, b) -> np.ndarray:
    """[N, M] intersection over union of boxes [N, 4] and [M, 4]."""
    a, b = np.asarray(a, np.float64).reshape(-1, 1, 4), np.asarray(b, np.float64).reshape(1, -1, 4)
    low = np.maximum(a[..., :2], b[..., :2])
    common = np.maximum(0, np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - low).prod(-1)
    union = np.maximum(a[..., 2:], 0).prod(-1) + np.maximum(b[..., 2:], 0).prod(-1) - common
    return np.divide(common, union, out=np.zeros_like(common), where=union > 0)


def match(label_boxes, detections, *, min_iou: float, max_area_ratio: float = np.inf) -> list[int | None]:
    """For each labelled person the index of its detection, or None.

    One to one, with the largest sum of IoU (Hungarian method); pairs with an IoU of `min_iou` or less, or a detection
    larger than `max_area_ratio` times the labelled box, are dropped.
    """
    from scipy.optimize import linear_sum_assignment

    detections = _table(detections)
    matched: list[int | None] = [None] * len(label_boxes)
    if not len(label_boxes) or not len(detections):
        return matched
    ious = iou_matrix(label_boxes, detections[:, :4])
    for i, j in zip(*linear_sum_assignment(-ious), strict=True):
        if ious[i, j] > min_iou and area(detections[j]) < max_area_ratio * area(label_boxes[i]):
            matched[i] = int(j)
    return matched


def best_detection(label_box, detections, *, min_iou: float = 0.0) -> np.ndarray | None:
    """The detected box [4] with the largest IoU, if that reaches `min_iou`."""
    detections = _table(detections)
    if not len(detections):
        return None
    ious = iou_matrix([label_box], detections[:, :4])[0]
    best = int(np.argmax(ious))
    return detections[best, :4] if ious[best] >= min_iou and ious[best] > 0 else None


def detection_or_label(label_box, detections, *, min_iou: float = 0.0) -> np.ndarray | None:
    """The detection that overlaps most with the labelled box; that box itself where nothing was detected.

    None where even the best detection has an IoU below `min_iou`: then labels and picture do not agree.
    """
    if not len(_table(detections)):
        return np.asarray(label_box, np.float64)
    best = best_detection(label_box, detections, min_iou=min_iou)
    return np.asarray(label_box, np.float64) if best is None and min_iou <= 0 else best


def hull_with_detection(label_box, detections, *, min_iou: float = 0.5, by: str = "iou") -> np.ndarray:
    """The hull of the labelled box and its detection, if that is similar enough to the labelled box; else the latter.

    Args:
        by: "iou" takes the detection that overlaps most, "score" the one with the best score (column 4).
    """
    detections = _table(detections)
    if not len(detections):
        return np.asarray(label_box, np.float64)
    best = np.argmax(detections[:, 4] if by == "score" else iou_matrix([label_box], detections[:, :4])[0])
    both = hull(label_box, detections[best, :4])
    return both if iou(both, label_box) > min_iou else np.asarray(label_box, np.float64)


def _table(detections) -> np.ndarray:
    """Detections as an array [N, 4 or more], also where there are none."""
    detections = np.asarray(detections, np.float64)
    return detections if detections.size else np.zeros((0, 5))
