"""`PoseEstimator`: boxes of people in an image to poses, like the SavedModel's method of the same name."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from . import arguments, crop_views, reconstruction, resampling
from .detection import Detector, Estimator
from .networks import FORMATS, load_network, run_in_batches

DESCRIPTION_FILE = "crop_model.json"
MATRICES_FILE = "matrices.npz"


class PoseEstimator(Estimator):
    """The exported crop model with everything around it.

    Args:
        folder: that `--export --crop-formats` wrote (`crop_model/` in the model).
        runtime: "onnx" or "litert".
        threads: of the runtime; None: its own choice.
        detector: for `detect_poses`; None: boxes must be given.
    """

    def __init__(self, folder, runtime: str = "onnx", *, threads: int | None = None, detector: Detector | None = None):
        folder = Path(folder)
        description = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8-sig"))
        self.description = description
        self.skeletons = description["skeletons"]
        self.joint_names = self.skeletons[""]["joint_names"]
        self.image_size = description["image_size"]
        self._mirror = np.array(description["mirror"])
        # Files of earlier versions do not say how far augmentation goes.
        self._ranges = crop_views.AugmentationRanges(**description.get("augmentation_ranges", {}))
        matrices = dict(np.load(folder / MATRICES_FILE)) if (folder / MATRICES_FILE).exists() else {}
        self._decoder, self._joint_transform = matrices.get("decoder"), matrices.get("joint_transform")
        self.detector = detector
        self._network = load_network(folder / FORMATS.get(runtime, ""), runtime, threads=threads)

    def estimate_poses(
        self,
        image,
        boxes,
        intrinsic_matrix=None,
        distortion_coeffs=(0.0,) * 5,
        extrinsic_matrix=None,
        world_up_vector=(0.0, -1.0, 0.0),
        default_fov_degrees: float = 55.0,
        antialias_factor: int = 1,
        num_aug: int = 5,
        average_aug: bool = True,
        skeleton: str = "",
        *,
        mix_3d_inside_fov: float | None = None,
        weak_perspective: bool | None = None,
        absolute: bool = True,
    ) -> dict[str, np.ndarray]:
        """Poses of the people in `boxes` [P, 4] (left, top, width, height, px) of one RGB image [H, W, 3] uint8.

        Args:
            intrinsic_matrix: [3, 3]; None: a camera that sees `default_fov_degrees` along the larger side.
            distortion_coeffs: of OpenCV's Brown-Conrady model, up to 12.
            extrinsic_matrix: [4, 4], world to camera, mm; None: the identity.
            num_aug: crops per person, averaged with `average_aug`. skeleton: "" for all joints.
            mix_3d_inside_fov, weak_perspective: of the reconstruction; None: as exported.
            absolute: False: only the 3D head's poses, their mean joint in the origin, turned into the camera's axes.

        Returns:
            poses3d [P, J, 3] mm in the world frame, uncertainty [P, J] mm (the error to expect or, of models without
            an error map, the spread over the crops), entropy [P, J] in 0..1 (if the network tells), and, if absolute,
            poses2d [P, J, 2] px. Without `average_aug` poses are [P, A, J, ...].
        """
        image = arguments.image(image)
        size_wh = (image.shape[1], image.shape[0])
        boxes = arguments.boxes(boxes, size_wh)
        offset = self.description["center_offset_px"]
        camera = arguments.camera(
            size_wh,
            intrinsic_matrix,
            distortion_coeffs,
            extrinsic_matrix,
            world_up_vector,
            default_fov_degrees,
            offset,
        )
        num_aug = arguments.count("num_aug", num_aug, 1000)
        antialias_factor = arguments.count("antialias_factor", antialias_factor, 64)
        joints = self.places_of(skeleton)

        crops = [
            crop_views.crop_cameras(
                box,
                camera.intrinsics,
                camera.distortion,
                camera.up,
                size=self.image_size,
                num_aug=num_aug,
                rotation_mode=self.description["rotation_mode"],
                ranges=self._ranges,
                center_offset_px=offset,
            )
            for box in boxes
        ]
        flat = [crop for of_person in crops for crop in of_person]
        values = self._predict(image, camera, flat, antialias_factor, absolute, mix_3d_inside_fov, weak_perspective)
        shape = (len(boxes), num_aug, len(joints))
        values = {name: v[:, joints].reshape(*shape, *v.shape[2:]) for name, v in values.items()}
        poses = values["poses3d"]
        poses2d = crop_views.project(poses, camera.intrinsics, camera.distortion)
        entropy = values["entropy"].mean(1) if "entropy" in values else None
        error_map = self.description.get("error_map")
        if entropy is not None and error_map:
            levels, slopes, centers = (np.array(error_map[k])[joints] for k in ("levels_mm", "slopes", "centers"))
            uncertainty = levels * np.exp(slopes * (entropy - centers))
        else:
            uncertainty = np.sqrt(poses.var(1).sum(-1))
        poses = camera.to_world(poses, absolute=absolute)
        mean = (lambda x: x.mean(1)) if average_aug else (lambda x: x)
        result = {"poses3d": mean(poses), "uncertainty": uncertainty}
        if absolute:
            result["poses2d"] = mean(poses2d)
        if entropy is not None:
            result["entropy"] = entropy
        return {name: value.astype(np.float32) for name, value in result.items()}

    def _predict(self, image, camera, crops, antialias_factor, absolute, mix, weak_perspective):
        """Of each crop: poses3d [C, J, 3] in the image's camera frame, and entropy [C, J] if the network tells."""
        n_joints = len(self.joint_names)
        has_entropy = "entropy" in self.description["outputs"]
        if not crops:
            empty = {"poses3d": np.zeros((0, n_joints, 3))}
            return {**empty, "entropy": np.zeros((0, n_joints))} if has_entropy else empty
        pyramid = resampling.Pyramid(image)
        inputs = {
            "image": np.stack(
                [
                    resampling.render_crop(
                        pyramid,
                        camera.intrinsics,
                        camera.distortion,
                        c,
                        size=self.image_size,
                        antialias_factor=antialias_factor,
                    )
                    for c in crops
                ]
            ),
            "intrinsics": np.stack([c.intrinsics for c in crops]).astype(np.float32),
        }
        outputs = run_in_batches(self._network, inputs, self.description["batch_size"])
        poses = self.poses_of(outputs, inputs["intrinsics"], absolute, mix, weak_perspective)
        mirrored = np.array([c.is_mirrored for c in crops])[:, None]
        poses = np.where(mirrored[..., None], poses[:, self._mirror], poses)
        poses = poses @ np.stack([c.rotation for c in crops])
        values = {"poses3d": poses}
        if has_entropy:
            values["entropy"] = np.where(mirrored, outputs["entropy"][:, self._mirror], outputs["entropy"])
        if self._joint_transform is not None:
            shares = np.abs(self._joint_transform) / np.abs(self._joint_transform).sum(0)
            values["poses3d"] = reconstruction.combine(poses, self._joint_transform)
            if has_entropy:
                values["entropy"] = values["entropy"] @ shares
        return values

    def poses_of(self, outputs: dict, intrinsics, absolute=True, mix=None, weak_perspective=None) -> np.ndarray:
        """The network's outputs to poses [C, J, 3] in the crops' frames: the heads' points reconstructed and decoded.

        A network without heads gives its own poses.
        """
        if "coords3d_rel_mm" not in outputs:
            if not absolute or mix is not None or weak_perspective is not None:
                raise ValueError("This network gives absolute poses only; it has no heads to reconstruct them from.")
            return outputs["coords3d_mm"].astype(np.float64)
        of_export = self.description["reconstruction"]
        if absolute:
            grid = reconstruction.Grid(self.image_size, of_export["stride"], of_export["centered_stride"])
            points = reconstruction.reconstruct_absolute(
                outputs["coords2d_px"],
                outputs["coords3d_rel_mm"],
                intrinsics,
                grid,
                mix_3d_inside_fov=of_export["mix_3d_inside_fov"] if mix is None else mix,
                weak_perspective=of_export["weak_perspective"] if weak_perspective is None else weak_perspective,
            )
        else:
            points = outputs["coords3d_rel_mm"].astype(np.float64)
        poses = points if self._decoder is None else reconstruction.combine(points, self._decoder)
        return poses if absolute else poses - poses.mean(1, keepdims=True)
