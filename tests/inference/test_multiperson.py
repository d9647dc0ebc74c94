"""What a caller of `PoseEstimator` relies on: frames, independence of batching, empty results, clear errors."""

import numpy as np
import pytest
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.inference import cameras
from tests.inference import reference

IMAGES = reference.ARRAYS["images"]
BOXES = reference.ARRAYS["boxes0"]
NONE = tf.RaggedTensor.from_row_lengths(tf.zeros([0, 4]), [0, 0])


@pytest.fixture(scope="module")
def estimator():
    return reference.estimator(center_offset_px=-0.5)


def test_one_image_is_a_batch_of_one(estimator):
    single = estimator.estimate_poses(IMAGES[0], BOXES, num_aug=2)
    batched = estimator.estimate_poses_batched(IMAGES, reference.boxes(), num_aug=2)
    for name, value in single.items():
        np.testing.assert_allclose(batched[name][0], value, atol=1e-2)


def test_results_do_not_depend_on_chunks(estimator):
    results = [
        estimator.estimate_poses_batched(IMAGES, reference.boxes(), num_aug=3, internal_batch_size=n)
        for n in (0, 1, 7, 1000)
    ]
    for result in results[1:]:
        np.testing.assert_allclose(result["poses3d"].values, results[0]["poses3d"].values, atol=1e-3)


def test_mean_of_augmentations_and_their_spread(estimator):
    separate = estimator.estimate_poses(IMAGES[0], BOXES, average_aug=False)
    mean = estimator.estimate_poses(IMAGES[0], BOXES)
    np.testing.assert_allclose(np.mean(separate["poses3d"], axis=1), mean["poses3d"], atol=1e-2)
    spread = np.sqrt(np.var(separate["poses3d"], axis=1).sum(-1))
    np.testing.assert_allclose(mean["uncertainty"], spread, rtol=1e-3, atol=1e-2)


def test_world_frame(estimator):
    extrinsics = reference.ARRAYS["extrinsics"][:1].astype(np.float32)
    up = extrinsics[0, :3, :3].T @ np.array([0.0, -1.0, 0.0], np.float32)
    camera = estimator.estimate_poses(IMAGES[0], BOXES, num_aug=1)
    world = estimator.estimate_poses(
        IMAGES[0], BOXES, num_aug=1, extrinsic_matrix=extrinsics, world_up_vector=tf.constant(up)
    )
    back = world["poses3d"].numpy() @ extrinsics[0, :3, :3].T + extrinsics[0, :3, 3]
    np.testing.assert_allclose(back, camera["poses3d"], atol=0.1)
    np.testing.assert_allclose(world["poses2d"], camera["poses2d"], atol=0.05)


def test_poses2d_are_projections(estimator):
    result = estimator.estimate_poses(IMAGES[0], BOXES, num_aug=1, default_fov_degrees=60.0)
    focal = 400 / 2 / np.tan(np.radians(30))
    poses = result["poses3d"].numpy()
    expected = poses[..., :2] / poses[..., 2:] * focal + [199.5, 149.5]
    np.testing.assert_allclose(result["poses2d"], expected, atol=0.05)


@pytest.mark.parametrize("boxes", [[], np.zeros((0, 4), np.float32), np.zeros((0, 5), np.float32)])
def test_no_people(estimator, boxes):
    result = estimator.estimate_poses(IMAGES[0], tf.constant(boxes, tf.float32))
    assert result["poses3d"].shape == (0, 13, 3) and result["poses2d"].shape == (0, 13, 2)


def test_no_people_in_a_batch(estimator):
    result = estimator.estimate_poses_batched(IMAGES, NONE, skeleton="small")
    assert result["poses3d"].row_lengths().numpy().tolist() == [0, 0]
    assert result["poses3d"].values.shape == (0, 5, 3)


def test_per_skeleton_attributes(estimator):
    names = estimator.per_skeleton_joint_names
    assert set(names) == {"", "small"}
    assert names["small"].numpy().tolist() == [b"pelv", b"neck", b"head", b"lwri", b"rwri"]
    assert estimator.per_skeleton_indices["small"].numpy().tolist() == [0, 5, 10, 8, 9]
    assert estimator.per_skeleton_joint_edges[""].shape == (12, 2)
    assert estimator.crop_model.input_resolution.numpy() == reference.SIZE


def test_crop_model(estimator):
    crops, intrinsics = np.zeros((2, 256, 256, 3), np.float16), np.eye(3, dtype=np.float32)[np.newaxis].repeat(2, 0)
    assert estimator.crop_model.predict_multi(crops, intrinsics).shape == (2, 13, 3)


EYE = np.eye(3, dtype=np.float32)
WRONG = {
    "num_aug must be": {"num_aug": 0},
    "internal_batch_size must be": {"internal_batch_size": -1},
    "antialias_factor must be": {"antialias_factor": 0},
    "skeleton must be": {"skeleton": "coco_18"},
    "positive width and height": {"boxes": [[10.0, 10.0, 0.0, 5.0]]},
    "boxes must be finite": {"boxes": [[10.0, np.nan, 5.0, 5.0]]},
    "million": {"boxes": [[10.0, 1e30, 5.0, 5.0]]},
    "four numbers": {"boxes": [[10.0, 10.0, 5.0]]},
    r"shape \[number of people, 4\]": {"boxes": [10.0, 10.0, 5.0, 5.0]},
    "positive focal": {"intrinsic_matrix": np.diag([0.0, 1, 1]).astype(np.float32)},
    "last row": {"intrinsic_matrix": EYE * 0},
    "finite entries": {"intrinsic_matrix": EYE * np.nan},
    "intrinsic_matrix must be invertible": {"intrinsic_matrix": EYE + [[0, 1, 0], [1, 0, 0], [0, 0, 0]]},
    "intrinsic_matrix must have shape": {"intrinsic_matrix": np.ones((3, 3, 3), np.float32)},
    "n at most 12": {"distortion_coeffs": np.zeros(14, np.float32)},
    "rotation matrix": {"extrinsic_matrix": 2 * np.eye(4, dtype=np.float32)},
    "without mirroring": {"extrinsic_matrix": np.diag([-1.0, 1, 1, 1]).astype(np.float32)},
    "focal lengths in pixels": {"intrinsic_matrix": np.array([[1.2, 0, 0.5], [0, 1.2, 0.5], [0, 0, 1]], np.float32)},
    "principal point": {"intrinsic_matrix": np.array([[500.0, 0, 9000], [0, 500, 90], [0, 0, 1]], np.float32)},
    "fold back": {"distortion_coeffs": (-30.0, 0.0, 0.0, 0.0)},
    "shares of the picture": {"boxes": [[0.1, 0.1, 0.5, 0.8]]},
    "overlap the picture": {"boxes": [[-100.0, 10.0, 50.0, 80.0]]},
    "three numbers": {"world_up_vector": (0.0, -1.0)},
    "not zero": {"world_up_vector": (0.0, 0.0, 0.0)},
    "default_fov_degrees": {"default_fov_degrees": 180.0},
    "must be RGB": {"image": np.zeros((8, 8, 4), np.uint8)},
    "image must have shape": {"image": np.zeros((8, 8), np.uint8)},
    "at least one row": {"image": np.zeros((0, 8, 3), np.uint8)},
}


@pytest.mark.parametrize("message", WRONG)
def test_errors_name_the_argument(estimator, message):
    arguments = {"image": IMAGES[0], "boxes": BOXES, "num_aug": 1, **WRONG[message]}
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        estimator.estimate_poses(**arguments)


def test_poses_are_not_multiplied_by_matrix_units():
    """Those may round float32 to TF32, which costs millimetres at four metres."""
    transform = np.random.default_rng(0).dirichlet(np.ones(13), 13).T
    transformed = reference.estimator(joint_transform=transform, transformed_skeleton=reference.SKELETON)
    for method in (transformed.estimate_poses, transformed.estimate_poses_batched):
        graph = method.get_concrete_function().graph.as_graph_def()
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        products = [n for n in nodes if "MatMul" in n.op or n.op == "Einsum"]
        assert products and {tf.as_dtype(n.attr["T"].type) for n in products} == {tf.float64}, products


@pytest.mark.parametrize("shapes", [((2, 5, 4, 3), (2, 5, 3, 3)), ((7, 3, 3), (1, 3, 3)), ((6, 5, 2), (6, 2, 2))])
def test_written_out_products(shapes):
    a, b = (tf.constant(np.random.default_rng(0).normal(0, 1000, s), tf.float32) for s in shapes)
    expected = np.asarray(a, np.float64) @ np.asarray(b, np.float64)
    np.testing.assert_allclose(cameras.product(a, b), expected, rtol=1e-6, atol=1e6 * 3e-7)


def test_rows_of_boxes_must_match_the_images(estimator):
    with pytest.raises(tf.errors.InvalidArgumentError, match="one row for each image"):
        estimator.estimate_poses_batched(IMAGES[:1], reference.boxes())


def test_construction_errors():
    with pytest.raises(UserError, match="rotation_mode"):
        reference.estimator(rotation_mode="sideways")
    with pytest.raises(UserError, match="go together"):
        reference.estimator(joint_transform=np.eye(13))
    with pytest.raises(UserError, match="one length for each"):
        reference.estimator(mean_bone_lengths_mm=np.ones(3))
