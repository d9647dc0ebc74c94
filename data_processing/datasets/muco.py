"""MuCo-3DHP: composites of four people each, cut out of MPI-INF-3DHP.

They are made by `muco-compose` or by the authors' MATLAB scripts. Needs the composites, composites.npz or
sampled_dataset_info.mat, and the annotations, calibrations and extracted mask pictures of MPI-INF-3DHP. The first
200,000 composites are used. A person's box is that of the joints, cut to the vertical extent of what nearer people and
chairs leave visible; with a detector, the detection that matches it. Who is nearer follows from the pelvis of
`univ_annot3`, as in the composition.

The composition list counts frames from 0, as the labels do. Pictures that were taken out of the videos by ffmpeg
without `-start_number 0` are numbered from 1: the one of a number shows the frame before it, and so do the composites
made of them. The number of the first mask picture tells; labels are then taken from the frame before as well.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np

from data_processing import boxes, masks
from data_processing.cameras import project_camera_frame, to_world
from data_processing.converter import Converter, Unit
from data_processing.datasets.mpi_inf_3dhp import check_labels, read_labels
from data_processing.datasets.skeletool import read_cameras
from data_processing.file_cache import file_cache
from data_processing.images import read_image
from data_processing.matlab import open_mat73
from data_processing.plain_files import read_arrays
from metrabs_acae.errors import UserError
from metrabs_acae.skeletons import get_skeleton

MAX_COMPOSITES = 200_000
PER_UNIT = 500
N_PEOPLE = 4
IMAGE_FOLDER = "unaugmented_set_001"
PELVIS = 4
PERSON_THRESHOLD, CHAIR_THRESHOLD = 100, 32
MIN_SCORE = 0.1
N_PROBED = 1000


class MuCo(Converter):
    def units(self) -> list[Unit]:
        own = self.raw / "composites.npz"
        origins = read_origins(own if own.exists() else self.require("sampled_dataset_info.mat"))[:MAX_COMPOSITES]
        self.require(IMAGE_FOLDER)
        probed = range(1, len(origins) + 1, max(1, len(origins) // N_PROBED))
        missing = sum(not self._image_path(n).exists() for n in probed)
        if missing > len(probed) / 2:
            raise UserError(
                f"Most composites are missing in {self.raw / IMAGE_FOLDER} ({missing} of {len(probed)} looked for). "
                "The authors' script makes ten unless it is told otherwise; `python -m data_processing muco-compose` "
                "makes them all."
            )
        self.require("3dhp")
        return [
            Unit(f"{start // PER_UNIT:04d}", (start, origins[start : start + PER_UNIT]))
            for start in range(0, len(origins), PER_UNIT)
            if self.wants("train")
        ]

    def convert(self, unit: Unit, output) -> None:
        start, origins = unit.args
        for number, people in enumerate(origins, start=start + 1):
            try:
                image = read_image(self._image_path(number))
                sources = [self._source(*(int(v) for v in person), output) for person in people]
                foregrounds, chairs = [s.person_mask() for s in sources], [s.chair_mask() for s in sources]
            except UserError:
                output.skip("image or mask missing or broken")
                continue
            unfit = any(self.faults("mask", s.name) for s in sources)
            visible = visible_boxes(sources, foregrounds, chairs)
            found = self._boxes(image, number, sources, visible)
            everyone = np.any([*foregrounds, *chairs], axis=0)
            for i, (source, box) in enumerate(zip(sources, found, strict=True)):
                if box is None:
                    output.skip("no detection, or wholly hidden")
                    continue
                self.add_crop(
                    output,
                    image,
                    split="train",
                    key=f"{number // 1000:03d}/{number:06d}_{i}.jpg",
                    camera=source.camera,
                    coords=to_world(source.camera, source.pose),
                    box=box,
                    mask=None if unfit else everyone,
                    turned=False,
                    sequence=source.name,
                    frame=number,
                    person=i,
                )

    def _source(self, subject: int, sequence: int, camera: int, frame: int, output) -> Source:
        folder = self.raw / "3dhp" / f"S{subject}/Seq{sequence}"
        first = first_number(folder, camera)
        output.note(f"pictures of MPI-INF-3DHP are numbered from {first}")
        sides = self.faults("sides", f"S{subject}/Seq{sequence}")
        if folder not in self._tools:  # one camera of each sequence: their labels are one file
            self._tools[folder] = check_labels(self, folder, camera, sides)
        return Source(folder, camera, frame - first, f"img_{camera}_{frame:06d}.jpg", sides)

    def _boxes(self, image, number: int, sources, visible) -> list[np.ndarray | None]:
        labelled = []
        for source, seen in zip(sources, visible, strict=True):
            box = boxes.expand(boxes.within_image(source.joint_box(), image.shape[1::-1]), 1.05)
            labelled.append(None if seen is None else vertical_intersection(seen, box))
        labelled = [None if b is None or boxes.area(b) <= 0 else b for b in labelled]
        if self.options.detector == "none":
            return labelled
        detections = self.detect(image, self._image_path(number))
        detections = detections[detections[:, 4] > MIN_SCORE]
        known = [np.zeros(4) if b is None else b for b in labelled]
        matched = boxes.match(known, detections, min_iou=0.1, max_area_ratio=2)
        return [None if j is None else detections[j, :4] for j in matched]

    def _image_path(self, number: int) -> Path:
        name = f"{number:06d}.jpg"
        folder = self.raw / IMAGE_FOLDER
        nested = folder / name[:2] / name[:4] / name
        return nested if nested.exists() else folder / name


class Source:
    """One person of a composite: a frame (from 0) of MPI-INF-3DHP, and the name of its pictures."""

    def __init__(self, folder: Path, camera: int, frame: int, picture: str, side_faults=()):
        self.folder, self.picture = folder, picture
        self.name = f"{folder.parent.name}/{folder.name}"
        try:
            if frame < 0:
                raise IndexError
            self.camera = read_cameras(self.folder / "camera.calibration")[camera]
            poses, self.depth = read_poses_and_depths(self.folder / "annot.mat")
            self.pose, self.depth = poses[camera][frame], self.depth[camera][frame]
            if any(f.frames[0] <= frame <= f.frames[1] for f in side_faults):
                self.pose = self.pose[get_skeleton("3dhp").mirror]
        except IndexError:
            raise UserError(f"{self.folder} lacks frame {frame} of camera {camera}; fetch it again.") from None
        if not np.isfinite(self.pose).all() or self.joint_box() is None:
            raise UserError(f"{self.folder / 'annot.mat'} has no pose in frame {frame} of camera {camera}.")

    def joint_box(self) -> np.ndarray:
        return boxes.box_of_points(project_camera_frame(self.camera, self.pose))

    def person_mask(self) -> np.ndarray:
        """The chroma-key foreground of the person: the component at the labels' box, near it."""
        mask = read_image(self.folder / "FGmasks" / self.picture)[..., 0] > PERSON_THRESHOLD
        size = mask.shape[::-1]
        box = boxes.within_image(boxes.expand(self.joint_box(), 1.05), size)
        mask = masks.component_of_box(mask, box)
        left, top, width, height = boxes.within_image(boxes.expand(box, 1.3), size).astype(int)
        near = np.zeros_like(mask)
        near[max(0, top) : top + height, max(0, left) : left + width] = True
        return mask & near

    def chair_mask(self) -> np.ndarray:
        return masks.largest_component(read_image(self.folder / "ChairMasks" / self.picture)[..., 0] < CHAIR_THRESHOLD)


@file_cache(16)
def read_poses_and_depths(path) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """For each camera the poses [frames, 28, 3] mm and the depths [frames] by which a composition orders people."""
    depths = [p[:, PELVIS, 2] for p in read_labels(path, "univ_annot3", 3)]
    return read_labels(path, "annot3", 3), depths


@functools.lru_cache(256)
def first_number(folder: Path, camera: int) -> int:
    """1 if the pictures of a sequence were numbered from 1, else 0."""
    if (folder.parent.parent / "numbered_from_0").exists():
        return 0
    there = [(folder / "FGmasks" / f"img_{camera}_{n:06d}.jpg").exists() for n in (0, 1)]
    return 1 if there == [False, True] else 0


def visible_boxes(sources: list[Source], foregrounds, chairs) -> list[np.ndarray | None]:
    """The box of each person's pixels that no nearer person or chair covers; None where nothing is left."""
    result: list[np.ndarray | None] = [None] * len(sources)
    covered = np.zeros_like(foregrounds[0])
    for i in np.argsort([s.depth for s in sources]):
        result[i] = masks.box_of(foregrounds[i] & ~covered)
        covered = covered | foregrounds[i] | chairs[i]
    return result


def vertical_intersection(box, other) -> np.ndarray:
    """The box, cut to the vertical extent of the other."""
    common = boxes.intersection([0, box[1], 1, box[3]], [0, other[1], 1, other[3]])
    return np.array([box[0], common[1], box[2], common[3]])


def read_origins(path) -> np.ndarray:
    """[composites, 4, 4] subject, sequence, camera (from 0) and frame (from 0) of every person."""
    if Path(path).suffix == ".npz":
        return read_arrays(path, ["origins"])["origins"].reshape(-1, N_PEOPLE, 4).astype(np.int64)
    with open_mat73(path) as file:
        cells = file["composite_info"]
        if cells.shape[0] != N_PEOPLE:
            raise UserError(f"{path} holds composites of {cells.shape[0]} people, expected {N_PEOPLE}.")
        n = min(cells.shape[1], MAX_COMPOSITES)
        references = cells[:, :n]
        origins = np.zeros((n, N_PEOPLE, 4), np.int64)
        for (person, i), reference in np.ndenumerate(references):
            origins[i, person] = np.ravel(file[file[reference][0, 0]])
    return origins
