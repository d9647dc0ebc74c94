"""CPU cost of one training step (forward, loss, gradients, update), against a yardstick measured in the same run.

    python -m benchmarks.train_step [--backbones mobilenetv3-small efficientnetv2-s] [--batch-sizes 16 32] [--parts]
    python -m benchmarks.train_step --backbones blazepose-full --trained-convolutions 8 --image-size 192

The model is trained as in the paper's first step: 256 px crops, 555 joints, three quarters of the batch labelled in 3D
and one quarter in 2D, ghost batch norm, AdamW; float32, `tf.function` without XLA. The yardstick is a plain
`keras.applications` MobileNetV3-small with a 1x1 convolution to 9 x 555 channels, squared-mean loss and Adam, with the
same batch. The public reference costs 1 / 0.60 of the yardstick with MobileNetV3-small; the goal is 1.27 yardsticks,
1.3 times the speed of the reference. With EfficientNetV2-S the reference costs 9.0 (batch 16) and 8.5 (batch 32) times
what it costs with MobileNetV3-small, which gives goals of 11.5 and 10.8 yardsticks.

CPU seconds of the process are measured, not the clock; steps of both are interleaved and medians are taken, so that
other work on the machine matters little. EfficientNetV2-S needs about 6 GB at batch 16 and 11 GB at batch 32.
With --trained-convolutions N only the last N convolutions of the backbone are trained; the step that trains all stands
in the row too.

A table is printed, and each case is written to `benchmarks/results/train_step.json` (or --out), where it replaces the
previous measurement of the same case.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import resource
import statistics
import time
from datetime import datetime
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
import keras
import numpy as np
import tensorflow as tf

from metrabs_acae.models.backbones import backbone_names, build_backbone
from metrabs_acae.models.gates import Gates
from metrabs_acae.models.losses import joint_group_matrix
from metrabs_acae.models.metrabs import Metrabs
from metrabs_acae.skeletons import COMMON_2D_JOINTS, dataset_skeletons, prefix_groups, union
from metrabs_acae.training.optimizers import build_optimizer
from metrabs_acae.training.schedules import MainSchedule

GOALS = {
    ("mobilenetv3-small", 16): 1.27,
    ("mobilenetv3-small", 32): 1.27,
    ("efficientnetv2-s", 16): 11.5,
    ("efficientnetv2-s", 32): 10.8,
}
"""In yardsticks (MobileNetV3-small) of the same batch size."""

DEPTH = 8
SKELETON = union(dataset_skeletons().values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbones", nargs="+", default=["mobilenetv3-small", "efficientnetv2-s"])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[16, 32])
    parser.add_argument("--image-size", type=int, default=256)
    parser.add_argument("--trained-convolutions", type=int, help="keep what stands before them fixed")
    parser.add_argument("--rounds", type=int, default=7, help="interleaved measurements per case")
    parser.add_argument("--parts", action="store_true", help="also show what the parts of a step cost")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "train_step.json")
    args = parser.parse_args()
    if unknown := set(args.backbones) - set(backbone_names()):
        parser.error(f"there is no backbone {', '.join(sorted(unknown))}: choose from {', '.join(backbone_names())}")

    print(f"{'backbone':20} {'batch':>5} {'yardstick':>10} {'ours':>10} {'ratio':>6} {'goal':>6}   (CPU-ms per image)")
    for backbone in args.backbones:
        for batch_size in args.batch_sizes:
            size, n_trained = args.image_size, args.trained_convolutions
            steps = {
                "yardstick": yardstick_step(batch_size, size),
                "ours": metrabs_step(backbone, batch_size, size, n_trained),
            }
            if n_trained is not None:
                steps["with all convolutions trained"] = metrabs_step(backbone, batch_size, size)
            if args.parts:
                steps |= part_steps(backbone, batch_size, size)
            costs = measure(steps, batch_size, args.rounds)
            ratio = costs["ours"] / costs["yardstick"]
            goal = GOALS.get((backbone, batch_size)) if (size, n_trained) == (256, None) else None
            print(
                f"{backbone:20} {batch_size:5} {costs['yardstick']:10.1f} {costs['ours']:10.1f} {ratio:6.2f} "
                f"{goal or float('nan'):6.2f}",
                flush=True,
            )
            for name in list(costs)[2:]:
                print(f"    {name:42} {costs[name]:8.1f} {costs[name] / costs['yardstick']:6.2f}", flush=True)
            row = {
                "backbone": backbone,
                "batch_size": batch_size,
                "image_size": size,
                "trained_convolutions": n_trained,
                "ratio": ratio,
                "goal": goal,
            }
            write_row(args.out, {**row, "cpu_ms_per_image": costs, "measured": machine()})
            del steps
            gc.collect()


def write_row(path: Path, row: dict) -> None:
    rows = json.loads(path.read_text()) if path.exists() else []
    case = ("backbone", "batch_size", "image_size", "trained_convolutions")
    rows = [old for old in rows if any(old.get(key) != row[key] for key in case)]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([*rows, row], indent=1) + "\n")


def measure(steps, batch_size: int, rounds: int) -> dict[str, float]:
    """Median CPU milliseconds per image of each step, in turns."""
    costs = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(2):
            step()
    for _ in range(rounds):
        for name, step in steps.items():
            start = time.process_time()
            step()
            costs[name].append((time.process_time() - start) / batch_size * 1e3)
    return {name: statistics.median(values) for name, values in costs.items()}


def yardstick_step(batch_size: int, size: int):
    network = keras.applications.MobileNetV3Small(
        include_top=False, weights=None, input_shape=(size, size, 3), include_preprocessing=False
    )
    outputs = keras.layers.Conv2D(SKELETON.n_joints * (1 + DEPTH), 1)(network.output)
    model = keras.Model(network.input, outputs)
    optimizer = keras.optimizers.Adam(1e-4)
    image = tf.constant(training_batch(batch_size, size)["image"])
    return update_step(
        model.trainable_variables, optimizer, lambda: tf.reduce_mean(tf.square(model(image, training=True)))
    )


def metrabs_model(backbone: str, batch_size: int, size: int, n_trained: int | None = None) -> Metrabs:
    group_size = batch_size // 2 if batch_size % 16 else 16
    features = build_backbone(
        backbone, size, ghost_group_size=group_size, batch_norm_momentum=0.9, trained_convolutions=n_trained
    )
    return Metrabs(features, SKELETON, depth=DEPTH)


def metrabs_step(backbone: str, batch_size: int, size: int, n_trained: int | None = None):
    model = metrabs_model(backbone, batch_size, size, n_trained)
    optimizer = build_optimizer(MainSchedule(2.121e-4, 400_000), total_steps=400_000, base_learning_rate=2.121e-4)
    return update_step(model.trainable_variables, optimizer, loss_function(model, batch_size))


def loss_function(model: Metrabs, batch_size: int):
    size = model.grid.image_size
    batch = {name: tf.constant(value) for name, value in training_batch(batch_size, size).items()}
    groups = joint_group_matrix(prefix_groups(COMMON_2D_JOINTS, SKELETON.joint_names), SKELETON.n_joints)
    step = tf.Variable(10_000)  # all terms are on
    mix = tf.constant(np.random.default_rng(0).uniform(size=batch_size).astype(np.float32))

    def loss():
        return model.compute_losses(batch, step=step, gates=Gates(), mix=mix, joint_groups_2d=groups)[0]

    return loss


def part_steps(backbone: str, batch_size: int, size: int) -> dict:
    """Parts of the step as steps of their own; they overlap, and need not add up."""
    model = metrabs_model(backbone, batch_size, size)
    plain = metrabs_model(backbone, batch_size, size)
    for layer in plain.backbone._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False  # moving statistics: what any normalization costs at least
    image = tf.constant(training_batch(batch_size, size)["image"])
    features = tf.constant(model.backbone(image[:1]).numpy().repeat(batch_size, axis=0))
    coords2d_px = tf.constant(model.head(features)[0].numpy())
    cotangent = tf.constant(np.random.default_rng(0).normal(size=features.shape).astype(np.float32))
    optimizer = build_optimizer(1e-4, total_steps=1000, base_learning_rate=1e-4)
    gradients = [tf.ones(v.shape) for v in model.trainable_variables]
    optimizer.build(model.trainable_variables)

    def head_loss():
        coords = model.head(features)
        return tf.reduce_sum(coords[0]) + tf.reduce_sum(coords[1])

    def conv_loss():
        return tf.reduce_mean(tf.square(model.head.conv(features)))

    offset = tf.Variable(tf.zeros((1, 1, 3)))
    loss = loss_function(model, batch_size)

    def geometry_loss():
        heads = model.heads
        model.heads = lambda *_, **__: (coords2d_px + offset[..., :2], coords3d + offset)
        try:
            return loss()
        finally:
            model.heads = heads

    coords3d = tf.random.normal((batch_size, SKELETON.n_joints, 3)) * 300

    def backbone_loss(network):
        return lambda: tf.reduce_sum(network(image, training=True) * cotangent)

    trunk, plain_trunk = model.backbone, plain.backbone
    return {
        "loss and gradients without update": gradient_step(model.trainable_variables, loss),
        "backbone": gradient_step(trunk.trainable_variables, backbone_loss(trunk)),
        "backbone, normalization by constants": gradient_step(
            plain_trunk.trainable_variables, backbone_loss(plain_trunk)
        ),
        "head": gradient_step(model.head.trainable_variables, head_loss),
        "head convolution with squared mean": gradient_step(model.head.trainable_variables, conv_loss),
        "reconstruction and losses": gradient_step([offset], geometry_loss),
        "AdamW": tf.function(lambda: optimizer.apply(gradients, model.trainable_variables)),
    }


def update_step(variables, optimizer, loss_of_batch):
    optimizer.build(variables)
    values = [v.value for v in variables]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = loss_of_batch()
        optimizer.apply(tape.gradient(loss, values), variables)
        return loss

    return lambda: step().numpy()


def gradient_step(variables, loss_of_batch):
    values = [getattr(v, "value", v) for v in variables]
    values = [v if isinstance(v, tf.Variable) else variables[i] for i, v in enumerate(values)]

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = loss_of_batch()
        return [tf.reduce_max(g) for g in tape.gradient(loss, values)]

    return lambda: [m.numpy() for m in step()]


def training_batch(batch_size: int, size: int) -> dict[str, np.ndarray]:
    """Random images with random people about 4 m away: three quarters labelled in 3D, the rest in 2D."""
    rng = np.random.default_rng(0)
    n_2d = batch_size // 4
    n_3d = batch_size - n_2d
    centre, focal = (size - 1) / 2, 3.125 * size
    intrinsics = np.array([[focal, 0, centre], [0, focal, centre], [0, 0, 1]], np.float32)
    coords3d_mm = rng.normal(0, 300, size=(n_3d, SKELETON.n_joints, 3)) + [0, 0, 4000]
    return {
        "image": rng.uniform(size=(batch_size, size, size, 3)).astype(np.float32),
        "intrinsics": np.tile(intrinsics, (batch_size, 1, 1)),
        "coords3d_mm": coords3d_mm.astype(np.float32),
        "valid3d": rng.uniform(size=(n_3d, SKELETON.n_joints)) < 0.1,
        "coords2d_px": rng.uniform(0.12 * size, 0.86 * size, size=(n_2d, len(COMMON_2D_JOINTS), 2)).astype(np.float32),
        "valid2d": rng.uniform(size=(n_2d, len(COMMON_2D_JOINTS))) < 0.8,
    }


def machine() -> dict:
    cpu = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [line.split(":", 1)[1].strip() for line in cpuinfo.read_text().splitlines() if "model name" in line]
        cpu = names[0] if names else cpu
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "cpu": cpu,
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 1),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


if __name__ == "__main__":
    main()
