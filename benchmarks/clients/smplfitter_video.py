"""smplfitter fits SMPL to the joints of a video's people: python smplfitter_video.py MODEL VIDEO OUT

The body model is where $SMPLFITTER_BODY_MODELS says. Its files are in metres, poses in mm. There are joints only, so
that no vertex is asked for.
"""

import json
import sys
import time

import cv2
import numpy as np
import tensorflow as tf
from smplfitter.tf import BodyFitter, BodyModel

model_path, video, _ = sys.argv[1:]
model = tf.saved_model.load(model_path)
nothing = {"vertex_subset": np.zeros(0, np.int64), "joint_regressor_post_lbs": np.zeros((24, 0), np.float32)}
body_model = BodyModel("smpl", "neutral", num_betas=10, **nothing)
fitter = BodyFitter(body_model)

capture = cv2.VideoCapture(video)
people, joints_mm, start = [], [], time.perf_counter()
while (frame := capture.read()[1]) is not None:
    pred = model.detect_poses(frame[..., ::-1], skeleton="smpl_24")
    people.append(len(pred["boxes"]))
    joints_mm.append(pred["poses3d"])
joints_m = tf.concat(joints_mm, axis=0) / 1000
fit = fitter.fit(
    target_vertices=tf.zeros([len(joints_m), 0, 3]),
    target_joints=joints_m,
    num_iter=3,
    beta_regularizer=1,
    requested_keys=["pose_rotvecs", "shape_betas", "trans"],
)
seconds = (time.perf_counter() - start) / len(people)
fitted_m = body_model(**{name: fit[name] for name in ("pose_rotvecs", "shape_betas", "trans")})["joints"]

found = {"TensorFlow": tf.__version__, "NumPy": np.__version__, "people": people, "seconds": seconds}
found["distance_mm"] = 1000 * float(tf.reduce_mean(tf.norm(fitted_m - joints_m, axis=-1)))
print(json.dumps(found))
