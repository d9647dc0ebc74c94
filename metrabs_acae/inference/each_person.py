"""People posed each by itself: each with its own upward direction, and through lenses that the model does not know."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from metrabs_acae.data.records import CameraParams
from metrabs_acae.errors import UserError
from metrabs_acae.evaluation.predict import VIEW_SCALE
from metrabs_acae.evaluation.views import person_view, project
from metrabs_acae.inference.image_list import estimate_poses_list
from metrabs_acae.inference.pose_files import Source
from metrabs_acae.numpy_runtime import Estimator as NumpyEstimator

UPWARDS = np.array([0.0, -1.0, 0.0])


def estimate_each(
    model,
    images: Sequence[np.ndarray],
    boxes: Sequence[np.ndarray],
    ups: Sequence[np.ndarray],
    source: Source,
    **settings,
) -> list[dict[str, np.ndarray]]:
    """As `estimate_poses_list`, of one person in each image, in the frame of the camera of `source`.

    Through a lens that the model cannot take into account (fisheye), a person is seen in a view without a lens.

    Args:
        boxes: [4] each. ups: [3] each, what is upwards in the crop, in the camera frame.
    """
    views = [_view(*each, source, model) for each in zip(images, boxes, ups, strict=True)]
    # A call takes one upward direction, but a rotation for each image: the world is turned instead.
    turns = [Rotation.align_vectors([up / np.linalg.norm(up)], [UPWARDS])[0].as_matrix() for up in ups]
    extrinsics = np.tile(np.eye(4, dtype=np.float32), (len(views), 1, 1))
    extrinsics[:, :3, :3] = [camera.R @ turn for (_, _, camera), turn in zip(views, turns, strict=True)]
    results = estimate_poses_list(
        model,
        [image for image, _, _ in views],
        [box[np.newaxis] for _, box, _ in views],
        intrinsic_matrix=np.stack([camera.K for _, _, camera in views]).astype(np.float32),
        distortion_coeffs=np.stack([camera.lens.estimator_coefficients for _, _, camera in views]),
        extrinsic_matrix=extrinsics,
        world_up_vector=np.float32(UPWARDS),
        **settings,
    )
    for result, turn in zip(results, turns, strict=True):
        result["poses3d"] = result["poses3d"] @ turn.T.astype(np.float32)
        if source.lens.estimator_coefficients is None:
            result["poses2d"] = project(result["poses3d"], source.camera).astype(np.float32)
    return results


def _view(image, box, up, source: Source, model) -> tuple[np.ndarray, np.ndarray, CameraParams]:
    """A picture that the model can take, the person's box in it, and its camera."""
    camera = dataclasses.replace(source.camera, world_up=up)
    if source.lens.estimator_coefficients is not None:
        return image, box, camera
    size = model.image_size if isinstance(model, NumpyEstimator) else int(model.crop_model.input_resolution)
    try:
        view = person_view(image, camera, box, VIEW_SCALE * size)
    except ValueError as error:
        raise UserError(f"The box {np.round(box).tolist()} of {source.name} cannot be cropped: {error}.") from None
    return view.image, view.box_ltwh_px, view.camera
