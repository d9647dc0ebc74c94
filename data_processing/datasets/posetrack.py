"""PoseTrack 2018: people in video frames, 17 joints, followed over time.

The annotations of train and val become those splits. A person is kept when a joint has moved by half the diagonal of
the head's box, or has appeared, since the person was kept last. The box is the detection matched to the labelled one
with an IoU of at least 0.1, or the labelled one without a detector. Frames are stored as they are.

Of the raw files: COCO's format with `track_id` and `bbox_head`; a joint is labelled where its third number is 1;
`file_name` is relative to the folder that holds `images`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.converter import Converter, Unit
from data_processing.images import read_image
from data_processing.json_files import read_json
from data_processing.rows import Row
from data_processing.sampling import MotionSampler
from metrabs_acae.errors import UserError

N_JOINTS = 17
KEYPOINT_NAMES = (
    *("nose", "head_bottom", "head_top"),
    *(f"{s}_{p}" for p in "ear shoulder elbow wrist hip knee ankle".split() for s in ("left", "right")),
)
SPLITS = {"train": "train", "val": "valid"}
MOVED_PER_HEAD = 0.5


class PoseTrack(Converter):
    def units(self) -> list[Unit]:
        units = []
        for path in self.find(*(f"{top}annotations/{part}/*.json" for top in ("", "*/") for part in SPLITS)):
            split = SPLITS[path.parent.name]
            if self.wants(split):
                units.append(Unit(f"{split}/{path.stem}", (split, path.relative_to(self.raw).as_posix())))
        return units

    def convert(self, unit: Unit, output) -> None:
        split, relative = unit.args
        samplers: dict[int, MotionSampler] = {}
        for name, people in read_people(self.raw / relative):
            path = self._image_path(name)
            if path is None:
                output.skip("image missing")
                continue
            try:
                found = self._boxes(path, [p["bbox"] for p in people])
                kept = [(p, b) for p, b in zip(people, found, strict=True) if b is not None and moved(p, samplers)]
                if kept:
                    output.copy_image(name, path)
            except UserError:
                output.skip("image broken")
                continue
            for _ in range(sum(b is None for b in found)):
                output.skip("no detection")
            for person, box in kept:
                frame = Path(name).stem
                output.add(
                    Row(
                        *(split, name, box, None, person["coords"]),
                        sequence=unit.name,
                        frame=int(frame) if frame.isdecimal() else 0,
                        person=person["track"],
                    )
                )

    def _boxes(self, path, labelled: list[np.ndarray]) -> list[np.ndarray | None]:
        if self.options.detector == "none":
            return labelled
        detections = self.detect(read_image(path), path)
        return [None if j is None else detections[j, :4] for j in boxes.match(labelled, detections, min_iou=0.1)]

    def _image_path(self, name: str) -> Path | None:
        folders = (self.raw, self.raw / "posetrack_data")
        return next((p for f in folders if (p := f / name).is_file()), None)


def moved(person: dict, samplers: dict[int, MotionSampler]) -> bool:
    """Whether a person has moved enough since the frame kept last; remembers the pose if so."""
    sampler = samplers.setdefault(person["track"], MotionSampler(0, check_validity=True))
    sampler.threshold = MOVED_PER_HEAD * float(np.hypot(*person["head"][2:]))
    return sampler.keep(person["coords"])


def read_people(path) -> list[tuple[str, list[dict]]]:
    """(picture, its people) in the order of the pictures' numbers.

    A person has `coords` [17, 2] px (NaN = not labelled), `bbox`, `head` (box; zeros where not given) and `track`.
    """
    data = read_json(path)
    try:
        names = [c["keypoints"] for c in data.get("categories", []) if c.get("name") == "person"]
        if names and list(names[0]) != list(KEYPOINT_NAMES):
            raise ValueError("other keypoints than PoseTrack 2018's 17")
        pictures = {image["id"]: (image["file_name"], []) for image in data["images"]}
        for annotation in data["annotations"]:
            if "bbox" not in annotation or "keypoints" not in annotation:
                continue
            table = np.array(annotation["keypoints"], np.float64).reshape(N_JOINTS, 3)
            pictures[annotation["image_id"]][1].append(
                {
                    "coords": np.where(table[:, 2:] == 1, table[:, :2], np.nan),
                    "bbox": np.array(annotation["bbox"], np.float64).reshape(4),
                    "head": np.array(annotation.get("bbox_head", np.zeros(4)), np.float64).reshape(4),
                    "track": int(annotation["track_id"]),
                }
            )
        return [(str(pictures[i][0]), pictures[i][1]) for i in sorted(pictures) if pictures[i][1]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not an annotation file of PoseTrack 2018 ({error!r}); fetch it again.") from None
