"""The ways in which published programs for MeTRAbs models call them: such programs run unchanged."""

import tarfile

import cv2
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.clients.demo_calls import run_calls
from metrabs_acae.inference import export
from tests.inference.fuzzing import SKELETON

NAME = "h36m_17"
FRAMES = np.random.default_rng(0).integers(0, 256, (3, 90, 120, 3), np.uint8)
INTRINSICS = np.array([[120, 0, 59.5], [0, 120, 44.5], [0, 0, 1]], np.float32)


def test_the_calls_of_demo_scripts(loaded_model):
    """Those that `python -m benchmarks.clients` makes with the model in the box, in other versions of TensorFlow."""
    assert run_calls(loaded_model, tf.constant(FRAMES[:2]), NAME, "h36m_25") == (15, {})


def test_a_photograph_and_plain_arrays_of_it(loaded_model, tmp_path):
    cv2.imwrite(str(tmp_path / "photo.jpg"), FRAMES[0, ..., ::-1])
    image = tf.image.decode_jpeg(tf.io.read_file(str(tmp_path / "photo.jpg")))
    pred = loaded_model.detect_poses(image, default_fov_degrees=55, skeleton=NAME)
    pred = tf.nest.map_structure(lambda x: x.numpy(), pred)
    names = loaded_model.per_skeleton_joint_names[NAME].numpy().astype(str)
    edges = loaded_model.per_skeleton_joint_edges[NAME].numpy()
    assert names[0] == "pelv" and edges.shape == (16, 2)
    assert len(loaded_model.joint_names.numpy()) == SKELETON.n_joints and loaded_model.joint_edges.shape[1] == 2
    assert pred["boxes"].shape[1] == 5 and pred["poses3d"].shape[1:] == (17, 3) and pred["poses2d"].shape[1:] == (17, 2)


@pytest.mark.parametrize("intrinsics", [INTRINSICS, INTRINSICS[np.newaxis], INTRINSICS.astype(np.float64)])
def test_boxes_and_cameras_by_position_and_by_name(loaded_model, intrinsics):
    boxes = tf.constant([[20, 10, 60, 70]], tf.float32)
    named = loaded_model.estimate_poses(FRAMES[0], boxes=boxes, intrinsic_matrix=intrinsics, skeleton=NAME, num_aug=1)
    for given in (boxes, [[20, 10, 60, 70]], np.array([[20, 10, 60, 70.0]])):
        pred = loaded_model.estimate_poses(FRAMES[0], given, intrinsics, num_aug=1, skeleton=NAME)
        np.testing.assert_allclose(pred["poses3d"], named["poses3d"], atol=1e-2)


def test_all_arguments_by_position(loaded_model):
    """In the order of the public models, in which a camera comes second and the detector's settings come last."""
    camera = {
        "intrinsic_matrix": INTRINSICS,
        "distortion_coeffs": np.float32([0.1, 0, 0, 0, 0]),
        "extrinsic_matrix": np.diag(np.float32([-1, 1, -1, 1])),
    }
    settings = {"world_up_vector": [0.1, -1, 0], "default_fov_degrees": 60, "internal_batch_size": 4}
    settings |= {"antialias_factor": 2, "num_aug": 2, "average_aug": False, "skeleton": NAME}
    detection = {"detector_threshold": 0.01, "detector_nms_iou_threshold": 0.9, "max_detections": 1}
    detection |= {"detector_flip_aug": True, "suppress_implausible_poses": False}
    batched = {name: value[np.newaxis] for name, value in camera.items()}
    boxes = tf.constant([[20, 10, 60, 70]], tf.float32)
    for method, given, cameras, more in [
        (loaded_model.detect_poses, (FRAMES[0],), camera, detection),
        (loaded_model.detect_poses_batched, (FRAMES[:1],), batched, detection),
        (loaded_model.estimate_poses, (FRAMES[0], boxes), camera, {}),
        (loaded_model.estimate_poses_batched, (FRAMES[:1], tf.RaggedTensor.from_tensor(boxes[None])), batched, {}),
    ]:
        by_name = cameras | settings | more
        found, named = (
            {name: getattr(value, "flat_values", value).numpy() for name, value in result.items()}
            for result in (method(*given, *by_name.values()), method(*given, **by_name))
        )
        assert found["poses3d"].shape == (1, 2, 17, 3) and (found["poses3d"][..., 2] < 0).all()  # turned about
        for name, value in found.items():
            np.testing.assert_array_equal(value, named[name])


def test_a_video_in_batches(loaded_model):
    batches = tf.data.Dataset.from_generator(lambda: iter(FRAMES), tf.uint8, [None, None, 3]).batch(2).prefetch(1)
    accumulated, seen = None, 0
    for frames in batches:
        pred = loaded_model.detect_poses_batched(frames, intrinsic_matrix=INTRINSICS[tf.newaxis], skeleton=NAME)
        for _, boxes, poses3d in zip(frames, pred["boxes"], pred["poses3d"], strict=True):
            assert len(boxes) == len(poses3d.numpy()) and boxes.numpy().shape[1] == 5
        for boxes, poses3d in zip(pred["boxes"].numpy(), pred["poses3d"].numpy(), strict=True):
            assert len(boxes) == len(poses3d)
            seen += len(boxes)
        joined = {k: tf.concat([accumulated[k], pred[k]], axis=0) for k in pred} if accumulated else dict(pred)
        accumulated = joined
    assert accumulated["poses3d"].shape[0] == 3 and seen == len(accumulated["boxes"].values) > 0
    arrays = loaded_model.detect_poses_batched(FRAMES[:2], default_fov_degrees=55, skeleton=NAME)
    assert arrays["poses2d"][0].numpy().shape[1:] == (17, 2)
    few = loaded_model.detect_poses_batched(
        FRAMES, detector_threshold=0.01, suppress_implausible_poses=False, max_detections=2, skeleton=NAME
    )
    assert all(len(boxes) <= 2 for boxes in few["boxes"])


def test_boxes_of_several_pictures(loaded_model):
    boxes = tf.ragged.constant(
        [[[0, 6, 37, 80], [52, 7, 47, 81]], [], [[5, 5, 60, 80]]], tf.float32, ragged_rank=1, inner_shape=(4,)
    )
    cameras = np.stack([INTRINSICS] * 3)
    pred = loaded_model.estimate_poses_batched(FRAMES, boxes=boxes, intrinsic_matrix=cameras, num_aug=2)
    assert pred["poses3d"].row_lengths().numpy().tolist() == [2, 0, 1]
    single = loaded_model.estimate_poses(FRAMES[2], boxes[2], INTRINSICS, num_aug=2)
    np.testing.assert_allclose(pred["poses3d"][2], single["poses3d"], atol=1e-2)


def test_the_bare_network(loaded_model):
    size = loaded_model.crop_model.input_resolution.numpy()
    crops = tf.zeros([4, size, size, 3], tf.float16)
    intrinsics = tf.repeat(tf.constant([[[50.0, 0, 16], [0, 50, 16], [0, 0, 1]]]), 4, axis=0)
    assert loaded_model.crop_model.predict_multi(crops, intrinsics).shape == (4, SKELETON.n_joints, 3)


@pytest.mark.parametrize("inside", [None, ""])
def test_an_archive(exported_model, tmp_path, inside):
    """Unpacked by hand it is a folder; as tensorflow_hub unpacks it, the model lies at the top."""
    (tmp_path / "model").symlink_to(exported_model)
    with tarfile.open(export.write_archive(tmp_path / "model", inside=inside)) as archive:
        archive.extractall(tmp_path / "unpacked", filter="data")
    model = tf.saved_model.load(str(tmp_path / "unpacked" / ("model" if inside is None else "")))
    assert len(model.estimate_poses(FRAMES[0], [[20, 10, 60, 70]], num_aug=1)["poses3d"]) == 1
