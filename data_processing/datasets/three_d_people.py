"""3DPeople: rendered people in 70 actions, four cameras each, 29 of 67 joints.

Motion sampling at 100 mm in any of the 67 joints, for each camera of a clip. The mask is what is not the grey
background in the picture of the clothes, the box is the mask's. Cameras are fitted to the 2D and 3D labels of each
frame: f = 700 px, principal point (320, 240), z up.

Format, after the authors' drawing program: `rgb/<person>/<action>/camera<two digits>/<looks>/<frame>.jpg`, and without
the folder of the looks `skeleton/.../<frame>.txt` (67 lines: x y in px first, X Y Z in units of 100 mm last) and
`segmentation_clothes/.../<frame>.png`. The order of the joints is that of the released coordinates (as in the authors'
published example): eyes before the head's top, left leg before right leg, fingers of the right hand in reverse order.
The list of names published beside it differs there.
"""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np

from data_processing import calibration, masks
from data_processing.cameras import intrinsics
from data_processing.converter import Converter, Unit
from data_processing.images import read_image
from data_processing.sampling import MotionSampler
from metrabs_acae.errors import UserError

N_RAW = 67
RAW_JOINTS = (*range(14), *range(33, 37), 53, *range(57, 67))
"""Which of the raw joints the 29 of the skeleton are."""
MM_PER_UNIT = 100
THRESHOLD_MM = 100
K = intrinsics(700, 700, 320, 240)
BACKGROUND, TOLERANCE = 153, 10
"""Grey level of the background in the pictures of the clothes."""


class ThreeDPeople(Converter):
    def units(self) -> list[Unit]:
        self.require("skeleton")
        self.require("segmentation_clothes")
        folders = sorted({str(p.parent.relative_to(self.raw / "rgb")) for p in self.find("rgb/*/*/camera*/*")})
        return [Unit(folder, (folder,)) for folder in folders] if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        folder = unit.args[0]
        sampler = MotionSampler(THRESHOLD_MM)
        kept = []
        for path in sorted((self.raw / "rgb" / folder).glob("*/*.jpg")):
            pixels, points = read_skeleton(self.raw / "skeleton" / folder / f"{path.stem}.txt")
            if sampler.keep(points):
                kept.append((path, pixels, points))
        self._check(folder, kept)
        for path, pixels, points in kept:
            self._add(output, path, folder, pixels, points)

    def _check(self, folder: str, kept) -> None:
        """Holds the 3D joints against the 2D ones by the cameras that are fitted to both."""
        fitted = []
        for _, pixels, points in kept[:: 1 + len(kept) // 50]:
            with contextlib.suppress(ValueError):
                fitted.append((calibration.fit_pose(points, pixels, K), pixels, points))
        if fitted:
            cameras, pixels, points = (list(v) for v in zip(*fitted, strict=True))
            labels = {"pixels": np.stack(pixels)[:, RAW_JOINTS], "successive": False}
            self.check(self.raw / "skeleton" / folder, np.stack(points)[:, RAW_JOINTS], cameras=cameras, **labels)

    def _add(self, output, path: Path, folder: str, pixels: np.ndarray, points: np.ndarray) -> None:
        clothes = read_image(self.raw / "segmentation_clothes" / folder / f"{path.stem}.png").astype(np.int16)
        mask = (np.abs(clothes - BACKGROUND) > TOLERANCE).any(-1)
        box = masks.box_of(mask)
        if box is None:
            output.skip("empty mask")
            return
        try:
            camera = calibration.fit_pose(points, pixels, K)
        except ValueError as error:
            output.skip(str(error))
            return
        person, action = folder.split("/")[:2]
        self.add_crop(
            output,
            read_image(path),
            split="train",
            key=f"{folder}/{path.name}",
            camera=camera,
            coords=points[list(RAW_JOINTS)],
            box=box,
            mask=mask,
            seen_box=box,
            sequence=folder,
            frame=int("0" + "".join(c for c in path.stem if c.isdigit())),
            activity=action,
        )


def read_skeleton(path) -> tuple[np.ndarray, np.ndarray]:
    """Pixels [67, 2] and world points [67, 3] mm."""
    try:
        table = np.loadtxt(path, dtype=np.float64, ndmin=2)
        return table[:, :2].reshape(N_RAW, 2), table[:, -3:].reshape(N_RAW, 3) * MM_PER_UNIT
    except (OSError, ValueError) as error:
        raise UserError(f"{path} does not hold {N_RAW} joints ({error}); unpack it again.") from None
