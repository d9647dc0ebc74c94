"""Training throughput: images per second, and which fraction of the device's measured matmul rate that is.

    KERAS_BACKEND=jax python -m benchmarks.throughput [--backbones efficientnetv2-s] [--image-sizes 256] [--torch]

A case is one backbone, crop size, batch size and precision: the training step of this project as `--train` runs it (555
joints, a quarter of the batch labelled in 2D, ghost batch norm, losses, AdamW). Per case the table says:

| column   | meaning                                                                                               |
|----------|-------------------------------------------------------------------------------------------------------|
| images/s | one batch on the device again and again, median of the rounds                                         |
| TFLOP/s  | that times the operations of a step (2 for a multiply-add; the network's forward pass, times 3)       |
| of peak  | TFLOP/s over the device's own rate on a large matrix product in the case's precision, measured first  |
| fed      | images/s when each batch comes from host memory as bytes                                              |
| input    | 1 - fed / images/s: the share of the time lost to feeding                                             |
| memory   | the device's peak, GB (of the process on a CPU)                                                       |

With `--stores PATH...` the batches of "fed" come from the loader instead, decoded and augmented; this needs TensorFlow
and the data libraries. All else runs on JAX alone (keras, jax, numpy). `--torch` adds PyTorch's EfficientNetV2 and
MobileNetV3 from `timm` of the same size with a 1x1 head, channels-last, autocast, compiled, AdamW: a lower bound of the
work, because its loss is a mean.

Each case is printed when it is done and written to benchmarks/results/throughput.json (or --out), where it replaces the
previous measurement of the same case on the same device.
"""

from __future__ import annotations

import argparse
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

from metrabs_acae.models.backbones import backbone_names, build_backbone
from metrabs_acae.models.gates import Gates
from metrabs_acae.models.losses import LossWeights, joint_group_matrix
from metrabs_acae.models.metrabs import Metrabs
from metrabs_acae.skeletons import COMMON_2D_JOINTS, dataset_skeletons, prefix_groups, union
from metrabs_acae.training.optimizers import build_optimizer
from metrabs_acae.training.schedules import MainSchedule
from metrabs_acae.training.trainer import TrainingModel

SKELETON = union(dataset_skeletons().values())
DEPTH = 8
TIMM_NAMES = {
    "efficientnetv2-s": "tf_efficientnetv2_s",
    "efficientnetv2-l": "tf_efficientnetv2_l",
    "mobilenetv3-small": "tf_mobilenetv3_small_100",
    "mobilenetv3-large": "tf_mobilenetv3_large_100",
}
COLUMNS = (
    "framework",
    "backbone",
    "px",
    "batch",
    "precision",
    "images/s",
    "TFLOP/s",
    "of peak",
    "fed",
    "input",
    "memory",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    defaults = ["efficientnetv2-s", "efficientnetv2-l", "mobilenetv3-small"]
    parser.add_argument("--backbones", nargs="+", default=defaults, choices=backbone_names())
    parser.add_argument("--image-sizes", nargs="+", type=int, default=[256, 384])
    parser.add_argument("--batch-sizes", nargs="+", type=int, default=[128])
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16", "float16"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--steps", type=int, default=10, help="steps per round")
    parser.add_argument("--matmul-size", type=int, default=8192, help="side of the matrices of the device's rate")
    parser.add_argument("--stores", nargs="*", default=[], help="pose stores to feed from")
    parser.add_argument("--torch", action="store_true", help="also measure PyTorch")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "throughput.json")
    args = parser.parse_args()

    print(header(), flush=True)
    for precision in args.precisions:
        peak = matmul_rate(precision, args.matmul_size)
        for backbone in args.backbones:
            for size in args.image_sizes:
                for batch_size in args.batch_sizes:
                    case = Case(backbone, size, batch_size, precision, args.rounds, args.steps)
                    report(case, keras.backend.backend(), case.measure(args.stores), peak, args.out)
                    if args.torch and backbone in TIMM_NAMES:
                        from benchmarks import throughput_torch

                        row = throughput_torch.measure(
                            TIMM_NAMES[backbone],
                            size,
                            batch_size,
                            precision,
                            SKELETON.n_joints * (1 + DEPTH),
                            images_per_second=lambda step, n=batch_size: images_per_second(
                                step, n, args.rounds, args.steps
                            ),
                        )
                        row["flops"] = case.flops
                        report(case, "torch", row, peak, args.out)


class Case:
    """One training step to be measured."""

    def __init__(self, backbone: str, size: int, batch_size: int, precision: str, rounds: int, steps: int):
        self.backbone, self.size, self.batch_size, self.precision = backbone, size, batch_size, precision
        self.rounds, self.steps = rounds, steps
        keras.utils.clear_session()
        keras.config.set_dtype_policy(precision if precision == "float32" else f"mixed_{precision}")
        group = 16 if batch_size % 64 == 0 else max(1, batch_size // 4)
        features = build_backbone(backbone, size, ghost_group_size=group, batch_norm_momentum=0.9)
        self.flops = 3 * batch_size * forward_flops(features, SKELETON.n_joints * (1 + DEPTH))
        groups = joint_group_matrix(prefix_groups(COMMON_2D_JOINTS, SKELETON.joint_names), SKELETON.n_joints)
        self.model = TrainingModel(
            Metrabs(features, SKELETON, depth=DEPTH),
            gates=Gates(0, 0, 0, 0),
            loss_weights=LossWeights(),
            joint_groups_2d=groups,
        )
        optimizer = build_optimizer(
            MainSchedule(2.121e-4, 400_000),
            total_steps=400_000,
            base_learning_rate=2.121e-4,
            loss_scale=128.0 if precision == "float16" else None,
        )
        on_cpu_tensorflow = keras.backend.backend() == "tensorflow" and device_name() == "cpu"
        self.model.compile(optimizer=optimizer, jit_compile=not on_cpu_tensorflow, auto_scale_loss=False)
        optimizer.build(self.model.trainable_variables)

    def measure(self, stores: list[str]) -> dict[str, float]:
        batches = [training_batch(self.batch_size, self.size, seed) for seed in range(2)]
        step = compiled_step(self.model)
        resident = on_device(as_floats(batches[0]))
        rates = {"images/s": self._rate(lambda i: step(resident))}
        if stores:
            iterator = loaded_batches(stores, self.batch_size, self.size)
            rates["fed"] = self._rate(lambda i: step(on_device(next(iterator))))
        else:
            rates["fed"] = self._rate(lambda i: step(as_floats(on_device(batches[i % 2]))))
        return {**rates, "memory": peak_memory_gb(), "flops": self.flops}

    def _rate(self, run_step) -> float:
        return images_per_second(run_step, self.batch_size, self.rounds, self.steps)


def images_per_second(run_step, batch_size: int, rounds: int, steps: int) -> float:
    """Median over rounds of `steps` calls of `run_step(i)`, whose result is waited for at the round's end."""
    wait(run_step(0))
    wait(run_step(1))
    rates = []
    for _ in range(rounds):
        start = time.perf_counter()
        for i in range(steps):
            result = run_step(i)
        wait(result)
        rates.append(steps * batch_size / (time.perf_counter() - start))
    return statistics.median(rates)


def compiled_step(model: TrainingModel):
    """batch -> loss, with the update: the very function that `fit` calls."""
    if keras.backend.backend() == "jax":
        model.make_train_function()
        state = [
            [v.value for v in group]
            for group in (
                model.trainable_variables,
                model.non_trainable_variables,
                model.optimizer.variables,
                model.metrics_variables,
            )
        ]

        def step(batch):
            nonlocal state
            logs, state = model.train_function(tuple(state), iter([(batch,)]))
            return logs["loss"]

        return step

    import tensorflow as tf

    run = tf.function(model.train_step, jit_compile=model.jit_compile)
    return lambda batch: run((batch,))["loss"]


def on_device(batch: dict) -> dict:
    """Starts the transfer, and does not wait for it."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.device_put(batch)
    import tensorflow as tf

    return {name: tf.constant(value) for name, value in batch.items()}


def as_floats(batch: dict) -> dict:
    """Images from bytes to [0, 1], where the batch lies."""
    image = batch["image"]
    image = image.astype(np.float32) if hasattr(image, "astype") else keras.ops.cast(image, "float32")
    return {**batch, "image": image * np.float32(1 / 255)}


def wait(result) -> None:
    np.asarray(result)


def forward_flops(features, n_head_channels: int) -> int:
    """Floating-point operations of one example's forward pass: 2 per multiply-add of convolutions and dense layers."""
    total = 0
    for layer in features._flatten_layers():
        if isinstance(layer, keras.layers.DepthwiseConv2D):
            total += 2 * int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:3]))
        elif isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
            total += 2 * int(np.prod(layer.kernel.shape)) * int(np.prod(layer.output.shape[1:-1]))
    return total + 2 * n_head_channels * int(np.prod(features.output_shape[1:]))


def matmul_rate(precision: str, n: int) -> float:
    """FLOP/s of the device on [n, n] x [n, n] in a precision, as the backend does it by default."""
    ops = keras.ops
    a, b = (ops.cast(np.random.default_rng(i).normal(size=(n, n)), precision) for i in (0, 1))
    if keras.backend.backend() == "jax":
        import jax

        product = jax.jit(lambda a, b: (a @ b)[0, 0])
    else:
        import tensorflow as tf

        product = tf.function(lambda a, b: tf.matmul(a, b)[0, 0])
    repeats = 10
    return images_per_second(lambda _: product(a, b), 1, 5, repeats) * 2 * n**3


def loaded_batches(stores: list[str], batch_size: int, size: int):
    """Endless augmented batches of 3D stores from the project's own loader."""
    from metrabs_acae.data import pipeline
    from metrabs_acae.data.mixture import Entry, Mixture
    from metrabs_acae.data.store import PoseStore

    found = [PoseStore(path) for path in stores]
    parts = {kind: [s for s in found if s.kind == kind] for kind in ("3d", "2d")}
    wanted = {"3d": batch_size - batch_size // 4, "2d": batch_size // 4}
    if not all(parts.values()):
        raise SystemExit("--stores needs at least one 3D and one 2D pose store.")
    entries = [
        Entry(store, "train", share)
        for kind, of_kind in parts.items()
        for store, share in zip(
            of_kind, np.diff(np.linspace(0, wanted[kind], len(of_kind) + 1).astype(int)), strict=True
        )
    ]
    mixture = Mixture(entries, seed=0)
    example = training_batch(batch_size, size, 0)
    joints = np.arange(mixture.skeleton.n_joints) % SKELETON.n_joints
    for batch in pipeline.training_dataset(mixture, image_size=size):
        loaded = {name: np.asarray(value) for name, value in batch.items()}
        full = {**as_floats(example), "image": loaded["image"], "intrinsics": loaded["intrinsics"]}
        full["coords3d_mm"][:, joints] = loaded["coords3d_mm"]
        yield full


def training_batch(batch_size: int, size: int, seed: int) -> dict[str, np.ndarray]:
    """Random images as bytes with random people about 4 m away: three quarters labelled in 3D, the rest in 2D."""
    rng = np.random.default_rng(seed)
    n_2d = batch_size // 4
    n_3d = batch_size - n_2d
    center = (size - 1) / 2
    intrinsics = np.array([[3 * size, 0, center], [0, 3 * size, center], [0, 0, 1]], np.float32)
    coords3d_mm = rng.normal(0, 300, size=(n_3d, SKELETON.n_joints, 3)) + [0, 0, 4000]
    return {
        "image": rng.integers(0, 256, (batch_size, size, size, 3), np.uint8),
        "intrinsics": np.tile(intrinsics, (batch_size, 1, 1)),
        "coords3d_mm": coords3d_mm.astype(np.float32),
        "valid3d": rng.uniform(size=(n_3d, SKELETON.n_joints)) < 0.1,
        "coords2d_px": rng.uniform(0.1 * size, 0.9 * size, (n_2d, len(COMMON_2D_JOINTS), 2)).astype(np.float32),
        "valid2d": rng.uniform(size=(n_2d, len(COMMON_2D_JOINTS))) < 0.8,
    }


def peak_memory_gb() -> float:
    if keras.backend.backend() == "jax":
        import jax

        stats = jax.local_devices()[0].memory_stats()
        if stats and "peak_bytes_in_use" in stats:
            return stats["peak_bytes_in_use"] / 1e9
    else:
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            return tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def device_name() -> str:
    """What the steps run on; "cpu" without an accelerator."""
    if keras.backend.backend() == "jax":
        import jax

        device = jax.local_devices()[0]
        return "cpu" if device.platform == "cpu" else device.device_kind
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(gpus[0]).get("device_name", "gpu") if gpus else "cpu"


def header() -> str:
    return "  ".join(f"{c:>{width(c)}}" for c in COLUMNS)


def width(column: str) -> int:
    return {"backbone": 17, "framework": 10, "precision": 9}.get(column, 8)


def report(case: Case, framework: str, row: dict, peak: float, out: Path) -> None:
    """Prints one row and puts it into the results file."""
    rate = row["images/s"] / case.batch_size * row["flops"]
    values = {
        "framework": framework,
        "backbone": case.backbone,
        "px": case.size,
        "batch": case.batch_size,
        "precision": case.precision,
        "images/s": round(row["images/s"], 1),
        "TFLOP/s": float(f"{rate / 1e12:.3g}"),
        "of peak": round(rate / peak, 3),
        "fed": round(row["fed"], 1),
        "input": round(max(0.0, 1 - row["fed"] / row["images/s"]), 3),
        "memory": round(row["memory"], 2),
    }
    print("  ".join(f"{values[c]!s:>{width(c)}}" for c in COLUMNS), flush=True)
    values |= {"matmul_tflops": float(f"{peak / 1e12:.3g}"), "device": device_name(), "measured": machine()}
    key = ("framework", "backbone", "px", "batch", "precision", "device")
    rows = json.loads(out.read_text()) if out.exists() else []
    rows = [old for old in rows if any(old[k] != values[k] for k in key)]
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps([*rows, values], indent=1) + "\n")


def machine() -> dict:
    return {
        "date": datetime.now().astimezone().isoformat(timespec="seconds"),
        "cores": os.cpu_count(),
        "load_average": round(os.getloadavg()[0], 1),
        "machine": platform.machine(),
        "keras": keras.__version__,
    }


if __name__ == "__main__":
    main()
