"""poseviz draws the people of a video, without a screen: python poseviz_video.py MODEL VIDEO OUT

The last picture of the video that it writes is one without people, to compare with.
"""

import json
import sys
import time

import cv2
import deltacamera
import numpy as np
import poseviz


def main(model_path, video, out):
    import tensorflow as tf  # here, since Mesa's software renderer crashes in a process that has loaded TensorFlow

    model = tf.saved_model.load(model_path)
    skeleton = "smpl+head_30"
    joint_names = model.per_skeleton_joint_names[skeleton].numpy().astype(str)
    joint_edges = model.per_skeleton_joint_edges[skeleton].numpy()
    batches = tf.data.Dataset.from_generator(lambda: frames_of(video), tf.uint8, [None, None, 3]).batch(8).prefetch(1)
    camera = deltacamera.Camera.from_fov(fov_degrees=55, imshape=next(frames_of(video)).shape[:2])
    people, start = [], time.perf_counter()
    drawing = {"headless": True, "gpu_encode": False, "out_video_path": f"{out}/poseviz.mp4", "out_fps": 10}
    with poseviz.PoseViz(joint_names, joint_edges, **drawing) as viz:
        for batch in batches:
            pred = model.detect_poses_batched(
                batch, intrinsic_matrix=camera.intrinsic_matrix[tf.newaxis], skeleton=skeleton
            )
            for frame, boxes, poses in zip(batch.numpy(), pred["boxes"], pred["poses3d"], strict=True):
                viz.update(frame=frame, boxes=boxes.numpy(), poses=poses.numpy(), camera=camera)
                people.append(len(boxes))
        viz.update(frame=frame, camera=camera)
    found = {"TensorFlow": tf.__version__, "NumPy": np.__version__, "people": people}
    print(json.dumps(found | {"seconds": (time.perf_counter() - start) / len(people)}))


def frames_of(video):
    capture = cv2.VideoCapture(video)
    while (frame := capture.read()[1]) is not None:
        yield frame[..., ::-1]


if __name__ == "__main__":  # poseviz draws in a process of its own, which imports this file, too
    main(*sys.argv[1:])
