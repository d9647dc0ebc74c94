"""Cost of the multi-person model, and where it goes: crops, network, the rest.

    python -m benchmarks.inference [--backbone mobilenetv3-small] [--joints 555] [--threads 1]

8 images of 1280x720 with 2 people each, 1 and 5 augmentations, without and with lens distortion. Time is CPU time of
the process per crop; the yardstick, measured in the same run, is the forward pass of a plain `keras.applications`
network with a 1x1 convolution of as many channels as the head has (9 per joint). The public reference's crop costs
4.5 yardsticks; 3.0 is 1.5 times its speed. Also printed: loading and first call of the exported model, and peak memory.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import textwrap
import time
from pathlib import Path

import numpy as np

N_IMAGES, PEOPLE, SIZE = 8, 2, 256
LENS = (0.1, -0.05, 0.001, 0.001, 0.01)
CASES = {"1 crop": (1, None), "1 crop, lens": (1, LENS), "5 crops": (5, None), "5 crops, lens": (5, LENS)}
REFERENCE_YARDSTICKS = 1 / 0.22


def cpu_seconds(function, *, seconds: float = 3.0) -> float:
    """CPU time of a call: the least of several runs, after one that is not counted."""
    function()
    best, start = np.inf, time.perf_counter()
    while time.perf_counter() - start < seconds:
        before = time.process_time()
        function()
        best = min(best, time.process_time() - before)
    return best


def build_network(backbone: str, n_joints: int):
    """(Metrabs with random weights, the plain yardstick network)."""
    import keras

    from metrabs_acae.models import Metrabs, build_backbone
    from metrabs_acae.skeletons import Skeleton

    skeleton = Skeleton("benchmark", tuple(f"joint{i}" for i in range(n_joints)))
    model = Metrabs(build_backbone(backbone, SIZE), skeleton)
    plain_class = {"mobilenetv3-small": "MobileNetV3Small", "efficientnetv2-s": "EfficientNetV2S"}[backbone]
    features = getattr(keras.applications, plain_class)(
        input_shape=(SIZE, SIZE, 3), include_top=False, weights=None, include_preprocessing=False
    )
    plain = keras.Model(features.input, keras.layers.Conv2D(9 * n_joints, 1)(features.output))
    return model, skeleton, plain


def photographs():
    """Noise with the smoothness of photographs, and people's boxes of usual sizes."""
    import cv2

    rng = np.random.default_rng(0)
    images = np.stack([cv2.resize(rng.integers(0, 256, (90, 160, 3), np.uint8), (1280, 720)) for _ in range(N_IMAGES)])
    heights = rng.uniform(200, 650, N_IMAGES * PEOPLE)
    left, top = rng.uniform(0, 900, heights.size), rng.uniform(0, 70, heights.size)
    return images, np.stack([left, top, heights * 0.45, heights], axis=1).astype(np.float32)


LOAD = """
    import sys, time
    start = time.process_time()
    import numpy as np, tensorflow as tf
    imported = time.process_time()
    model = tf.saved_model.load(sys.argv[1])
    model.estimate_poses(np.zeros((720, 1280, 3), np.uint8), [[100.0, 100.0, 200.0, 400.0]])
    # Not getrusage: its peak counts the memory of the parent at the fork.
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    peak = int(status["VmHWM"].split()[0]) / 2**20
    print(f"{imported - start:.1f} s import TensorFlow, {time.process_time() - imported:.1f} s load and first call,"
          f" peak memory {peak:.2f} GB")
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backbone", default="mobilenetv3-small", choices=["mobilenetv3-small", "efficientnetv2-s"])
    parser.add_argument("--joints", type=int, default=555)
    parser.add_argument("--threads", type=int, default=1, help="more threads cost more CPU time in all")
    parser.add_argument("--seconds", type=float, default=3.0, help="time for each measurement")
    args = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(args.threads)
    tf.config.threading.set_inter_op_parallelism_threads(args.threads)
    from metrabs_acae.inference import warping
    from metrabs_acae.inference.export import export_saved_model

    network, skeleton, plain = build_network(args.backbone, args.joints)
    images, boxes = photographs()
    batch = tf.random.uniform([N_IMAGES * PEOPLE, SIZE, SIZE, 3], seed=0)
    forward = tf.function(lambda: plain(batch, training=False))
    yardstick = cpu_seconds(forward, seconds=args.seconds) / len(batch)
    print(f"yardstick: {1000 * yardstick:.1f} CPU-ms an image ({args.backbone}, {args.joints} joints)")

    with tempfile.TemporaryDirectory() as folder:
        path = export_saved_model(network, skeleton, Path(folder) / "model", image_size=SIZE, output_skeletons={})
        model = tf.saved_model.load(str(path))
        own = cpu_seconds(lambda: model.crop_model.forward(batch, tf.eye(3, batch_shape=[len(batch)])))
        network_cost = own / len(batch) / yardstick
        ragged = tf.RaggedTensor.from_row_lengths(boxes, [PEOPLE] * N_IMAGES)

        print(f"{'case':16s} {'total':>6s} {'crops':>6s} {'network':>8s} {'rest':>6s}   (yardsticks a crop)")
        for name, (num_aug, lens) in CASES.items():
            settings = {"num_aug": num_aug, "distortion_coeffs": lens or (0.0,) * 5}
            n_crops = len(boxes) * num_aug
            call = lambda s=settings: model.estimate_poses_batched(images, ragged, **s)  # noqa: E731
            total = cpu_seconds(call, seconds=args.seconds) / n_crops / yardstick
            crops = cpu_seconds(
                lambda n=num_aug, lens=lens: render(warping, images, boxes, n, lens), seconds=args.seconds
            )
            crops = crops / n_crops / yardstick
            rest = total - crops - network_cost
            print(f"{name:16s} {total:6.2f} {crops:6.2f} {network_cost:8.2f} {rest:6.2f}")
        print(f"the public reference: {REFERENCE_YARDSTICKS:.1f} yardsticks a crop; aim: at most 3.0")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(f"peak memory of this process: {peak:.2f} GB")
        sys.stdout.flush()
        subprocess.run([sys.executable, "-c", textwrap.dedent(LOAD), str(path)], check=True)


_RENDER = {}


def render(warping, images, boxes, num_aug: int, lens):
    """The crops alone, with cameras of the sizes that the boxes ask for."""
    import tensorflow as tf

    if "function" not in _RENDER:
        _RENDER["function"] = tf.function(warping.render_crops, reduce_retracing=True)
    n = len(boxes) * num_aug
    focal = 1280 / 2 / np.tan(np.radians(27.5))
    intrinsics = np.array([[focal, 0, 639.5], [0, focal, 359.5], [0, 0, 1]], np.float32)
    boxes = boxes.repeat(num_aug, axis=0)
    scales = (SIZE / boxes[:, 3]).astype(np.float32)
    centers = boxes[:, :2] + boxes[:, 2:] / 2
    crop_intrinsics = np.tile(np.eye(3, dtype=np.float32), (n, 1, 1))
    crop_intrinsics[:, 0, 0] = crop_intrinsics[:, 1, 1] = focal * scales
    crop_intrinsics[:, :2, 2] = (intrinsics[:2, 2] - centers) * scales[:, None] + SIZE / 2
    lens = np.pad(np.array(lens or [0.0] * 5, np.float32), (0, 7))
    return _RENDER["function"](
        tf.constant(images),
        tf.constant(np.arange(N_IMAGES).repeat(PEOPLE * num_aug), tf.int32),
        tf.constant(np.tile(intrinsics, (n, 1, 1))),
        tf.constant(np.tile(lens, (n, 1))),
        tf.eye(3, batch_shape=[n]),
        tf.constant(crop_intrinsics),
        tf.constant(scales),
        tf.ones([n]),
        size=SIZE,
        antialias_factor=tf.constant(1),
    )


if __name__ == "__main__":
    main()
