"""A small training on chosen devices, as a process of its own: `python -m tests.training.devices SCENARIO FOLDER`.

Writes what the tests compare into FOLDER: losses per step and all variables, `NAME.npz` each, and checkpoints.
"""

from __future__ import annotations

import itertools
import os
import signal
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from metrabs_acae.errors import UserError
from metrabs_acae.layers.dropout import ExampleDropout
from metrabs_acae.layers.ghost_batch_norm import GhostBatchNormalization
from metrabs_acae.models import Metrabs
from metrabs_acae.models.gates import Gates
from metrabs_acae.models.losses import LossWeights, joint_group_matrix
from metrabs_acae.skeletons import Skeleton, prefix_groups
from metrabs_acae.training import checkpoints, distribution, trainer
from metrabs_acae.training.optimizers import build_optimizer
from metrabs_acae.training.schedules import MainSchedule
from metrabs_acae.training.settings import Devices

SKELETON = Skeleton("s", ("pelv_a", "lhip_a", "rhip_a", "neck_a"))
SIDE, N3, N2, GROUP, HALF, TOTAL = 64, 8, 4, 2, 3, 6
ONE = distribution.Distribution()


def training_model(
    used: distribution.Distribution, *, dtype="float32", loss_scale=None, accum=1, ema=0.5
) -> trainer.TrainingModel:
    keras.utils.set_random_seed(3)
    keras.config.set_dtype_policy(dtype if dtype == "float32" else f"mixed_{dtype}")
    image = keras.Input((SIDE, SIDE, 3))
    # No bias before the normalization: its gradient is rounding error, which Adam makes as large as any.
    x = keras.layers.Conv2D(8, 3, strides=32, padding="same", use_bias=False, name="conv")(image)
    x = GhostBatchNormalization(group_size=GROUP, momentum=0.9, name="bn")(x)
    x = ExampleDropout(0.3, noise_shape=(None, 1, 1, 1), name="dropout")(
        keras.layers.Activation("relu", name="relu")(x)
    )
    pose_model = Metrabs(keras.Model(image, x, name="backbone"), SKELETON, name="metrabs")
    groups = joint_group_matrix(prefix_groups(("lhip", "rhip"), SKELETON.joint_names), SKELETON.n_joints)
    model = trainer.TrainingModel(
        pose_model,
        gates=Gates(2, 4, 4, 0),
        loss_weights=LossWeights(),
        joint_groups_2d=groups,
        accum_steps=accum,
        seed=5,
    )
    model.set_places(used.dealing().places(N3, N2))
    optimizer = build_optimizer(
        MainSchedule(1e-3, TOTAL),
        total_steps=TOTAL,
        base_learning_rate=1e-3,
        accum_steps=accum,
        ema_momentum=ema,
        loss_scale=loss_scale,
    )
    model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax", auto_scale_loss=False)
    optimizer.build(model.trainable_variables)
    return model


def batch_of(step: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(step)
    intrinsics = np.tile(np.array([[200.0, 0, 31.5], [0, 200, 31.5], [0, 0, 1]], np.float32), (N3 + N2, 1, 1))
    intrinsics[:, 0, 0] += np.arange(N3 + N2)
    return {
        "image": rng.random((N3 + N2, SIDE, SIDE, 3), np.float32),
        "intrinsics": intrinsics,
        "coords3d_mm": (rng.normal(0, 200, (N3, 4, 3)) + (0, 0, 4000)).astype(np.float32),
        "valid3d": rng.random((N3, 4)) > rng.uniform(0, 0.9, (N3, 1)),  # shares with different numbers of joints
        "coords2d_px": rng.uniform(10, 50, (N2, 2, 2)).astype(np.float32),
        "valid2d": rng.random((N2, 2)) > 0.3,
    }


def dataset_from(first: int, used: distribution.Distribution):
    """What `pipeline.training_dataset` gives for the shares of this process."""
    shares = used.dealing().shares(N3, N2)
    mine = shares if used.n_hosts == 1 else shares[[used.host]]

    def parts():
        for whole in map(batch_of, itertools.count(first)):
            for places in mine:
                p3, p2 = places[places < N3], places[places >= N3] - N3
                index = {"image": places, "intrinsics": places, "coords3d_mm": p3, "valid3d": p3}
                yield {k: v[index.get(k, p2)] for k, v in whole.items()}

    signature = {k: tf.TensorSpec(v.shape, v.dtype) for k, v in next(parts()).items()}
    dataset = tf.data.Dataset.from_generator(parts, output_signature=signature)
    dataset.health = None
    return used.distribute(dataset)


def train(
    used: distribution.Distribution, name: str, folder: Path, *, start="", until=TOTAL, dies=None, **settings
) -> None:
    """Trains from the checkpoint of run `start`, checkpoints at HALF, and writes losses and state at step `until`.

    dies: not None goes on beyond `until`; then the processes with True are killed.
    """
    losses, states = {}, {}

    class Record(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            step = self.model.step
            losses[step] = [logs[k] for k in sorted(logs)]
            if step in (HALF, until):
                arrays = {k: checkpoints.array_of(v) for k, v in checkpoints.checkpoint_variables(self.model).items()}
                states.update({f"{step}/{k}": array for k, array in arrays.items()})
            if step == HALF and used.is_first:
                checkpoints.save(folder / name, step, self.model)
            if step == until:
                write(self.model.pose_model)
            if dies and step > until:
                os.kill(os.getpid(), signal.SIGKILL)
            self.model.stop_training = step == until and dies is None

    def write(pose_model):
        call = distribution.local_call(pose_model) or pose_model.predict_on_batch
        poses = call({k: batch_of(0)[k] for k in ("image", "intrinsics")})
        if keras.backend.backend() == "jax":
            on = pose_model.trainable_variables[0].value.sharding.device_set
            assert len(on) == used.n_devices, on
        if used.is_first:
            curve = np.array([losses[step] for step in sorted(losses)])
            np.savez(folder / f"{name}.npz", losses=curve, poses=poses, **states)

    keras.utils.clear_session()  # layers get the same names again
    with used.scope():
        model = training_model(used, **settings)
        if start:
            assert checkpoints.restore_newest(folder / start, model) == HALF
        trainer.run_training(
            model,
            lambda step: dataset_from(step * model.accum_steps, used),
            total_steps=TOTAL if dies is None else TOTAL + 2,
            inference_mode_steps=0,
            log_period=1,
            callbacks=[Record()],
        )


def main(scenario: str, folder: Path, *hosts: str) -> None:
    if scenario == "multi-host":
        port, count, index = map(int, hosts)
        devices = Devices("all", "multi-host", f"127.0.0.1:{port}", count, index)
        with distribution.connected(devices):
            used = distribution.choose(devices, n_3d=N3, n_2d=N2, ghost_bn=GROUP)
            train(used, scenario, folder, start="one", dies=not used.is_first)
        return
    two = distribution.choose(Devices("2", scenario), n_3d=N3, n_2d=N2, ghost_bn=GROUP)
    assert two.n_devices == 2 and two.kind == scenario
    train(ONE, "one", folder)
    train(two, scenario, folder, until=HALF)
    if scenario == "mirrored":  # on JAX the other way round: hosts go on with the run of one device
        train(ONE, "mirrored-then-one", folder, start="mirrored")


if __name__ == "__main__":
    try:
        main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:])
    except UserError as error:
        print(f"Error: {error}")
        sys.exit(2)  # after a lost host the exit code is another
