"""What a computation must know where TensorFlow runs it as several replicas, each on its share of the batch.

Under `tf.distribute` a function sees one replica's examples. On JAX, and on one device, it sees all of them: then there
is one "replica", and nothing here has an effect.
"""

from __future__ import annotations

import keras
import numpy as np
from keras import ops


def count() -> int:
    """Number of replicas that compute this together: 1 unless called inside a `tf.distribute` replica."""
    context = _context()
    return 1 if context is None else context.num_replicas_in_sync


def index():
    """Number of this replica: 0, or an integer scalar tensor inside a `tf.distribute` replica."""
    context = _context()
    return 0 if context is None else context.replica_id_in_sync_group


def own(rows: np.ndarray):
    """This replica's row of an array [replicas, ...], or the only one."""
    return rows[0] if len(rows) == 1 else ops.take(rows, index(), axis=0)


def total(value):
    """Sum of a tensor over the replicas. No gradient is meant to flow through it."""
    context = _context()
    if context is None:
        return value
    import tensorflow as tf

    return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.stop_gradient(value))


def _context():
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context if context is not None and context.num_replicas_in_sync > 1 else None
