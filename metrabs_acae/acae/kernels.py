"""The training loop of the autoencoder, compiled by numba: one call runs many steps on one core.

A mirror-equivariant matrix acts separately on the half sum of the left and right points, together with the central
points ("even"), and on their half difference ("odd"). Both encoder and decoder work in these coordinates, with half the
multiplications of the whole matrices. The autoencoder's matrices, losses and gradients are those of
`metrabs_acae.layers.AffineCombination` (tested equal).

Arrays are float32. Rows of the even and odd arrays are (pose, coordinate), so that a pose takes three rows.
Parameters, gradients and moments are flat vectors: encoder sided, encoder central, decoder sided, decoder central (see
`layers.blocks`): the layers' blocks one after the other. Callers limit BLAS to one thread: more only wait for each
other at these sizes.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401  numba's matrix products use it; limits on threads reach loaded ones only
from numba import njit

from metrabs_acae.machine import find_numba_cache

_ADAM_FIRST, _ADAM_SECOND, _ADAM_EPSILON = np.float32(0.9), np.float32(0.999), np.float32(1e-7)
_SMALLEST_SUM = np.float32(1e-6)
_NEAREST_MM = np.float32(1)
_jit = njit(cache=find_numba_cache(), fastmath=True, nogil=True)


@_jit
def split(flat, pairs, center, pairs_out, center_out):
    """Views of a flat vector: encoder (sided, central), decoder (sided, central); joints are inputs of the encoder."""
    shapes = (
        (2 * pairs + center, pairs_out),
        (pairs + center, center_out),
        (2 * pairs_out + center_out, pairs),
        (pairs_out + center_out, center),
    )
    i0 = shapes[0][0] * shapes[0][1]
    i1 = i0 + shapes[1][0] * shapes[1][1]
    i2 = i1 + shapes[2][0] * shapes[2][1]
    i3 = i2 + shapes[3][0] * shapes[3][1]
    return (
        flat[:i0].reshape(shapes[0]),
        flat[i0:i1].reshape(shapes[1]),
        flat[i1:i2].reshape(shapes[2]),
        flat[i2:i3].reshape(shapes[3]),
    )


@_jit
def normalize(raw_sided, raw_central, n_pairs, sided, central, inverse_sums, even, odd):
    """Divides each column of the whole matrix by its sum; fills the even and odd matrices and the sums' inverses."""
    columns = raw_sided.shape[1]
    inverse_sums[:] = 0
    for i in range(raw_sided.shape[0]):
        for j in range(columns):
            inverse_sums[j] += raw_sided[i, j]
    for i in range(raw_central.shape[0]):
        times = np.float32(2 if i < n_pairs else 1)
        for j in range(raw_central.shape[1]):
            inverse_sums[columns + j] += times * raw_central[i, j]
    for j in range(inverse_sums.size):
        inverse_sums[j] = 1 / inverse_sums[j]
    for i in range(raw_sided.shape[0]):
        for j in range(columns):
            sided[i, j] = raw_sided[i, j] * inverse_sums[j]
    for i in range(raw_central.shape[0]):
        for j in range(raw_central.shape[1]):
            central[i, j] = raw_central[i, j] * inverse_sums[columns + j]
    for i in range(n_pairs):
        for j in range(columns):
            even[i, j] = sided[i, j] + sided[n_pairs + i, j]
            odd[i, j] = sided[i, j] - sided[n_pairs + i, j]
        for j in range(central.shape[1]):
            even[i, columns + j] = 2 * central[i, j]
    for i in range(n_pairs, central.shape[0]):
        for j in range(columns):
            even[i, j] = sided[n_pairs + i, j]
        for j in range(central.shape[1]):
            even[i, columns + j] = central[i, j]


@_jit
def raw_gradient(d_even, d_odd, n_pairs, sided, central, inverse_sums, penalty, d_sided, d_central, means):
    """Gradient of the parameters from that of the even and odd matrices, plus `penalty` times the L1 norm's."""
    columns = sided.shape[1]
    twice = 2 * penalty
    means[:] = 0
    for i in range(n_pairs):
        for j in range(columns):
            d_sided[i, j] = d_even[i, j] + d_odd[i, j] + twice * np.sign(sided[i, j])
            d_sided[n_pairs + i, j] = d_even[i, j] - d_odd[i, j] + twice * np.sign(sided[n_pairs + i, j])
        for j in range(central.shape[1]):
            d_central[i, j] = 2 * d_even[i, columns + j] + twice * np.sign(central[i, j])
    for i in range(n_pairs, central.shape[0]):
        for j in range(columns):
            d_sided[n_pairs + i, j] = d_even[i, j] + twice * np.sign(sided[n_pairs + i, j])
        for j in range(central.shape[1]):
            d_central[i, j] = d_even[i, columns + j] + penalty * np.sign(central[i, j])
    for i in range(sided.shape[0]):
        for j in range(columns):
            means[j] += d_sided[i, j] * sided[i, j]
    for i in range(central.shape[0]):
        for j in range(central.shape[1]):
            means[columns + j] += d_central[i, j] * central[i, j]
    for i in range(sided.shape[0]):
        for j in range(columns):
            d_sided[i, j] = (d_sided[i, j] - means[j]) * inverse_sums[j]
    for i in range(central.shape[0]):
        times = np.float32(2 if i < n_pairs else 1)
        for j in range(central.shape[1]):
            d_central[i, j] = (d_central[i, j] - times * means[columns + j]) * inverse_sums[columns + j]


@_jit
def load(poses, order, n_pairs, truth, even, odd):
    """Copies poses [B, J, 3] into truth [3B, J] (joints in `order`) and its even and odd coordinates."""
    center = order.size - 2 * n_pairs
    half = np.float32(0.5)
    for b in range(poses.shape[0]):
        pose = poses[b]
        for j in range(order.size):
            for d in range(3):
                truth[3 * b + d, j] = pose[order[j], d]
        for r in range(3 * b, 3 * b + 3):
            for j in range(n_pairs):
                even[r, j] = half * (truth[r, j] + truth[r, n_pairs + j])
                odd[r, j] = half * (truth[r, j] - truth[r, n_pairs + j])
            for j in range(center):
                even[r, n_pairs + j] = truth[r, 2 * n_pairs + j]


@_jit
def reconstruction_loss(truth, even, odd, n_pairs, joint_weights, image_loss, d_even, d_odd, pose, d_pose):
    """Mean absolute error in metres of reconstructions given as even and odd coordinates, and its gradients.

    With `image_loss` positions in the image plane, scaled by the true pose's mean depth, are compared; else 3D ones.
    """
    n_poses, n_joints = truth.shape[0] // 3, truth.shape[1]
    total = np.float32(0)
    share = np.float32(1) / (n_poses * n_joints * (2 if image_loss else 3))
    metres = np.float32(1e-3)
    for b in range(n_poses):
        first = 3 * b
        for d in range(3):
            for j in range(n_pairs):
                pose[d, j] = even[first + d, j] + odd[first + d, j]
                pose[d, n_pairs + j] = even[first + d, j] - odd[first + d, j]
            for j in range(2 * n_pairs, n_joints):
                pose[d, j] = even[first + d, j - n_pairs]
        if image_loss:
            depth = np.float32(0)
            for j in range(n_joints):
                depth += truth[first + 2, j]
            depth *= metres / n_joints
            for j in range(n_joints):
                z = pose[2, j]
                moves = np.float32(1) if z > _NEAREST_MM else np.float32(0)
                inverse_z = 1 / max(z, _NEAREST_MM)
                x, y = pose[0, j] * inverse_z, pose[1, j] * inverse_z
                scale = depth / truth[first + 2, j]
                dx, dy = x * depth - truth[first, j] * scale, y * depth - truth[first + 1, j] * scale
                weight = share * joint_weights[j]
                total += weight * (abs(dx) + abs(dy))
                d_pose[0, j] = np.sign(dx) * weight * depth * inverse_z
                d_pose[1, j] = np.sign(dy) * weight * depth * inverse_z
                d_pose[2, j] = -moves * (d_pose[0, j] * x + d_pose[1, j] * y)
        else:
            for d in range(3):
                for j in range(n_joints):
                    difference = (pose[d, j] - truth[first + d, j]) * metres
                    weight = share * joint_weights[j]
                    total += weight * abs(difference)
                    d_pose[d, j] = np.sign(difference) * weight * metres
        for d in range(3):
            for j in range(n_pairs):
                d_even[first + d, j] = d_pose[d, j] + d_pose[d, n_pairs + j]
                d_odd[first + d, j] = d_pose[d, j] - d_pose[d, n_pairs + j]
            for j in range(2 * n_pairs, n_joints):
                d_even[first + d, j - n_pairs] = d_pose[d, j]
    return total


@_jit
def adam_step(values, gradients, first, second, step, learning_rate, nonnegative):
    """One step of Adam (step counts from 1); with `nonnegative`, negative values become exact zeros after it."""
    correction1 = 1 / (1 - _ADAM_FIRST**step)
    correction2 = 1 / (1 - _ADAM_SECOND**step)
    lowest = np.float32(0 if nonnegative else -np.float32(3e38))
    for i in range(values.size):
        g = gradients[i]
        first[i] = _ADAM_FIRST * first[i] + (1 - _ADAM_FIRST) * g
        second[i] = _ADAM_SECOND * second[i] + (1 - _ADAM_SECOND) * g * g
        change = learning_rate * first[i] * correction1 / (np.sqrt(second[i] * correction2) + _ADAM_EPSILON)
        values[i] = max(values[i] - change, lowest)


@_jit
def revive_empty_columns(raw_sided, raw_central):
    """Columns whose parameters sum to nothing become equal weights, as in `AffineCombination`."""
    for j in range(raw_sided.shape[1]):
        if raw_sided[:, j].sum() < _SMALLEST_SUM:
            raw_sided[:, j] += 1
    for j in range(raw_central.shape[1]):
        if raw_central[:, j].sum() < _SMALLEST_SUM:
            raw_central[:, j] += 1


@_jit
def train(
    poses,
    order,
    pairs,
    pairs_out,
    center_out,
    learning_rates,
    joint_weights,
    sparsity,
    image_loss,
    nonnegative,
    parameters,
    gradients,
    first,
    second,
    start_step,
    losses,
):
    """One step of Adam per batch of poses, in turn.

    Args:
        poses: [T, B, J, 3] mm, float32.
        order, pairs: layout of the joints; pairs_out, center_out: numbers of left and of central latents.
        learning_rates: [T] (0 only evaluates).
        joint_weights: [J] in the order of the layout, mean 1.
        sparsity: factor of mean |encoder| + mean |decoder|; has no effect on nonnegative weights, whose L1 norm is
            constant.
        image_loss: compare positions in the image plane instead of in space.
        parameters: flat vector, changed in place.
        gradients: flat vector that receives the last step's gradients.
        first, second: Adam's moments, flat vectors, changed in place; start_step: steps done so far.
        losses: [T] receives the reconstruction loss of each batch, metres.
    """
    joints = order.size
    center = joints - 2 * pairs
    latents = 2 * pairs_out + center_out
    rows = 3 * poses.shape[1]
    f32 = np.float32
    truth = np.empty((rows, joints), f32)
    pose, d_pose = np.empty((3, joints), f32), np.empty((3, joints), f32)
    x_even, x_odd = np.empty((rows, pairs + center), f32), np.empty((rows, pairs), f32)
    z_even, z_odd = np.empty((rows, pairs_out + center_out), f32), np.empty((rows, pairs_out), f32)
    y_even, y_odd = np.empty_like(x_even), np.empty_like(x_odd)
    dy_even, dy_odd = np.empty_like(x_even), np.empty_like(x_odd)
    dz_even, dz_odd = np.empty_like(z_even), np.empty_like(z_odd)
    encoder_even, encoder_odd = (
        np.empty((pairs + center, pairs_out + center_out), f32),
        np.empty((pairs, pairs_out), f32),
    )
    decoder_even, decoder_odd = (
        np.empty((pairs_out + center_out, pairs + center), f32),
        np.empty((pairs_out, pairs), f32),
    )
    d_encoder_even, d_encoder_odd = np.empty_like(encoder_even), np.empty_like(encoder_odd)
    d_decoder_even, d_decoder_odd = np.empty_like(decoder_even), np.empty_like(decoder_odd)
    sums1, sums2 = np.empty(pairs_out + center_out, f32), np.empty(pairs + center, f32)
    means1, means2 = np.empty_like(sums1), np.empty_like(sums2)
    normalized = np.empty_like(parameters)
    raw = split(parameters, pairs, center, pairs_out, center_out)
    weights = split(normalized, pairs, center, pairs_out, center_out)
    d_raw = split(gradients, pairs, center, pairs_out, center_out)
    penalty = f32(0) if nonnegative else f32(sparsity / (joints * latents))

    for t in range(poses.shape[0]):
        if nonnegative:
            revive_empty_columns(raw[0], raw[1])
            revive_empty_columns(raw[2], raw[3])
        normalize(raw[0], raw[1], pairs, weights[0], weights[1], sums1, encoder_even, encoder_odd)
        normalize(raw[2], raw[3], pairs_out, weights[2], weights[3], sums2, decoder_even, decoder_odd)
        load(poses[t], order, pairs, truth, x_even, x_odd)
        np.dot(x_even, encoder_even, z_even)
        np.dot(x_odd, encoder_odd, z_odd)
        np.dot(z_even, decoder_even, y_even)
        np.dot(z_odd, decoder_odd, y_odd)
        losses[t] = reconstruction_loss(
            truth, y_even, y_odd, pairs, joint_weights, image_loss, dy_even, dy_odd, pose, d_pose
        )
        np.dot(z_even.T, dy_even, d_decoder_even)
        np.dot(z_odd.T, dy_odd, d_decoder_odd)
        np.dot(dy_even, decoder_even.T, dz_even)
        np.dot(dy_odd, decoder_odd.T, dz_odd)
        np.dot(x_even.T, dz_even, d_encoder_even)
        np.dot(x_odd.T, dz_odd, d_encoder_odd)
        raw_gradient(
            d_encoder_even, d_encoder_odd, pairs, weights[0], weights[1], sums1, penalty, d_raw[0], d_raw[1], means1
        )
        raw_gradient(
            d_decoder_even, d_decoder_odd, pairs_out, weights[2], weights[3], sums2, penalty, d_raw[2], d_raw[3], means2
        )
        if learning_rates[t] > 0:
            adam_step(parameters, gradients, first, second, start_step + t + 1, f32(learning_rates[t]), nonnegative)
