"""HSPACE: rendered people of the model GHUM in rich scenes, 35 of its 63 joints.

One file of records is one rendered sequence. Motion sampling: 100 mm against each of the last 20 kept poses of the
record file, all people together. The box is that of the person's cleaned mask (opened, then grown by one step) and
at least 100 px wide and high; the stored mask is that of all people.

Format, as the paper's tools read it: the features `image/rgb` and `character_masks` (encoded pictures),
`camera_intrinsics` (fx, fy, cx, cy), `number_of_rigged_characters`, `RIGGED_<i>/joints_3d` (63 x 3, m, camera's frame)
and `RIGGED_<i>/mask_id`, whose person has that label or one less (clothes and body). The tools swap red and blue of
`image/rgb`; so does this converter.
"""

from __future__ import annotations

import numpy as np

from data_processing import masks
from data_processing.cameras import intrinsics, make_camera
from data_processing.converter import Converter, Unit
from data_processing.images import decode_image
from data_processing.sampling import BufferedMotionSampler
from data_processing.smpl.points import order_of
from data_processing.tfrecord import read_examples
from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError

RAW_JOINTS = (
    "pelv,spin1,spin2,spin3,neck,head,head2,lbrow1,lbrow2,rbrow1,rbrow2,lbrow3,rbrow3,lcla,lsho,lelb,lwri,"
    "lindex1,lindex2,lindex3,lmiddle1,lmiddle2,lmiddle3,lring1,lring2,lring3,lpinkie1,lpinkie2,lpinkie3,lthu1,lthu2,"
    "lthu,rcla,rsho,relb,rwri,rindex1,rindex2,rindex3,rmiddle1,rmiddle2,rmiddle3,rring1,rring2,rring3,"
    "rpinkie1,rpinkie2,rpinkie3,rthu1,rthu2,rthu,lhip,lkne,lank,lhee,lfoo,ltoe,rhip,rkne,rank,rhee,rfoo,rtoe"
).split(",")
ORDER = order_of(RAW_JOINTS, "ghum")
MM_PER_M = 1000
THRESHOLD_MM, BUFFER = 100, 20
MIN_SIDE_PX = 100


class Hspace(Converter):
    def units(self) -> list[Unit]:
        paths = self.find("train/*.tfrecord*", "2021_01/train/*.tfrecord*")
        return [Unit(f"train/{p.name}", (str(p),)) for p in paths] if self.wants("train") else []

    def convert(self, unit: Unit, output) -> None:
        path = unit.args[0]
        record_name = unit.name.split("/")[1].split(".tfrecord")[0]
        sampler = BufferedMotionSampler(THRESHOLD_MM, BUFFER, check_validity=True)
        for frame, features in enumerate(read_examples(path)):
            where = f"{path}, record {frame}"
            try:
                poses = [pose_of(features, i) for i in range(int(features["number_of_rigged_characters"][0]))]
                kept = [i for i, pose in enumerate(poses) if sampler.keep(pose)]
                if not kept:
                    continue
                camera = camera_of(features)
                image = decode_image(features["image/rgb"][0], where)[..., ::-1]
                labels = decode_labels(features["character_masks"][0], where)
                person_labels = [int(features[f"RIGGED_{i}/mask_id"][0]) for i in kept]
            except UserError:
                raise
            except (KeyError, IndexError, ValueError, TypeError) as error:
                raise UserError(f"{where} is not one of HSPACE ({error!r}); fetch it again.") from None
            everyone = cleaned(labels > 0)
            for i, label in zip(kept, person_labels, strict=True):
                box = masks.box_of(cleaned((labels > 0) & ((labels == label) | (labels == label - 1))))
                if box is None or min(box[2:]) < MIN_SIDE_PX:
                    output.skip("person too small or hidden")
                    continue
                self.add_crop(
                    output,
                    np.ascontiguousarray(image),
                    split="train",
                    key=f"{record_name}/{frame:08d}_{i:03d}.jpg",
                    camera=camera,
                    coords=poses[i],
                    box=box,
                    seen_box=box,
                    mask=everyone,
                    sequence=record_name,
                    frame=frame,
                    person=i,
                )


def pose_of(features: dict, person: int) -> np.ndarray:
    """[35, 3] mm in the order of the skeleton, camera's frame."""
    raw = np.asarray(features[f"RIGGED_{person}/joints_3d"], np.float64).reshape(len(RAW_JOINTS), 3)
    return raw[ORDER] * MM_PER_M


def camera_of(features: dict) -> CameraParams:
    K = intrinsics(*(float(v) for v in features["camera_intrinsics"]))
    return make_camera(np.eye(3), np.zeros(3), K, world_up=(0, -1, 0))


def decode_labels(data: bytes, where: str) -> np.ndarray:
    """[H, W] labels from an encoded picture of one channel (or of equal ones)."""
    return decode_image(data, where)[..., 0]


def cleaned(mask: np.ndarray) -> np.ndarray:
    """The mask without specks of up to three pixels, grown by two."""
    import cv2

    square = np.ones((4, 4), np.uint8)
    mask = cv2.erode(np.asarray(mask, np.uint8), square)
    return cv2.dilate(mask, square, iterations=2).astype(bool)
