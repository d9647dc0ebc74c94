"""A small model and batch, the same on every backend, and its training step.

Run as `KERAS_BACKEND=jax python -m tests.models.tiny VARIANT OUT.npz`, it saves JAX's loss and gradients.
"""

import sys
from types import SimpleNamespace

import keras
import numpy as np

from metrabs_acae.models.gates import Gates
from metrabs_acae.models.losses import joint_group_matrix
from metrabs_acae.models.metrabs import Metrabs
from metrabs_acae.skeletons import Skeleton, prefix_groups

NAMES = ("lhip_a", "rhip_a", "lkne_a", "rkne_a", "pelv_a", "lhip_b", "rhip_b")
NAMES_2D = ("lhip", "rhip", "lkne")
SIZE, STRIDE, CHANNELS, N_LATENTS, DEPTH = 64, 8, 12, 3, 8
GROUPS = joint_group_matrix(prefix_groups(NAMES_2D, NAMES), len(NAMES))


def tiny_acae():
    rng = np.random.default_rng(3)
    encoder, decoder = rng.uniform(size=(len(NAMES), N_LATENTS)), rng.uniform(size=(N_LATENTS, len(NAMES)))
    return SimpleNamespace(encoder=encoder / encoder.sum(0), decoder=decoder / decoder.sum(0))


def tiny_model(variant="separate", **kwargs):
    """64 px crops, an 8x8 feature map, and heads whose 2D and 3D points agree roughly, as trained ones do.

    (Points of random heads lie together in the middle, which makes the reconstruction ill-conditioned.)
    """
    image = keras.Input((SIZE, SIZE, 3))
    x = keras.layers.Conv2D(CHANNELS, STRIDE, STRIDE, use_bias=False)(image)
    backbone = keras.Model(image, keras.layers.BatchNormalization(momentum=0.9)(x))
    skeleton = Skeleton("tiny", NAMES)
    model = Metrabs(backbone, skeleton, variant=variant, acae=tiny_acae(), depth=DEPTH, stride=STRIDE, **kwargs)
    rng = np.random.default_rng(1)
    kernel = rng.normal(size=(STRIDE, STRIDE, 3, CHANNELS)) * 0.2
    backbone.layers[1].set_weights([kernel])
    shared = rng.normal(size=(1, 1, CHANNELS, 1, model.head.n_points)) * 2
    own = rng.normal(size=(1, 1, CHANNELS, 1 + DEPTH, model.head.n_points)) * 0.3
    head = (shared + own).reshape(1, 1, CHANNELS, -1)
    model.head.conv.set_weights([head, np.zeros(head.shape[-1])])
    return model


def tiny_batch(n_3d=4, n_2d=3):
    rng = np.random.default_rng(2)
    intrinsics = np.array([[90, 0, 31.5], [0, 90, 31.5], [0, 0, 1]], np.float32)
    return {
        "image": rng.uniform(size=(n_3d + n_2d, SIZE, SIZE, 3)).astype(np.float32),
        "intrinsics": np.tile(intrinsics, (n_3d + n_2d, 1, 1)),
        "coords3d_mm": (rng.normal(size=(n_3d, len(NAMES), 3)) * 300 + [0, 0, 3500]).astype(np.float32),
        "valid3d": rng.uniform(size=(n_3d, len(NAMES))) < 0.8,
        "coords2d_px": rng.uniform(5, 58, size=(n_2d, len(NAMES_2D), 2)).astype(np.float32),
        "valid2d": rng.uniform(size=(n_2d, len(NAMES_2D))) < 0.8,
    }


MIX = np.linspace(0, 1, 7).astype(np.float32)
LOSS = {"gates": Gates(), "mix": MIX, "joint_groups_2d": GROUPS}


def jax_step(model, batch, step):
    import jax

    def loss(trainable, step):
        mapping = zip(model.trainable_variables, trainable, strict=True)
        with keras.StatelessScope(state_mapping=mapping):
            return model.compute_losses(batch, step=step, **LOSS)[0]

    values = [v.value for v in model.trainable_variables]
    return jax.jit(jax.value_and_grad(loss))(values, step)


def tensorflow_step(model, batch, step, *, jit_compile=False):
    import tensorflow as tf

    @tf.function(jit_compile=jit_compile)
    def run(step):
        with tf.GradientTape() as tape:
            loss = model.compute_losses(batch, step=step, **LOSS)[0]
        return loss, tape.gradient(loss, model.trainable_weights)

    return run(tf.constant(step))


if __name__ == "__main__":
    total, gradients = jax_step(tiny_model(sys.argv[1]), tiny_batch(), 6000)
    np.savez(sys.argv[2], total, *gradients)
