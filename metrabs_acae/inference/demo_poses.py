"""The model of a demo, from NumPy to NumPy, and what is written of any input: drawings and files of poses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.data.lens import Lens
from metrabs_acae.errors import UserError
from metrabs_acae.inference import demo_inputs, motion_files
from metrabs_acae.inference.demo_inputs import DemoInput
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.each_person import estimate_each
from metrabs_acae.inference.exif import Focal
from metrabs_acae.inference.image_list import detect_poses_list, estimate_poses_list, has_detector
from metrabs_acae.inference.pose_files import (
    PEOPLE_FIELDS,
    People,
    PoseLog,
    Source,
    nobody,
    write_json,
    write_poses_npz,
)
from metrabs_acae.numpy_runtime import Estimator as NumpyEstimator

RESULT_SUFFIXES = (
    *(".overlay.png", ".views.png", ".overlay.mp4", ".json", ".npz", ".html", ".glb", ".csv"),
    *(".1.bvh", ".1.trc"),  # stand for everybody's, see `own_files.of_first_person`
)
PREFERRED_SKELETONS = ("smpl+head_30", "h36m_17", "h36m_25", "smpl_24")


@dataclass(frozen=True)
class DemoResult:
    """What came of one input: its name, its frames (a photograph: 1), people summed over frames, the files written."""

    name: str
    n_frames: int
    n_people: int
    files: tuple[Path, ...]


def load_saved_model(path):
    """The exported model; UserError if the folder holds none."""
    import tensorflow as tf

    if not (Path(path) / "saved_model.pb").exists():
        raise UserError(f"{path} is not an exported model: it has no saved_model.pb; write one with --export.")
    return tf.saved_model.load(str(path))


def require_detector(model, path) -> None:
    """UserError if the model does not find people by itself."""
    if not has_detector(model):
        raise UserError(f"{path} has no detector; give the people's boxes with --boxes LEFT,TOP,WIDTH,HEIGHT[;...].")


def skeletons_of(model) -> list[str]:
    """Names of the skeletons of a SavedModel or `PoseEstimator`, also one of `numpy_runtime`."""
    return list(model.skeletons if isinstance(model, NumpyEstimator) else model.per_skeleton_joint_names)


def joints_of(model, skeleton: str) -> tuple[tuple[str, ...], tuple[tuple[int, int], ...]]:
    """(joint names, edges) of a model's skeleton."""
    if isinstance(model, NumpyEstimator):
        names, edges = (model.skeletons[skeleton][key] for key in ("joint_names", "edges"))
    else:
        names = [n.decode() for n in model.per_skeleton_joint_names[skeleton].numpy()]
        edges = model.per_skeleton_joint_edges[skeleton].numpy()
    return tuple(names), tuple((int(a), int(b)) for a, b in edges)


def choose_skeleton(model, name: str) -> str:
    """`name` if the model has it; for "" the first usual skeleton that it has, else all joints."""
    known = skeletons_of(model)
    if name and name not in known:
        raise UserError(f"The model has no skeleton '{name}'; it has: {', '.join(n for n in known if n)}.")
    if name:
        return name
    usual = [n for n in PREFERRED_SKELETONS if n in known]
    return (usual or [n for n in known if n] or [""])[0]


class Estimator:
    """The loaded model with the settings of a demo, from NumPy to NumPy.

    Args:
        cameras: says which camera took a picture, see `DemoCameras`.

    Attributes:
        skeleton, joint_names, edges: of the poses.
    """

    def __init__(self, model, cameras: Callable[..., tuple[np.ndarray, Lens, str]], settings: Demo):
        self._model, self._cameras, self._settings = model, cameras, settings
        self.skeleton = choose_skeleton(model, settings.skeleton)
        self.joint_names, self.edges = joints_of(model, self.skeleton)

    def source(
        self, item: DemoInput, image: np.ndarray, *, detected: bool, tracked: bool, focal: Focal | None = None
    ) -> Source:
        """What is the same for all pictures of an input that begins with `image`; `focal`: what it says itself."""
        size_wh = (image.shape[1], image.shape[0])
        camera, lens, origin = self._cameras(item, size_wh, focal)
        name = {"webcam": f"webcam {item.path}", "image": item.name, "video": item.name}[item.kind]
        skeleton = (self.skeleton, self.joint_names, self.edges)
        return Source(name, size_wh, camera, *skeleton, tracked, detected, lens, origin)

    def __call__(self, images: Sequence[np.ndarray], boxes: Sequence | None, source: Source) -> list[People]:
        """The people, numbered from 0, of each of some images of equal size.

        Args:
            images: [H, W, 3] each, taken by the camera of `source`.
            boxes: [P, 4] for each, left out where outside of it; None: the detector finds them.
        """
        if boxes is not None:
            boxes = [demo_inputs.boxes_in_picture(b, i.shape[1::-1]) for b, i in zip(boxes, images, strict=True)]
        if source.lens.estimator_coefficients is None:
            return self._through_lens(images, boxes, source)
        common = {
            "batch_size": max(len(images), 1),
            "intrinsic_matrix": source.intrinsic_matrix,
            "distortion_coeffs": source.lens.estimator_coefficients,
            "world_up_vector": np.asarray(source.up, np.float32),
            **self._common(),
        }
        if boxes is None:
            results = self._detect(images, **common)
        else:
            results = estimate_poses_list(self._model, images, boxes, **common)
            results = [{"boxes": b, **result} for b, result in zip(boxes, results, strict=True)]
        return [_people(result) for result in results]

    def turned(
        self, images: Sequence[np.ndarray], boxes: Sequence[np.ndarray], ups: Sequence[np.ndarray], source: Source
    ) -> list[People]:
        """One person in each image, in a crop that is turned so that a direction points upwards.

        Args:
            boxes: [4] each, in the image. ups: [3] each, in the camera frame.
        """
        if not images:
            return []
        results = estimate_each(self._model, images, boxes, ups, source, **self._common())
        return [_people({"boxes": box[np.newaxis], **r}) for box, r in zip(boxes, results, strict=True)]

    def _through_lens(self, images: Sequence[np.ndarray], boxes: Sequence | None, source: Source) -> list[People]:
        """The detector looks at the pictures as they are; each person is then posed in a view without the lens."""
        if boxes is None:
            boxes = [r["boxes"] for r in self._detect(images, **self._common() | {"num_aug": 1})]
        people = []
        for image, of_image in zip(images, boxes, strict=True):
            n = len(of_image)
            found = self.turned([image] * n, list(of_image[:, :4]), [np.asarray(source.up, np.float64)] * n, source)
            joined = {name: np.concatenate([getattr(p, name) for p in found]) for name in PEOPLE_FIELDS if found}
            joined |= {"person": np.arange(n, dtype=np.int32)} if found else {}
            if of_image.shape[1] > 4:
                joined["scores"] = of_image[:, 4]
            people.append(dataclasses.replace(nobody(len(self.joint_names)), **joined))
        return people

    def _detect(self, images: Sequence[np.ndarray], **settings) -> list[dict[str, np.ndarray]]:
        return detect_poses_list(
            self._model,
            images,
            detector_threshold=self._settings.detector_threshold,
            detector_nms_iou_threshold=self._settings.detector_nms_iou_threshold,
            suppress_implausible_poses=self._settings.suppress_implausible_poses,
            **settings,
        )

    def _common(self) -> dict:
        return {"skeleton": self.skeleton, "num_aug": self._settings.num_aug or 1}


def _people(result: dict[str, np.ndarray]) -> People:
    """What an estimator gave for an image; entropies and scores that it does not know are NaN."""
    boxes, uncertainty = result["boxes"], result["uncertainty"]
    return People(
        person=np.arange(len(boxes), dtype=np.int32),
        boxes=boxes[:, :4],
        scores=boxes[:, 4] if boxes.shape[1] > 4 else np.full(len(boxes), np.nan, np.float32),
        poses3d=result["poses3d"],
        poses2d=result["poses2d"],
        uncertainty=uncertainty,
        entropy=result.get("entropy", np.full_like(uncertainty, np.nan)),
    )


def draw_people(image: np.ndarray, people: People, source: Source) -> np.ndarray:
    """A copy of the image with boxes and poses; colours and, if tracked, labels are those of the people's numbers."""
    return draw_poses(image, people.person, people.poses2d, people.boxes, people.scores, source)


def draw_poses(image: np.ndarray, person, poses2d, boxes, scores, source: Source) -> np.ndarray:
    """As `draw_people`, from arrays [P, ...]; a box that is NaN is left out."""
    from metrabs_acae.visualization import overlay

    colors = [overlay.number_color(n) for n in person]
    labels = [
        (f"{n} " if source.tracked else "") + ("" if np.isnan(score) else f"{score:.2f}")
        for n, score in zip(person, scores, strict=True)
    ]
    known = np.flatnonzero(np.isfinite(boxes).all(axis=1))
    of_known = {"colors": [colors[i] for i in known], "labels": [labels[i] for i in known]}
    drawn = overlay.draw_boxes(image, boxes[known], **of_known)
    for pose, color in zip(poses2d, colors, strict=True):
        overlay.draw_pose_2d(drawn, pose, source.edges, color=color, copy=False)
    return drawn


def write_pose_files(stem: Path, poses: PoseLog, settings: Demo, *, picture: str) -> list[Path]:
    """JSON, NPZ, 3D view and files of motion, as far as `settings.outputs` asks for them; gives their paths."""
    from metrabs_acae.inference.viewer import write_viewer

    motions = motion_files.fit_motions(poses, floor=settings.floor) if motion_files.wanted(settings) else None
    writers = {
        "json": (".json", write_json),
        "npz": (".npz", lambda path, poses: write_poses_npz(path, poses, motions.arrays(poses) if motions else {})),
        "viewer": (".html", lambda path, poses: write_viewer(path, poses, picture=picture)),
    }
    files = []
    for name in settings.outputs:
        if name in writers:
            suffix, write = writers[name]
            files.append(stem.with_name(stem.name + suffix))
            write(files[-1], poses)
    if motions:
        files += motion_files.write_motion_files(stem, motions, settings.outputs)
    return files
