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


def output_function(network: Callable) -> Callable:
    """The network's forward pass at inference as a function of its inputs that gives a dict, see `CropModel`."""
    if hasattr(network, "inference_outputs"):
        return network.inference_outputs
    if hasattr(network, "trainable_weights"):
        return lambda inputs: {"coords3d_mm": network(inputs, training=False)}
    return lambda inputs: {"coords3d_mm": network(inputs)}


class CropModel(tf.Module):
    """A pose network for square crops.

    Args:
        network: callable, {"image": [B, S, S, 3] float32 in 0..1, "intrinsics": [B, 3, 3]} -> [B, J, 3] mm in the
            crop's camera frame; given `training=False` if it is a Keras model. If it has a method `inference_outputs`
            (see `models.Metrabs`), that is called instead, for the entropies.
        skeleton: the J joints.
        image_size: S.

    Attributes:
        input_resolution: int32 scalar variable, S.
        joint_names: [J] string variable.
        joint_edges: [E, 2] int32 variable.
        has_entropy: whether the network says how undecided its heatmaps are.
    """

    def __init__(self, network: Callable, skeleton: Skeleton, image_size: int):
        super().__init__(name="crop_model")
        self.input_resolution = tf.Variable(image_size, dtype=tf.int32, trainable=False)
        self.joint_names = string_variable(skeleton.joint_names)
        self.joint_edges = edge_variable(skeleton.edges)
        # Only the variables are tracked: tracking the Keras model would save a second copy of its graph.
        self.network_variables = [getattr(v, "value", v) for v in getattr(network, "variables", [])]
        self.has_entropy = hasattr(network, "inference_outputs")
        n_joints = skeleton.n_joints
        outputs_of = output_function(network)

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, image_size, image_size, 3], tf.float32),
                tf.TensorSpec([None, 3, 3], tf.float32),
            ]
        )
        def forward(image, intrinsics):
            outputs = outputs_of({"image": image, "intrinsics": intrinsics})
            poses = tf.ensure_shape(tf.cast(outputs["coords3d_mm"], tf.float32), [None, n_joints, 3])
            entropy = outputs.get("entropy", tf.zeros_like(poses[..., 0]))
            return poses, tf.ensure_shape(entropy, [None, n_joints])

        @tf.function(
            input_signature=[
                tf.TensorSpec([None, image_size, image_size, 3], tf.float16, name="image"),
                tf.TensorSpec([None, 3, 3], tf.float32, name="intrinsics"),
            ]
        )
        def predict_multi(image, intrinsics):
            return forward(tf.cast(image, tf.float32), intrinsics)[0]

        self.forward = forward
        self.predict_multi = predict_multi
