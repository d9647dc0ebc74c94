"""GPA (Geometric Pose Affordance): actors among boxes and stairs, 34 joints, camera of each picture.

Training pictures (`istrains`); motion sampling at 100 mm per camera, in the camera's frame. The box is the detection
with the best IoU, at least 0.3, with the labels' box (x 1.15), or that box itself without a detector. Masks are the
authors' (brighter than 10), where their archive is unpacked.

Format: the lists `images` (`file_name` ends in a number of ten digits) and `annotations` of
`xyz_gpa12_mdp_cntind_crop_cam_c2g.json` go in step; an annotation has `joint_cams` (3 x 34 mm in the camera's frame),
`f` and `c` of the whole picture (without lens distortion) and `istrains`. `Sequence_ids/cam_ids_750k.npy` names the
camera of each picture number. The label file is read in constant memory, once for each camera.
"""

from __future__ import annotations

import numpy as np

from data_processing import boxes, masks
from data_processing.cameras import intrinsics, make_camera, project
from data_processing.converter import Converter, Unit
from data_processing.images import read_image, read_mask
from data_processing.json_files import iterate_array
from data_processing.sampling import MotionSampler
from metrabs_acae.errors import UserError

LABELS = "xyz_gpa12_mdp_cntind_crop_cam_c2g.json"
CAMERA_IDS = "Sequence_ids/cam_ids_750k.npy"
PICTURES, MASKS = "Gaussian_img_jpg_new", "img_jpg_new_resnet101deeplabv3humanmask"
N_JOINTS = 34
THRESHOLD_MM = 100
BOX_FACTOR, MIN_IOU = 1.15, 0.3
MASK_THRESHOLD = 10


class Gpa(Converter):
    def units(self) -> list[Unit]:
        self.require(LABELS)
        self.require(PICTURES)
        cameras = np.unique(read_camera_ids(self.require(CAMERA_IDS)))
        return [Unit(f"camera {int(c)}", (int(c),)) for c in cameras] if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        camera_of = read_camera_ids(self.raw / CAMERA_IDS)
        sampler = MotionSampler(THRESHOLD_MM)
        path = self.raw / LABELS
        for picture, labels in zip(iterate_array(path, "images"), iterate_array(path, "annotations"), strict=False):
            try:
                name = picture["file_name"].rsplit(".", 1)[0][-10:]
                if not labels["istrains"] or camera_of[int(name)] != unit.args[0]:
                    continue
                pose = np.asarray(labels["joint_cams"], np.float64).reshape(3, N_JOINTS).T
                K = intrinsics(*np.ravel(labels["f"])[:2], *np.ravel(labels["c"])[:2])
            except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
                raise UserError(f"{path} is not GPA's label file ({error!r}); fetch it again.") from None
            if sampler.keep(pose):
                self._add(output, name, pose, K, unit.name)

    def _add(self, output, name: str, pose: np.ndarray, K: np.ndarray, sequence: str) -> None:
        path = self._find(PICTURES, f"{name}.jpg")
        if path is None:
            output.skip("picture missing")
            return
        image = read_image(path)
        camera = make_camera(np.eye(3), np.zeros(3), K, world_up=(0, -1, 0))
        box = boxes.box_of_points(project(camera, pose), BOX_FACTOR)
        if box is not None and self.options.detector != "none":
            box = boxes.best_detection(box, self.detect(image, path), min_iou=MIN_IOU)
        if box is None:
            output.skip("no detection")
            return
        mask = self._find(MASKS, f"{name}_mask.jpg")
        mask = None if mask is None else read_mask(mask, MASK_THRESHOLD)
        self.add_crop(
            output,
            image,
            split="train",
            key=f"{name[:6]}/{name[6:8]}/{name}.jpg",
            camera=camera,
            coords=pose,
            box=box,
            mask=mask,
            seen_box=None if mask is None else masks.box_of(masks.largest_component(mask)),
            sequence=sequence,
            frame=int(name) % 2**31,
        )

    def _find(self, folder: str, name: str):
        """A picture, which lies in the folder itself or is sorted into folders of its first six and next two digits."""
        candidates = (self.raw / folder / name, self.raw / folder / name[:6] / name[6:8] / name)
        return next((p for p in candidates if p.is_file()), None)


def read_camera_ids(path) -> np.ndarray:
    """The camera of each picture number."""
    try:
        ids = np.load(path, mmap_mode="r", allow_pickle=False)
        return ids.reshape(-1)
    except (OSError, ValueError, EOFError) as error:
        raise UserError(f"{path} is not a list of camera numbers ({error}); fetch it again.") from None
