"""Images of different sizes in one call."""

import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.inference import detectors
from metrabs_acae.inference.image_list import detect_poses_list, estimate_poses_list
from metrabs_acae.inference.multiperson import PoseEstimator
from tests.inference import fuzzing

rng = np.random.default_rng(0)
IMAGES = [rng.integers(0, 256, (*size, 3), np.uint8) for size in ((60, 80), (90, 70), (60, 80), (1, 1), (60, 80))]
BOXES = [[[10, 5, 30, 50]], [], np.array([[0, 0, 80, 60], [5, 5, 20, 40.0]]), [[-3, -3, 6, 6]], [[20, 10, 30, 40]]]
K = np.array([[70, 0, 40], [0, 70, 30], [0, 0, 1]], np.float32)


def middle(images):
    """A detector that finds one person in the middle."""
    h, w = tf.cast(tf.shape(images)[1], tf.float32), tf.cast(tf.shape(images)[2], tf.float32)
    box = tf.stack([w / 4, h / 4, w / 2, h / 2])
    n = tf.shape(images)[0]
    return tf.tile(box[tf.newaxis, tf.newaxis], [n, 1, 1]), tf.ones([n, 1])


@pytest.fixture(scope="module")
def model():
    return PoseEstimator(
        fuzzing.Network(),
        fuzzing.SKELETON,
        image_size=fuzzing.SIZE,
        output_skeletons={"pair": fuzzing.PAIR},
        detector=detectors.PersonDetector(middle),
    )


def test_each_image_gets_what_it_gets_alone(model):
    cameras = [K, None, K * [[2], [2], [1]], None, None]
    results = estimate_poses_list(model, IMAGES, BOXES, batch_size=2, num_aug=1, intrinsic_matrix=cameras)
    assert [len(r["poses3d"]) for r in results] == [1, 0, 2, 1, 1]
    for image, boxes, camera, result in zip(IMAGES, BOXES, cameras, results, strict=True):
        camera = {} if camera is None else {"intrinsic_matrix": np.asarray(camera, np.float32)}
        alone = model.estimate_poses(
            image, tf.constant(np.array(boxes, np.float32).reshape(-1, 4)), num_aug=1, **camera
        )
        for name, value in alone.items():
            np.testing.assert_allclose(result[name], value, atol=0.02)


def test_detection(model):
    settings = {"num_aug": 1, "suppress_implausible_poses": False, "skeleton": "pair"}
    results = detect_poses_list(model, IMAGES[:3], distortion_coeffs=[0.1, 0, 0, 0, 0], **settings)
    np.testing.assert_allclose(results[1]["boxes"], [[17.5, 22.5, 35, 45, 1]])
    assert [r["poses3d"].shape for r in results] == [(1, 2, 3)] * 3
    assert detect_poses_list(model, [], **settings) == []


@pytest.mark.parametrize(
    "change, message",
    [
        ({"images": [IMAGES[0] / 255.0, *IMAGES[1:]]}, "Image 0 is float64; images must be uint8"),
        ({"images": [*IMAGES[:4], IMAGES[4][..., 0]]}, "Image 4 has shape"),
        ({"boxes": BOXES[:4]}, "boxes for 4"),
        ({"boxes": [*BOXES[:4], [1.0, 2, 3, 4]]}, "The boxes of image 4"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"intrinsic_matrix": np.stack([K] * 4)}, "each of the 5 images"),
        ({"distortion_coeffs": [[0.1], None, [0.1, 0.2], None]}, "each of the 5 images"),
    ],
)
def test_errors_name_the_image(model, change, message):
    arguments = {"images": IMAGES, "boxes": BOXES, **change}
    with pytest.raises(UserError, match=message):
        estimate_poses_list(model, **arguments)


def test_a_model_without_detector():
    with pytest.raises(UserError, match="without a detector"):
        detect_poses_list(object(), IMAGES)
