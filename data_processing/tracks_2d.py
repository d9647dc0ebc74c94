"""Datasets of people with 2D joints who are followed over the frames of videos."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from data_processing import boxes
from data_processing.converter import Converter
from data_processing.images import read_image
from data_processing.rows import Row
from data_processing.sampling import MotionSampler
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

MIN_IOU = 0.1


@dataclass(frozen=True)
class TrackedPerson:
    """A labelled person in a frame.

    Attributes:
        coords: [J, 2] px, NaN = not labelled. box: left, top, width, height, px.
        track: number of the person in the video.
        threshold_px: a joint has to move so far for the person to be kept again.
    """

    coords: np.ndarray
    box: np.ndarray
    track: int
    threshold_px: float


@dataclass(frozen=True)
class Picture:
    """A frame: its key in the store, its file (None: missing), its camera if known, and its people."""

    name: str
    path: Path | None
    people: list[TrackedPerson]
    camera: CameraParams | None = None


class Tracks2DConverter(Converter):
    def add_pictures(self, output, pictures: Iterable[Picture], *, split: str, sequence: str) -> None:
        """Keeps, of pictures in order of time, the people who have moved since they were kept last.

        The box is the detection matched to the labelled one, or the labelled one without a detector. Pictures are
        stored as they are.
        """
        samplers: dict[int, MotionSampler] = {}

        def moved(person: TrackedPerson) -> bool:
            sampler = samplers.setdefault(person.track, MotionSampler(0, check_validity=True))
            sampler.threshold = person.threshold_px
            return sampler.keep(person.coords)

        for picture in pictures:
            if picture.path is None or not picture.path.is_file():
                output.skip("image missing")
                continue
            try:
                found = self._boxes(picture)
                kept = [(p, b) for p, b in zip(picture.people, found, strict=True) if b is not None and moved(p)]
                if kept:
                    output.copy_image(picture.name, picture.path)
            except UserError:
                output.skip("image broken")
                continue
            for _ in range(sum(b is None for b in found)):
                output.skip("no detection")
            number = Path(picture.name).stem
            frame = int(number) if number.isdecimal() else 0
            for person, box in kept:
                row = {"sequence": sequence, "frame": frame, "person": person.track}
                output.add(Row(split, picture.name, box, picture.camera, person.coords, **row))

    def _boxes(self, picture: Picture) -> list[np.ndarray | None]:
        labelled = [person.box for person in picture.people]
        if self.options.detector == "none":
            return labelled
        detections = self.detect(read_image(picture.path), picture.path)
        return [None if j is None else detections[j, :4] for j in boxes.match(labelled, detections, min_iou=MIN_IOU)]
