"""neuropose on a video: python neuropose_video.py MODEL VIDEO OUT"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf
from neuropose.estimator import Estimator

model, video, _ = sys.argv[1:]
estimator = Estimator(model=tf.saved_model.load(model))
result = estimator.process_video(Path(video))

found = {"TensorFlow": tf.__version__, "NumPy": np.__version__}
found["people"] = [len(frame.boxes) for frame in result.predictions.frames.values()]
found["seconds"] = float(np.median(result.metrics.per_frame_latencies_ms)) / 1000
print(json.dumps(found))
