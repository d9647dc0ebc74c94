"""AGORA: rendered scans of people in rendered or photographed places, 24 joints of SMPL and 42 of SMPL-X.

Training parts 0 to 9 and the validation part are used for training; there is no motion, so no sampling. Left out:
people marked invalid, occluded by more than 75 %, or with a box under 100 px (of the full-size pictures). The box is
the detection matched with IoU of at least 0.5 to the person's visible pixels, else the box of those; people without
detection who are occluded by more than 50 % are left out. The stored mask is that of all people. Where the masks were
not downloaded, boxes are those of the joints x 1.05.

Format, after the authors' evaluation code: pandas tables (`isValid`, `occlusion` in percent and `gt_joints_3d` in m in
the camera's frame per person; `camX`, `camY`, `camZ` in cm and `camYaw` in degrees; cameras of some scenes are fixed by
the picture's name), pictures of 3840 x 2160 or 1280 x 720. Of the masks, `..._<frame>_00000.png` shows all people in
their own colours on pure red and `..._<frame>_<person, from 1>.png` a person alone on black, also where hidden; that it
does so in the same colour is assumed (if not, the person's hidden pixels count as visible). The release lacks a mask or
two; a person without one gets the box of the joints. The vertices in the tables are read over. Tables and pictures are
found where their archives unpack: those of validation in `validation_SMPL/SMPL` and the like.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from data_processing import boxes, masks
from data_processing.cameras import intrinsics, make_camera, project, to_world
from data_processing.converter import Converter, Unit
from data_processing.images import read_image
from data_processing.pandas_pickle import read_columns
from data_processing.smpl.points import SMPL_24, SMPLX_42
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

PARTS = (*(f"train_{i}" for i in range(10)), *(f"validation_{i}" for i in range(10)))
COLUMNS = ("imgPath", "isValid", "occlusion", "gt_joints_3d", "camX", "camY", "camZ", "camYaw")
PIXELS = "gt_joints_2d"
FULL_WIDTH = 3840
REDUCED = "_1280x720"
"""Ending of the names of pictures and masks in the reduced release; the tables name the full-size ones."""
SENSOR_MM = 36
FIXED_CAMERAS = {
    # part of the picture's name: focal length (mm), position (cm, Unreal's axes), yaw, pitch (degrees)
    "hdri": (50, (0, 0, 170), 0, 0),
    "cam00": (18, (400, -275, 265), 135, 30),
    "cam01": (18, (400, 225, 265), -135, 30),
    "cam02": (18, (-490, 170, 265), -45, 30),
    "cam03": (18, (-490, -275, 265), 45, 30),
    "ag2": (28, (0, 0, 170), 0, 15),
}
OTHER_FOCAL_MM = 28
OTHER_GROUND_M = (0, -1.7, 0)
FROM_UNREAL = np.array([[0, 1, 0], [0, 0, -1], [1, 0, 0.0]])
NAME = re.compile(
    r"(?P<name>(?P<scene>.+?)_(\d+mm_)?(5_10|5_15))(?P<cam>(_cam\d+)?)_(?P<number>\d+)(?P<reduced>_1280x720)?"
)
MAX_OCCLUSION, MAX_OCCLUSION_UNDETECTED = 75, 50
MIN_IOU, MIN_SIDE_PX, BOX_FACTOR = 0.5, 100, 1.05
COLOR_TOLERANCE = 10
MM_PER_M = 1000


class Agora(Converter):
    def units(self) -> list[Unit]:
        found = [p for p in PARTS if self._table("SMPL", p)]
        if not found:
            self.require("SMPL/train_0_withjv.pkl")
        for part in found:
            if self._table("SMPLX", part) is None:
                self.require(f"SMPLX/{part}_withjv.pkl")
            if not self._image_folders(part):
                self.require("validation" if part.startswith("validation") else part)
        return [Unit(p, (p,)) for p in found] if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        part = unit.args[0]
        table = read_table(self._table("SMPL", part), 24)
        extended = read_table(self._table("SMPLX", part), 76)
        if list(table["imgPath"]) != list(extended["imgPath"]):
            raise UserError(f"SMPL/{part}_withjv.pkl and SMPLX/{part}_withjv.pkl in {self.raw} list other pictures.")
        self._check(part, table, extended)
        for row, name in enumerate(table["imgPath"]):
            people = people_of(table, extended, row)
            if people:
                path = self._picture(part, str(name))
                image = read_image(path)
                camera = camera_of(table, row, path.name, image.shape[:2])
                self._add(output, part, row, path, image, camera, people)

    def _check(self, part: str, table, extended) -> None:
        """Holds the joints of some of the people against the tables' pixels (of full-size pictures)."""
        if PIXELS not in table or PIXELS not in extended:
            return
        rows = range(0, len(table["imgPath"]), 1 + len(table["imgPath"]) // 100)
        poses, pixels, cameras, frames = [], [], [], []
        for row in rows:
            camera = camera_of(table, row, str(table["imgPath"][row]), (FULL_WIDTH * 9 // 16, FULL_WIDTH))
            for i, (points, _) in people_of(table, extended, row).items():
                both = ((table, SMPL_24), (extended, SMPLX_42))
                pixels.append(np.concatenate([np.asarray(t[PIXELS][row][i], np.float64)[list(o)] for t, o in both]))
                poses.append(to_world(camera, points))
                cameras.append(camera)
                frames.append(row)
        if poses:
            labels = {"cameras": cameras, "pixels": np.stack(pixels), "frames": frames, "successive": False}
            self.check(self._table("SMPL", part), np.stack(poses), **labels, tolerance_px=8, noise_px=1.5)

    def _add(self, output, part: str, row: int, path: Path, image: np.ndarray, camera: CameraParams, people) -> None:
        poses = {i: to_world(camera, points) for i, (points, _) in people.items()}
        everyone, labelled = self._visible(path.stem, image.shape[1::-1], camera, poses, output)
        detections = self.detect(image, path)
        known = [i for i in people if labelled[i] is not None]
        matched = boxes.match([labelled[i] for i in known], detections, min_iou=MIN_IOU)
        found = {i: detections[j, :4] for i, j in zip(known, matched, strict=True) if j is not None}
        for i, (_, occlusion) in people.items():
            box = found.get(i, labelled[i])
            if box is None:
                output.skip("person not in the picture")
            elif i not in found and occlusion > MAX_OCCLUSION_UNDETECTED:
                output.skip("largely hidden and not detected")
            elif min(box[2:]) < MIN_SIDE_PX * image.shape[1] / FULL_WIDTH:
                output.skip("person too small")
            else:
                self.add_crop(
                    output,
                    image,
                    split="train",
                    key=f"{part}/{path.stem}_{i}.jpg",
                    camera=camera,
                    coords=poses[i],
                    box=box,
                    mask=everyone,
                    sequence=part,
                    frame=row,
                    person=i,
                )

    def _visible(self, name: str, size, camera, poses, output):
        """Mask of all people (None without masks), and person -> box of the visible pixels (None if there are none)."""
        folder, pattern = self._masks(name)
        whole = None if folder is None else folder / pattern.format(0)
        if whole is None or not whole.exists():
            return None, {i: joint_box(camera, pose, size) for i, pose in poses.items()}
        colors, seen = read_image(whole), {}
        for i, pose in poses.items():
            alone = folder / pattern.format(i + 1)
            if alone.exists():
                seen[i] = masks.box_of(visible(colors, read_image(alone)))
            else:
                output.skip("a person's mask is missing (the box is that of the joints)")
                seen[i] = joint_box(camera, pose, size)
        return colored(colors), seen

    def _picture(self, part: str, name: str) -> Path:
        """The picture that a table names, or its version in the reduced release."""
        if "/" in name or not name.endswith(".png"):
            raise UserError(f"'{name}' is not a picture's name of AGORA.")
        folders = self._image_folders(part)
        names = (name, name.removesuffix(".png") + REDUCED + ".png")
        return next((f / n for n in names for f in folders if (f / n).exists()), folders[0] / name)

    def _image_folders(self, part: str) -> list[Path]:
        name = "validation" if part.startswith("validation") else part
        patterns = (name, f"*/{name}", f"{name}_images*")
        return [p for pattern in patterns for p in sorted(self.raw.glob(pattern)) if p.is_dir()]

    def _masks(self, name: str) -> tuple[Path | None, str]:
        """The folder of a picture's masks, if there is one, and the pattern of their names by the person's number."""
        match = NAME.fullmatch(name)
        if match is None:
            raise UserError(f"'{name}' is not a picture's name of AGORA.")
        pattern = f"{match['name']}_mask{match['cam']}_{int(match['number']):06d}_{{:05d}}{match['reduced'] or ''}.png"
        phase = "train" if "trainset" in name else "validation"
        scene = match["scene"]
        candidates = (f"{phase}/{scene}", f"masks/{scene}", f"masks/{phase}/{scene}", f"{phase}_masks*/{phase}/{scene}")
        found = (p for c in candidates for p in sorted(self.raw.glob(c)) if p.is_dir())
        return next(found, None), pattern

    def _table(self, model: str, part: str) -> Path | None:
        name = f"{part}_withjv.pkl"
        places = (f"{model}/{name}", f"*/{model}/{name}", f"*_{model}/{name}")
        return next((p for place in places for p in sorted(self.raw.glob(place))), None)


def joint_box(camera: CameraParams, pose: np.ndarray, size) -> np.ndarray | None:
    """The box of the joints in the picture; None where there is none."""
    box = boxes.box_of_points(project(camera, pose), BOX_FACTOR)
    box = None if box is None else boxes.within_image(box, size)
    return None if box is None or boxes.area(box) == 0 else box


def read_table(path, n_joints: int) -> dict[str, np.ndarray]:
    """The columns that are used; checks that people have at least so many joints."""
    table = read_columns(
        path,
        COLUMNS,
        optional=(PIXELS,),
        skip_array=lambda shape: len(shape) == 2 and shape[1] == 3 and shape[0] > 1000,
    )
    for joints in table["gt_joints_3d"]:
        if any(np.ndim(j) != 2 or len(j) < n_joints or np.shape(j)[1] != 3 for j in joints):
            raise UserError(f"{path} has people without {n_joints} joints; take the tables 'with joints and vertices'.")
    return table


def people_of(table, extended, row: int) -> dict[int, tuple[np.ndarray, float]]:
    """Number of each usable person -> (joints [66, 3] mm in the camera's frame, occlusion in percent)."""
    people = {}
    for i, (valid, occlusion) in enumerate(zip(table["isValid"][row], table["occlusion"][row], strict=True)):
        if valid and float(occlusion) <= MAX_OCCLUSION:
            body = np.asarray(table["gt_joints_3d"][row][i], np.float64)[list(SMPL_24)]
            whole = np.asarray(extended["gt_joints_3d"][row][i], np.float64)[list(SMPLX_42)]
            people[i] = (np.concatenate([body, whole]) * MM_PER_M, float(occlusion))
    return people


def camera_of(table, row: int, name: str, image_size_hw) -> CameraParams:
    """The camera of a picture; the world is that of the renderer, y down."""
    fixed = next((camera for key, camera in FIXED_CAMERAS.items() if key in name), None)
    if fixed is not None:
        focal, position, yaw, pitch = fixed
        ground = (0, 0, 0)
    else:
        position = [float(table[c][row]) for c in ("camX", "camY", "camZ")]
        focal, yaw, pitch, ground = OTHER_FOCAL_MM, float(table["camYaw"][row]), 0, OTHER_GROUND_M
    center = FROM_UNREAL @ np.array(position, np.float64) / 100 + ground
    (cy, cp), (sy, sp) = np.cos(np.radians([-yaw, pitch])), np.sin(np.radians([-yaw, pitch]))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    height, width = image_size_hw
    focal_px = focal / SENSOR_MM * width
    K = intrinsics(focal_px, focal_px, width / 2, height / 2)
    return make_camera(about_x @ about_y, center * MM_PER_M, K, world_up=(0, -1, 0))


def visible(colors: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """[H, W] where a person is visible: its pixels when alone that have the person's colour in the picture of all."""
    where = colored(alone)
    if not where.any():
        return where
    own = alone[where].astype(np.int32)
    values, counts = np.unique(own @ [1 << 16, 1 << 8, 1], return_counts=True)
    color = own[np.flatnonzero(own @ [1 << 16, 1 << 8, 1] == values[np.argmax(counts)])[0]]
    seen = colors[where].astype(np.int32)
    same = (np.abs(seen - color) < COLOR_TOLERANCE).all(-1)
    where[where] = same if same.any() else colored(seen)
    return where


def colored(image: np.ndarray) -> np.ndarray:
    """[H, W] which pixels are neither black nor pure red, the two backgrounds."""
    brightest_of_others = np.maximum(image[..., 1], image[..., 2])
    black = np.maximum(image[..., 0], brightest_of_others) <= COLOR_TOLERANCE
    red = (image[..., 0] >= 255 - COLOR_TOLERANCE) & (brightest_of_others <= COLOR_TOLERANCE)
    return ~(black | red)
