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

from data_processing.converter import Unit
from data_processing.tracks_2d import Picture, TrackedPerson, Tracks2DConverter
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json

N_JOINTS = 17
KEYPOINT_NAMES = (
    *("nose", "head_bottom", "head_top"),
    *(f"{s}_{p}" for p in "ear shoulder elbow wrist hip knee ankle".split() for s in ("left", "right")),
)
SPLITS = {"train": "train", "val": "valid"}
MOVED_PER_HEAD = 0.5


class PoseTrack(Tracks2DConverter):
    def units(self) -> list[Unit]:
        units = []
        for path in self.find(*(f"{top}annotations/{part}/*.json" for top in ("", "*/") for part in SPLITS)):
            split = SPLITS[path.parent.name]
            if self.wants(split):
                units.append(Unit(f"{split}/{path.stem}", (split, path.relative_to(self.raw).as_posix())))
        return units

    def convert(self, unit: Unit, output) -> None:
        split, relative = unit.args
        pictures = [Picture(name, self._image_path(name), people) for name, people in read_people(self.raw / relative)]
        self.add_pictures(output, pictures, split=split, sequence=unit.name)

    def _image_path(self, name: str) -> Path | None:
        folders = (self.raw, self.raw / "posetrack_data")
        return next((p for f in folders if (p := f / name).is_file()), None)


def read_people(path) -> list[tuple[str, list[TrackedPerson]]]:
    """(picture, its people) in the order of the pictures' numbers."""
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
            head = np.array(annotation.get("bbox_head", np.zeros(4)), np.float64).reshape(4)
            person = TrackedPerson(
                coords=np.where(table[:, 2:] == 1, table[:, :2], np.nan),
                box=np.array(annotation["bbox"], np.float64).reshape(4),
                track=int(annotation["track_id"]),
                threshold_px=MOVED_PER_HEAD * float(np.hypot(*head[2:])),
            )
            pictures[annotation["image_id"]][1].append(person)
        return [(str(pictures[i][0]), pictures[i][1]) for i in sorted(pictures) if pictures[i][1]]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"{path} is not an annotation file of PoseTrack 2018 ({error!r}); fetch it again.") from None
