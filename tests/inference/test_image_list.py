"""Images of different sizes in one call."""

import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.inference.image_list import detect_poses_list, estimate_poses_list

rng = np.random.default_rng(0)
IMAGES = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((60, 80), (90, 70), (60, 80), (1, 1), (60, 80))]
BOXES = [[[10, 5, 30, 50]], [], np.array([[0, 0, 80, 60], [5, 5, 20, 40.0]]), [[-3, -3, 6, 6]], [[20, 10, 30, 40]]]
K = np.array([[70, 0, 40], [0, 70, 30], [0, 0, 1]], np.float32)


def test_each_image_gets_what_it_gets_alone(loaded_model):
    cameras = [K, None, K * [[2], [2], [1]], None, None]
    results = estimate_poses_list(loaded_model, IMAGES, BOXES, batch_size=2, num_aug=1, intrinsic_matrix=cameras)
    assert [len(r["poses3d"]) for r in results] == [1, 0, 2, 1, 1]
    for image, boxes, camera, result in zip(IMAGES, BOXES, cameras, results, strict=True):
        camera = {} if camera is None else {"intrinsic_matrix": np.asarray(camera, np.float32)}
        boxes = np.array(boxes, np.float32).reshape(-1, 4)
        alone = loaded_model.estimate_poses(image, boxes, num_aug=1, **camera)
        for name, value in alone.items():
            np.testing.assert_allclose(result[name], value, atol=0.02)


def test_detection(loaded_model):
    settings = {"num_aug": 1, "suppress_implausible_poses": False, "skeleton": "h36m_17", "max_detections": 1}
    lens = [0.1, 0, 0, 0, 0]
    results = detect_poses_list(loaded_model, IMAGES[:3], distortion_coeffs=lens, **settings)
    np.testing.assert_allclose(results[1]["boxes"], [[17.5, 22.5, 35, 45, 0.9]])
    assert [r["poses3d"].shape for r in results] == [(1, 17, 3)] * 3
    alone = loaded_model.detect_poses(IMAGES[1], distortion_coeffs=np.array(lens, np.float32), **settings)
    np.testing.assert_allclose(results[1]["poses3d"], alone["poses3d"], atol=0.02)
    assert detect_poses_list(loaded_model, [], **settings) == []


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": [IMAGES[0] / 255.0, *IMAGES[1:]]}, "Image 0 is float64; images must be uint8"),
        ({"images": [*IMAGES[:4], IMAGES[4][..., 0]]}, "Image 4 has shape"),
        ({"boxes": BOXES[:4]}, "boxes for 4"),
        ({"boxes": [*BOXES[:4], [1.0, 2, 3, 4]]}, "The boxes of image 4"),
        ({"boxes": [*BOXES[:4], [[]]]}, "The boxes of image 4"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"intrinsic_matrix": np.stack([K] * 4)}, "each of the 5 images"),
        ({"distortion_coeffs": [[0.1], None, [0.1, 0.2], None]}, "each of the 5 images"),
    ],
)
def test_errors_name_the_image(loaded_model, change, message):
    arguments = {"images": IMAGES, "boxes": BOXES, **change}
    with pytest.raises(UserError, match=message):
        estimate_poses_list(loaded_model, **arguments)


def test_a_model_without_detector():
    with pytest.raises(UserError, match="without a detector"):
        detect_poses_list(object(), IMAGES)
