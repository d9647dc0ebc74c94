"""A training model with its loss, optimizer and schedules, compiled for the devices that it runs on."""

from __future__ import annotations

import keras

from metrabs_acae.data.mixture import Mixture
from metrabs_acae.errors import UserError
from metrabs_acae.models.gates import Gates
from metrabs_acae.models.losses import joint_group_matrix
from metrabs_acae.models.settings import LossWeights
from metrabs_acae.skeletons import prefix_groups
from metrabs_acae.training import schedules
from metrabs_acae.training.distribution import Distribution
from metrabs_acae.training.optimizers import build_optimizer
from metrabs_acae.training.settings import Training
from metrabs_acae.training.trainer import TrainingModel


def compiled_training_model(
    pose_model, mixture: Mixture, *, training: Training, losses: LossWeights, gates: Gates, used: Distribution
):
    """(training model with its optimizer, learning rate schedule; in a fine-tuning that of the head)."""
    groups = None
    if mixture.batch_size_2d:
        joint_names = mixture.skeleton.joint_names
        groups = joint_group_matrix(prefix_groups(mixture.joint_names_2d, joint_names), len(joint_names))
    model = TrainingModel(
        pose_model,
        gates=gates.of_run(training.training_steps),
        loss_weights=losses,
        joint_groups_2d=groups,
        accum_steps=training.grad_accum_steps,
        seed=training.seed,
    )
    base, steps = training.base_learning_rate, training.training_steps
    plan = schedules.plan(pose_model.variant.learning_rates, base, steps)
    of_backbone = pose_model.backbone.trainable_variables
    loss_scale = "dynamic" if training.dynamic_loss_scale else training.loss_scale
    optimizer = build_optimizer(
        plan if len(plan) > 1 and of_backbone else plan[-1],
        total_steps=training.decay_steps or steps,
        base_learning_rate=base,
        weight_decay=training.weight_decay,
        backbone_variables=of_backbone,
        accum_steps=training.grad_accum_steps,
        ema_momentum=training.ema_momentum if training.ema_momentum < 1 else None,
        loss_scale=loss_scale if training.dtype == "float16" else None,
    )
    dealing = used.dealing(training.grad_accum_steps)
    model.set_places(dealing.places(mixture.batch_size_3d, mixture.batch_size_2d))
    xla = use_xla(training.jit_compile, replicated=used.kind == "mirrored")
    model.compile(optimizer=optimizer, jit_compile=xla, auto_scale_loss=False)
    optimizer.build(model.trainable_variables)
    return model, plan[-1]


def set_precision(dtype: str) -> None:
    """Keras's policy: 16-bit types compute in 16 bits and keep weights, heads and geometry in 32."""
    keras.config.set_dtype_policy(dtype if dtype == "float32" else f"mixed_{dtype}")


def use_xla(asked: bool | None, *, replicated: bool = False) -> bool:
    """XLA on a GPU (and always on JAX, which is XLA); on a CPU it makes TensorFlow several times slower.

    Not for TensorFlow's replicas, whose exchange it does not compile.
    """
    if replicated:
        if asked:
            raise UserError("--jit-compile True does not work with --distribution mirrored; leave it out.")
        return False
    if asked is not None:
        return asked
    if keras.backend.backend() == "jax":
        return True
    import tensorflow as tf

    return bool(tf.config.list_physical_devices("GPU"))
