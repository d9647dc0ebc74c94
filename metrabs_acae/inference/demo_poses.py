"""The model of a demo, from NumPy to NumPy, and what is written of any input: drawings and files of poses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metrabs_acae.errors import UserError
from metrabs_acae.inference import demo_inputs
from metrabs_acae.inference.demo_cameras import DemoCameras
from metrabs_acae.inference.demo_inputs import DemoInput
from metrabs_acae.inference.demo_settings import Demo
from metrabs_acae.inference.exif import Focal
from metrabs_acae.inference.pose_files import People, PoseLog, Source, write_json, write_poses_npz

RESULT_SUFFIXES = (".overlay.png", ".views.png", ".overlay.mp4", ".json", ".npz", ".html")
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


def choose_skeleton(model, name: str) -> str:
    """`name` if the model has it; for "" the first usual skeleton that it has, else all joints."""
    known = list(model.per_skeleton_joint_names)
    if name and name not in known:
        raise UserError(f"The model has no skeleton '{name}'; it has: {', '.join(n for n in known if n)}.")
    if name:
        return name
    usual = [n for n in PREFERRED_SKELETONS if n in known]
    return (usual or [n for n in known if n] or [""])[0]


class Estimator:
    """The loaded model with the settings of a demo, from NumPy to NumPy.

    Attributes:
        skeleton, joint_names, edges: of the poses.
    """

    def __init__(self, model, cameras: DemoCameras, settings: Demo):
        self._model, self._cameras, self._settings = model, cameras, settings
        self.skeleton = choose_skeleton(model, settings.skeleton)
        self.joint_names = tuple(n.decode() for n in model.per_skeleton_joint_names[self.skeleton].numpy())
        self.edges = tuple((int(a), int(b)) for a, b in model.per_skeleton_joint_edges[self.skeleton].numpy())

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
        import tensorflow as tf

        common = {
            "skeleton": self.skeleton,
            "num_aug": self._settings.num_aug or 1,
            "intrinsic_matrix": np.asarray(source.intrinsic_matrix, np.float32)[np.newaxis],
            "distortion_coeffs": source.lens.estimator_coefficients[np.newaxis],
        }
        if boxes is None:
            result = self._model.detect_poses_batched(
                np.stack(images),
                detector_threshold=self._settings.detector_threshold,
                detector_nms_iou_threshold=self._settings.detector_nms_iou_threshold,
                suppress_implausible_poses=self._settings.suppress_implausible_poses,
                **common,
            )
        else:
            boxes = [demo_inputs.boxes_in_picture(b, i.shape[1::-1]) for b, i in zip(boxes, images, strict=True)]
            ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(boxes), [len(b) for b in boxes])
            result = dict(self._model.estimate_poses_batched(np.stack(images), ragged, **common))
            result["boxes"] = ragged
        rows = {name: result[name].values.numpy() for name in ("boxes", "poses3d", "poses2d", "uncertainty")}
        unknown = np.full(rows["uncertainty"].shape, np.nan, np.float32)
        rows["entropy"] = result["entropy"].values.numpy() if "entropy" in result else unknown
        starts = np.concatenate([[0], np.cumsum(result["poses3d"].row_lengths().numpy())])
        return [
            People(
                person=np.arange(b - a, dtype=np.int32),
                boxes=rows["boxes"][a:b, :4],
                scores=rows["boxes"][a:b, 4] if boxes is None else np.full(b - a, np.nan, np.float32),
                poses3d=rows["poses3d"][a:b],
                poses2d=rows["poses2d"][a:b],
                uncertainty=rows["uncertainty"][a:b],
                entropy=rows["entropy"][a:b],
            )
            for a, b in zip(starts[:-1], starts[1:], strict=True)
        ]


def draw_people(image: np.ndarray, people: People, source: Source) -> np.ndarray:
    """A copy of the image with boxes and poses; colours and, if tracked, labels are those of the people's numbers."""
    from metrabs_acae.visualization import overlay

    colors = [overlay.number_color(n) for n in people.person]
    labels = [
        (f"{n} " if source.tracked else "") + ("" if np.isnan(score) else f"{score:.2f}")
        for n, score in zip(people.person, people.scores, strict=True)
    ]
    drawn = overlay.draw_boxes(image, people.boxes, colors=colors, labels=labels)
    for pose, color in zip(people.poses2d, colors, strict=True):
        drawn = overlay.draw_pose_2d(drawn, pose, source.edges, color=color)
    return drawn


def write_pose_files(stem: Path, poses: PoseLog, settings: Demo, *, picture: str) -> list[Path]:
    """JSON, NPZ and 3D view, as far as `settings.outputs` asks for them; gives their paths."""
    from metrabs_acae.inference.viewer import write_viewer

    writers = {
        "json": (".json", write_json),
        "npz": (".npz", write_poses_npz),
        "viewer": (".html", lambda path, poses: write_viewer(path, poses, picture=picture)),
    }
    files = []
    for name in settings.outputs:
        if name in writers:
            suffix, write = writers[name]
            files.append(stem.with_name(stem.name + suffix))
            write(files[-1], poses)
    return files
