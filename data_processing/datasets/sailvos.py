"""SAIL-VOS: people of a video game, 26 joints made of its bones; visible and hidden parts known by the pixel.

Training and validation material alike is for training. Motion sampling at 100 mm per person, where missing joints count
as unmoved. Cameras are not released: each frame's is found from the 2D and 3D bones of a person (square pixels,
principal point (640, 400), horizontal field of view of 30 to 100 degrees). A person must be visible to a quarter, by
more than 50 px in both directions, have more than five joints, and a plausible extent; a detection must match the box
of the visible part with an IoU above 0.1 and at most twice its area; without a detector that box is taken. The mask is
that of all people. The mean camera position of a sequence is subtracted.

Of the raw files (the poses come from the authors on request): `<sequence>/<object>_Ped_<...>/<frame>_2d.txt` and
`_3d.txt` have a line per bone, in px and m (z up), with -1280 or -800, and zeros, for missing ones; `<frame>.png` is
the person's whole silhouette; `<sequence>/visible/<frame>.npy` says which object a pixel shows; pictures are
`<sequence>/images/<frame>.bmp` (or .jpg, .png).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from data_processing import boxes, masks
from data_processing.calibration import MIN_POINTS, fit_field_of_view, reprojection_error
from data_processing.converter import Converter, Unit
from data_processing.images import read_image
from data_processing.raw_images import read_any_image
from data_processing.sampling import MotionSampler
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

SIZE = (1280, 800)
BONES = (
    *((341, 8), (61,), (216, 234), (171,), (164, 309), (255, 39), (330,), (108,), (45, 294), (215, 131, 253)),
    *((295,), (144, 315), (147, 342, 27), (85,), (152,), (206, 128, 102), (307, 312), (130,), (11,)),
    *((167, 188, 191, 310), (194, 193, 236, 78), (227, 304, 58, 229), (37, 260, 195), (47, 148, 232), (323,), (160,)),
)
"""Of which raw bones each joint is the mean."""
N_BONES = 1 + max(i for group in BONES for i in group)
MISSING_PX = (-1280, -800)
MM_PER_M = 1000
MAX_ERROR_PX = 20
"""Of the median bone, by the camera that fits best."""
THRESHOLD_MM = 100
MAX_HIDDEN, MIN_SIDE_PX, MORE_JOINTS_THAN, MAX_AREA_RATIO = 0.75, 50, 5, 2
SPREAD_MM = (100, 3000)
"""Of a plausible pose: root mean square distance of the joints from their mean."""


class SailVos(Converter):
    def units(self) -> list[Unit]:
        sequences = sorted({p.parent.parent for p in self.find("*/*_Ped_*/*_2d.txt", "*/*/*_Ped_*/*_2d.txt")})
        units = [Unit(p.name, (p.relative_to(self.raw).as_posix(),)) for p in sequences]
        return units if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        folder = self.raw / unit.args[0]
        chosen = choose(folder, output)
        cameras = [camera for people in chosen.values() for _, camera in people]
        origin = np.mean([c.optical_center_mm for c in cameras], axis=0) if cameras else np.zeros(3)
        for frame in sorted(chosen):
            self._convert_frame(unit.name, folder, frame, chosen[frame], origin, output)

    def _convert_frame(self, sequence: str, folder: Path, frame: str, people, origin, output) -> None:
        source = next((p for s in (".bmp", ".jpg", ".png") if (p := folder / "images" / f"{frame}{s}").is_file()), None)
        visible = read_visible(folder / "visible", frame)
        if source is None or visible is None:
            output.skip("no picture or no visibility of a frame")
            return
        image = read_any_image(source)
        if image.shape[:2] != visible.shape:
            raise UserError(f"{source} and its visibility have different sizes; fetch them again.")
        everyone = np.isin(visible, [object_id(p.parent) for p in folder.glob(f"*_Ped_*/{frame}.png")])
        seen = [masks.box_of(visible == object_id(person)) for person, _ in people]
        found = self._boxes(image, source, seen)
        for (person, camera), visible_box, box in zip(people, seen, found, strict=True):
            pose = joints_of(read_bones(person / f"{frame}_3d.txt", 3))
            reason = self._fault(person / f"{frame}.png", visible == object_id(person), pose, visible_box, box)
            if reason:
                output.skip(reason)
                continue
            moved = CameraParams(camera.R, camera.optical_center_mm - origin, camera.K, camera.lens, camera.world_up)
            self.add_crop(
                output,
                image,
                split="train",
                key=f"{sequence}/{frame}_{object_id(person)}.jpg",
                camera=moved,
                coords=pose - origin,
                box=box,
                mask=everyone,
                sequence=sequence,
                frame=int(frame),
                person=object_id(person),
            )

    def _boxes(self, image, source, seen) -> list[np.ndarray | None]:
        if self.options.detector == "none":
            return seen
        detections = self.detect(image, source)
        known = [np.zeros(4) if b is None else b for b in seen]
        matched = boxes.match(known, detections, min_iou=0.1, max_area_ratio=MAX_AREA_RATIO)
        return [None if j is None else detections[j, :4] for j in matched]

    @staticmethod
    def _fault(silhouette: Path, visible: np.ndarray, pose: np.ndarray, visible_box, box) -> str | None:
        """Why a person is left out, or None."""
        if visible_box is None or box is None:
            return "not visible or no detection"
        if min(visible_box[2:]) <= MIN_SIDE_PX:
            return "small"
        try:
            whole = read_image(silhouette)[..., 0] > 127
        except UserError:
            return "silhouette missing or broken"
        if not whole.any() or 1 - visible.sum() / whole.sum() > MAX_HIDDEN:
            return "mostly hidden"
        known = pose[np.isfinite(pose).all(-1)]
        if len(known) <= MORE_JOINTS_THAN:
            return "too few joints"
        spread = np.sqrt(((known - known.mean(0)) ** 2).sum(-1).mean())
        return None if SPREAD_MM[0] < spread < SPREAD_MM[1] else "implausible extent"


def choose(folder: Path, output) -> dict[str, list[tuple[Path, CameraParams]]]:
    """Frame -> (the person's folder, camera) of the people who have moved."""
    chosen: dict[str, list[tuple[Path, CameraParams]]] = {}
    for person in sorted(folder.glob("*_Ped_*")):
        sampler = MotionSampler(THRESHOLD_MM, nan_is_motion=False)
        for path in sorted(person.glob("*_2d.txt")):
            frame = path.name.removesuffix("_2d.txt")
            if not (frame.isdecimal() and (person / f"{frame}_3d.txt").is_file()):
                output.skip("2D bones without 3D ones")
                continue
            bones_mm, bones_px = read_bones(person / f"{frame}_3d.txt", 3), read_bones(path, 2)
            if (np.isfinite(bones_mm).all(-1) & np.isfinite(bones_px).all(-1)).sum() < MIN_POINTS:
                output.skip("too few bones for the camera")
                continue
            if not sampler.keep(joints_of(bones_mm)):
                continue
            camera = find_camera(bones_mm, bones_px)
            if camera is None:
                output.skip("no camera fits the bones")
            else:
                chosen.setdefault(frame, []).append((person, camera))
    return chosen


def find_camera(bones_mm: np.ndarray, bones_px: np.ndarray) -> CameraParams | None:
    import cv2

    try:
        camera = fit_field_of_view(bones_mm, bones_px, SIZE, world_up=(0, 0, 1))
        errors = reprojection_error(camera, bones_mm, bones_px)
        return camera if np.median(errors[np.isfinite(errors)]) < MAX_ERROR_PX else None
    except (ValueError, cv2.error, np.linalg.LinAlgError):
        return None


def joints_of(bones_mm: np.ndarray) -> np.ndarray:
    """[26, 3] the mean of the known bones that make up each joint, NaN where none is known."""
    joints = np.full((len(BONES), 3), np.nan)
    for joint, group in enumerate(BONES):
        points = bones_mm[list(group)]
        points = points[np.isfinite(points).all(-1)]
        if len(points):
            joints[joint] = points.mean(0)
    return joints


def read_bones(path, n_dims: int) -> np.ndarray:
    """[bones, 2] px or [bones, 3] mm from a text file, NaN = missing."""
    try:
        lines = [line for line in Path(path).read_text().splitlines() if line.strip()]
        table = np.array(" ".join(lines).replace(",", " ").split(), np.float64).reshape(len(lines), n_dims)
        if len(table) < N_BONES:
            raise ValueError(f"fewer than {N_BONES} bones")
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is not a list of bones of SAIL-VOS ({error}); fetch it again.") from None
    missing = np.isin(table[:, 0], MISSING_PX) if n_dims == 2 else (table == 0).all(-1)
    table[missing] = np.nan
    return table if n_dims == 2 else table * MM_PER_M


def read_visible(folder: Path, frame: str) -> np.ndarray | None:
    """[H, W] which object each pixel shows; None where there is no file."""
    for path in (folder / f"{frame}.npy", folder / f"{frame}.npz"):
        if not path.is_file():
            continue
        try:
            data = np.load(path, allow_pickle=False)
            visible = data["visible_ids"] if path.suffix == ".npz" else data
            if visible.ndim != 2 or visible.dtype.kind not in "iufb":
                raise ValueError(f"{visible.dtype} of shape {visible.shape}")
            return visible
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise UserError(f"{path} is not a map of visible objects ({error}); fetch it again.") from None
    return None


def object_id(folder: Path) -> int:
    """The number of an object, with which its folder's name begins."""
    number = folder.name.split("_")[0]
    if not number.isdecimal():
        raise UserError(f"{folder} is not named <number>_Ped_<...>; unpack the poses again.")
    return int(number)
