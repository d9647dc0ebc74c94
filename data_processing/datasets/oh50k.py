"""3DOH50K: single people in a room, partly hidden by objects, 14 joints.

No motion sampling. Box and mask are the dataset's; the test set has no masks.

Format, as the paper's tools read it (the authors do not describe it): `annots.json` is {picture's name:
{"lsp_joints_3d" [14, 3], "extri" 4 x 4 world to camera (m), "intri" 3 x 3, "bbox" [[left, top], [right, bottom]]}}; the
joints are in the camera's frame, in units of 1000/7 mm.
"""

from __future__ import annotations

import numpy as np

from data_processing.cameras import from_extrinsics, to_world
from data_processing.converter import Converter, Unit
from data_processing.file_cache import file_cache
from data_processing.images import read_image, read_mask
from metrabs_acae.errors import UserError
from metrabs_acae.files import read_json

SUBSETS = {"trainset": "train", "testset": "test"}
N_JOINTS = 14
MM_PER_UNIT = 1000 / 7
MM_PER_M = 1000
PER_UNIT = 500


class ThreeDOH50K(Converter):
    def units(self) -> list[Unit]:
        units = []
        for subset, split in SUBSETS.items():
            if self.wants(split) and (split == "train" or (self.raw / subset).exists()):
                n = len(read_labels(self.require(f"{subset}/annots.json")))
                units += [Unit(f"{subset}/{i // PER_UNIT:04d}", (subset, i)) for i in range(0, n, PER_UNIT)]
        return units

    def convert(self, unit: Unit, output) -> None:
        subset, start = unit.args
        folder = self.raw / subset
        labels = read_labels(folder / "annots.json")
        self._check(folder / "annots.json", labels, sorted(labels)[start : start + PER_UNIT])
        for name in sorted(labels)[start : start + PER_UNIT]:
            camera, pose, box = read_person(labels[name], f"{folder / 'annots.json'}: {name}")
            mask_path = folder / "masks" / f"{name}.png"
            self.add_crop(
                output,
                read_image(folder / "images" / f"{name}.jpg"),
                split=SUBSETS[subset],
                key=f"{subset}/{name}.jpg",
                camera=camera,
                coords=to_world(camera, pose),
                box=box,
                seen_box=box,
                mask=read_mask(mask_path) if subset == "trainset" or mask_path.exists() else None,
                sequence=subset,
                frame=int(name) if name.isdigit() else 0,
            )

    def _check(self, path, labels: dict, names: list[str]) -> None:
        """Holds the 3D joints against `lsp_joints_2d` (px and, if there is a third number, whether it is labelled)."""
        people = [(read_person(labels[n], f"{path}: {n}"), labels[n].get("lsp_joints_2d")) for n in names]
        poses = np.stack([to_world(camera, pose) for (camera, pose, _), _ in people])
        try:
            tables = [np.full((N_JOINTS, 2), np.nan) if t is None else np.array(t, np.float64) for _, t in people]
            pixels = np.stack([np.where(t[:, 2:3] > 0, t[:, :2], np.nan) if t.shape[1] > 2 else t for t in tables])
        except (ValueError, IndexError, TypeError) as error:
            raise UserError(f"{path} is not a file of labels of 3DOH50K ({error}); unpack it again.") from None
        cameras = [camera for (camera, _, _), _ in people]
        self.check(path, poses, cameras=cameras, pixels=pixels, successive=False, tolerance_px=15, noise_px=3)


@file_cache(1)
def read_labels(path) -> dict[str, dict]:
    return read_json(path, dict)


def read_person(label: dict, where: str):
    """Camera (its picture's up is taken for the world's), pose [14, 3] mm in its frame, box."""
    try:
        pose = np.array(label["lsp_joints_3d"], np.float64).reshape(N_JOINTS, 3) * MM_PER_UNIT
        extrinsics = np.array(label["extri"], np.float64).reshape(4, 4)
        K = np.array(label["intri"], np.float64).reshape(3, 3)
        (left, top), (right, bottom) = label["bbox"]
        up = -extrinsics[1, :3]
        camera = from_extrinsics(extrinsics[:3, :3], extrinsics[:3, 3] * MM_PER_M, K, world_up=up)
        return camera, pose, np.array([left, top, right - left, bottom - top], np.float64)
    except (KeyError, TypeError, ValueError, np.linalg.LinAlgError) as error:
        raise UserError(f"{where} is not a label of 3DOH50K ({error!r}); unpack it again.") from None
