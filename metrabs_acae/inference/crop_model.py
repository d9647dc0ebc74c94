"""The network as the SavedModel carries it: crops and intrinsics in, absolute joints out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from metrabs_acae.skeletons import Skeleton


def string_variable(values):
    """A constant that survives saving (plain constants are not restored)."""
    return tf.Variable(np.array(values, dtype=object).reshape(-1), dtype=tf.string, trainable=False)


def edge_variable(edges):
    return tf.Variable(np.array(edges, np.int32).reshape(-1, 2), trainable=False)


class CropModel(tf.Module):
    """A pose network for square crops.

    Args:
        network: callable, {"image": [B, S, S, 3] float32 in 0..1, "intrinsics": [B, 3, 3]} -> [B, J, 3] mm in the
            crop's camera frame; given `training=False` if it is a Keras model.
        skeleton: the J joints.
        image_size: S.

    Attributes:
        input_resolution: int32 scalar variable, S.
        joint_names: [J] string variable.
        joint_edges: [E, 2] int32 variable.
    """

    def __init__(self, network: Callable, skeleton: Skeleton, image_size: int):
        super().__init__(name="crop_model")
        self.input_resolution = tf.Variable(image_size, dtype=tf.int32, trainable=False)
        self.joint_names = string_variable(skeleton.joint_names)
        self.joint_edges = edge_variable(skeleton.edges)
        # Only the variables are tracked: tracking the Keras model would save a second copy of its graph.
        self.network_variables = [getattr(v, "value", v) for v in getattr(network, "variables", [])]
        n_joints = skeleton.n_joints
        keras_model = hasattr(network, "trainable_weights")

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, image_size, image_size, 3], tf.float32),
                tf.TensorSpec([None, 3, 3], tf.float32),
            ]
        )
        def forward(image, intrinsics):
            inputs = {"image": image, "intrinsics": intrinsics}
            poses = network(inputs, training=False) if keras_model else network(inputs)
            return tf.ensure_shape(tf.cast(poses, tf.float32), [None, n_joints, 3])

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, image_size, image_size, 3], tf.float16, name="image"),
                tf.TensorSpec([None, 3, 3], tf.float32, name="intrinsics"),
            ]
        )
        def predict_multi(image, intrinsics):
            return forward(tf.cast(image, tf.float32), intrinsics)

        self.forward = forward
        self.predict_multi = predict_multi
