"""The calls of demo scripts for MeTRAbs models, with a model that tensorflow_hub loads from a web address:

python demo_calls.py http://.../my_model.tfhub.tar.gz VIDEO OUT
"""

import json
import sys
import time

import numpy as np
import tensorflow as tf


def main(address, video, _):
    import cv2
    import tensorflow_hub as hub

    def frames_of_video():
        capture = cv2.VideoCapture(video)
        while (frame := capture.read()[1]) is not None:
            yield frame[..., ::-1]

    model = hub.load(address)
    batches = tf.data.Dataset.from_generator(frames_of_video, tf.uint8, [None, None, 3]).batch(8).prefetch(1)
    calls, failed = run_calls(model, next(iter(batches))[:2], "smpl_24", "smpl+head_30")
    people, start = [], time.perf_counter()
    for batch in batches:
        pred = model.detect_poses_batched(batch, skeleton="smpl+head_30", default_fov_degrees=55)
        people.extend(len(boxes) for boxes in pred["boxes"])
    found = {"TensorFlow": tf.__version__, "NumPy": np.__version__, "people": people, "calls": calls, "failed": failed}
    print(json.dumps(found | {"seconds": (time.perf_counter() - start) / len(people)}))


def run_calls(model, frames, skeleton, larger_skeleton):
    """How many calls there are, and what those say that fail.

    Args:
        frames: [2, H, W, 3] uint8 tensor, in which people are found.
        skeleton, larger_skeleton: names.
    """
    calls, failed = demo_calls(model, frames, skeleton, larger_skeleton), {}
    for name, call in calls.items():
        try:
            call()
        except Exception as error:
            failed[name] = f"{type(error).__name__}: {error}"
    return len(calls), failed


def demo_calls(model, frames, skeleton, larger_skeleton):
    """Functions by what they show; each fails where the model is not what such scripts expect."""
    image, n_joints = frames[0], len(model.per_skeleton_joint_names[skeleton].numpy())
    height, width = image.shape[:2]
    camera = np.array([[width, 0, width / 2], [0, width, height / 2], [0, 0, 1]], np.float32)
    level = np.array([[1, 0, 0, 0], [0, 1, 0, 1500], [0, 0, 1, 0], [0, 0, 0, 1]], np.float32)
    found = model.detect_poses(image, skeleton=skeleton, suppress_implausible_poses=False)
    boxes = found["boxes"][:, :4]
    ragged = tf.RaggedTensor.from_row_lengths(tf.concat([boxes, boxes], 0), [len(boxes)] * 2)
    everything = {"detector_threshold": 0.2, "detector_nms_iou_threshold": 0.7, "max_detections": 3}
    everything |= {"detector_flip_aug": True, "suppress_implausible_poses": True}
    everything |= {"internal_batch_size": 128, "antialias_factor": 2, "num_aug": 2, "average_aug": True}
    lens = [0.1, -0.05, 0, 0, 0]

    def names():
        joints = model.per_skeleton_joint_names[skeleton].numpy().astype(str)
        edges = model.per_skeleton_joint_edges[skeleton].numpy()
        assert joints[0].startswith("pelv") and edges.max() < len(joints), joints

    def numpy_of_all():
        pred = model.detect_poses(image, default_fov_degrees=55, skeleton=skeleton)
        pred = tf.nest.map_structure(lambda x: x.numpy(), pred)
        assert pred["boxes"].shape[1] == 5 and pred["poses2d"].shape[1:] == (n_joints, 2), pred

    def ragged_rows():
        pred = model.detect_poses_batched(frames, skeleton=skeleton)
        for frame, its_boxes, poses in zip(frames, pred["boxes"], pred["poses3d"], strict=True):
            assert frame.dtype == tf.uint8 and len(its_boxes.numpy()) == poses.shape[0]

    def ragged_numpy():
        pred = model.detect_poses_batched(frames.numpy(), skeleton=larger_skeleton, default_fov_degrees=55)
        for its_boxes, poses in zip(pred["boxes"].numpy(), pred["poses3d"].numpy(), strict=True):
            assert len(its_boxes) == len(poses)

    def ragged_to_tensor():
        poses = model.estimate_poses_batched(frames, ragged, skeleton=skeleton, num_aug=1)["poses3d"].to_tensor()
        assert poses.shape == (2, len(boxes), n_joints, 3), poses.shape

    def ragged_constant():
        several = tf.ragged.constant([boxes.numpy().tolist(), []], tf.float32, ragged_rank=1, inner_shape=(4,))
        pred = model.estimate_poses_batched(frames, boxes=several, intrinsic_matrix=np.stack([camera] * 2))
        assert pred["poses3d"].row_lengths().numpy().tolist() == [len(boxes), 0]

    def joined_batches():
        pred = model.detect_poses_batched(frames, skeleton=skeleton)
        joined = {key: tf.concat([pred[key], pred[key]], axis=0) for key in pred}
        assert joined["poses3d"].shape[0] == 4

    def all_joints():
        poses = model.estimate_poses(image, boxes, skeleton="", num_aug=1)["poses3d"]
        assert poses.shape[1] == len(model.per_skeleton_joint_names[""].numpy())

    def every_crop():
        poses = model.estimate_poses(image, boxes, num_aug=3, average_aug=False, skeleton=skeleton)["poses3d"]
        assert poses.shape == (len(boxes), 3, n_joints, 3), poses.shape

    def by_position():
        pred = model.detect_poses(image, camera, lens, level, [0, -1, 0], 55, 64, 1, 1, True, skeleton, 0.3, 0.7, 1)
        assert len(pred["poses3d"]) <= 1
        pred = model.estimate_poses(image, boxes, camera, lens, level, [0, -1, 0], 55, 64, 1, 1, True, skeleton)
        assert pred["poses3d"].shape == (len(boxes), n_joints, 3)
        batched = [x[np.newaxis] for x in (camera, np.float32(lens), level)]
        pred = model.detect_poses_batched(frames, *batched, [0, -1, 0], 55, 64, 1, 1, True, skeleton, 0.3, 0.7, 1)
        assert pred["poses3d"].row_lengths().numpy().max() <= 1

    def world():
        cameras = {"intrinsic_matrix": camera, "distortion_coeffs": lens, "num_aug": 1}
        of_camera = model.estimate_poses(image, boxes, **cameras)["poses3d"]
        up = np.array([0, -1, 0], np.float32)
        moved = model.estimate_poses(image, boxes, extrinsic_matrix=level, world_up_vector=up, **cameras)["poses3d"]
        assert np.allclose(of_camera - moved, [0, 1500, 0], atol=2)

    def webcam():
        several = {"intrinsic_matrix": camera[np.newaxis], "extrinsic_matrix": level[np.newaxis]}
        pred = model.detect_poses_batched(frames[:, :, ::-1], skeleton=larger_skeleton, **several, **everything)
        assert pred["boxes"].shape[0] == 2 and set(pred) >= {"boxes", "poses3d", "poses2d"}

    def cameras_of_float64():
        pred = model.detect_poses(image, intrinsic_matrix=camera.astype(np.float64), skeleton=skeleton)
        assert pred["poses3d"].dtype == tf.float32

    def best_person():
        keep = {"detector_threshold": 0.01, "suppress_implausible_poses": False, "max_detections": 1}
        assert len(model.detect_poses(image, skeleton=skeleton, num_aug=4, **keep)["boxes"]) == 1

    def crops():
        size = model.crop_model.input_resolution.numpy()
        cameras = tf.constant([[[1.5 * size, 0, size / 2], [0, 1.5 * size, size / 2], [0, 0, 1]]], tf.float32)
        poses = model.crop_model.predict_multi(tf.zeros([2, size, size, 3], tf.float16), tf.repeat(cameras, 2, axis=0))
        assert poses.shape == (2, len(model.crop_model.joint_names.numpy()), 3)

    own = (names, numpy_of_all, ragged_rows, ragged_numpy, ragged_to_tensor, ragged_constant, joined_batches)
    own += (all_joints, every_crop, by_position, world, webcam, cameras_of_float64, best_person, crops)
    return {call.__name__.replace("_", " "): call for call in own}


if __name__ == "__main__":
    main(*sys.argv[1:])
