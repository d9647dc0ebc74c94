"""Runs an exported pose estimator over BML-MoVi's phone videos, for `bml_movi_phones` to calibrate them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from more_itertools import chunked

from data_processing.datasets.bml_movi import PHONE_K
from data_processing.datasets.bml_movi_phones import JOINTS
from data_processing.detection import open_detector
from data_processing.video import read_frames, video_info
from metrabs_acae.errors import UserError
from metrabs_acae.joint_names import base_and_convention
from metrabs_acae.skeletons import get_skeleton

PHONE_SIZE = (1920, 1080)
JOINT_NAMES = get_skeleton("bmlmovi").joint_names[JOINTS]


class VideoPredictor:
    """A function of a video and its key -> poses3d [F, 20, 3] mm (camera frame) and poses2d [F, 20, 2] px.

    The actor is the person of the best score; frames without anyone are NaN. Memory does not grow with the video's
    length, save for the poses.

    Args:
        model: folder of the exported SavedModel.
        detector: see `detection.open_detector`; "none" for the model's own.
        skeleton: of the model; "" for all its joints.
        batch: frames at a time.
    """

    def __init__(self, model, *, detector: str = "none", skeleton: str = "", batch: int = 8):
        from metrabs_acae.inference.demo_poses import choose_skeleton, load_saved_model

        self._model, self._batch = load_saved_model(model), batch
        self._skeleton = choose_skeleton(self._model, skeleton) if skeleton else ""
        self._detect = None if detector == "none" else open_detector(detector)
        if self._detect is None and not hasattr(self._model, "detect_poses"):
            raise UserError(f"{model} was exported without a detector; say --detector (json:FILE, ssdlite, ...).")
        names = [n.decode() for n in self._model.per_skeleton_joint_names[self._skeleton].numpy()]
        wanted = JOINT_NAMES
        if self._skeleton:  # its joints may be shown without their convention
            names, wanted = ([base_and_convention(n)[0] for n in some] for some in (names, wanted))
        missing = [n for n in wanted if n not in names]
        if missing:
            raise UserError(f"{model} does not predict {', '.join(missing)}; MoVi's phones need all its 20 joints.")
        self._joints = np.array([names.index(n) for n in wanted])

    def __call__(self, video, key: str = "") -> tuple[np.ndarray, np.ndarray]:
        size = video_info(video).size_wh
        if size != PHONE_SIZE:
            raise UserError(f"{video} is {size[0]} x {size[1]}; the phones' known focal length holds for 1920 x 1080.")
        poses3d, poses2d = [], []
        for frames in chunked(read_frames(Path(video)), self._batch):
            for pose in self._poses(frames, key):
                poses3d.append(pose[:, :3])
                poses2d.append(pose[:, 3:])
        if not poses3d:
            raise UserError(f"{video} has no frame; fetch it again.")
        return np.stack(poses3d), np.stack(poses2d)

    def _poses(self, frames: list[tuple[int, np.ndarray]], key: str) -> np.ndarray:
        """[B, 20, 5] 3D and 2D joints of the actor in each frame."""
        import tensorflow as tf

        images = np.stack([image for _, image in frames])
        common = {"intrinsic_matrix": PHONE_K[None].astype(np.float32), "num_aug": 1, "skeleton": self._skeleton}
        if self._detect is None:
            found = self._model.detect_poses_batched(images, suppress_implausible_poses=False, **common)
            scores = [row[:, 4] for row in _rows(found["boxes"])]
        else:
            tables = [self._detect(image, f"{key}/{index:06d}") for index, image in frames]
            tables = [t[[np.argmax(t[:, 4])]] if len(t) else t for t in tables]
            boxes = tf.RaggedTensor.from_row_lengths(
                np.concatenate([t[:, :4] for t in tables]).astype(np.float32), [len(t) for t in tables]
            )
            found = self._model.estimate_poses_batched(images, boxes, **common)
            scores = [t[:, 4] for t in tables]
        result = np.full((len(frames), len(JOINT_NAMES), 5), np.nan)
        people = zip(scores, _rows(found["poses3d"]), _rows(found["poses2d"]), strict=True)
        for i, (score, poses3d, poses2d) in enumerate(people):
            if len(score):
                best = int(np.argmax(score))
                result[i] = np.concatenate([poses3d[best, self._joints], poses2d[best, self._joints]], axis=-1)
        return result


def _rows(ragged) -> list[np.ndarray]:
    """A ragged tensor [B, (P), ...] as one array for each image."""
    return np.split(ragged.values.numpy(), np.cumsum(ragged.row_lengths().numpy())[:-1])
