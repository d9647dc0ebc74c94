"""Training: the Keras model that `fit` optimizes, and the loop over phases that makes resuming exact."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Sequence

import keras
import numpy as np
from keras import ops

from metrabs_acae import replicas
from metrabs_acae.layers.dropout import ExampleDropout
from metrabs_acae.layers.ghost_batch_norm import GhostBatchNormalization
from metrabs_acae.models.losses import term_weights
from metrabs_acae.training.checkpoints import array_of
from metrabs_acae.training.optimizers import average_weights


class TrainingModel(keras.Model):
    """A pose model with its loss, trainable by `fit` on TensorFlow and JAX.

    `fit` gets the batch dictionaries of `metrabs_acae.data.pipeline`. The model counts its own batches in a variable,
    because the optimizer's counter cannot be read inside a compiled JAX step.

    Args:
        pose_model: a `Metrabs`.
        gates: steps at which loss terms and the perspective model switch (`models.gates.Gates`).
        loss_weights: of the loss terms (`models.losses.LossWeights`).
        joint_groups_2d: [J, J2] which 3D joints stand for each 2D joint; None: no 2D-labelled examples.
        accum_steps: batches per optimizer step; gates count optimizer steps.
        seed: of the random mixing factors.
    """

    def __init__(self, pose_model, *, gates, loss_weights, joint_groups_2d=None, accum_steps: int = 1, seed: int = 0):
        super().__init__(name="training", dtype="float32")
        self.pose_model = pose_model
        self.gates, self.loss_weights, self.joint_groups_2d = gates, loss_weights, joint_groups_2d
        self.accum_steps = accum_steps
        self.frozen_statistics = False
        self.places: np.ndarray | None = None
        self.batches_seen = self.add_weight(
            name="batches_seen",
            shape=(),
            dtype="int32",
            initializer="zeros",
            trainable=False,
            aggregation="only_first_replica",
        )
        self.mix_seed = keras.random.SeedGenerator(seed, name="mix_seed")
        halves = ("3d",) if joint_groups_2d is None else ("3d", "2d")
        self.term_trackers = {
            name: keras.metrics.Mean(name=name)
            for half in halves
            for name in (f"{term}_{half}" for term in term_weights(pose_model.variant, loss_weights, half=half))
        }
        # Keras weights its own "loss" by the length of the first input, and that is zero without 2D-labelled examples.
        self.total_tracker = keras.metrics.Mean(name="total")
        self.built = True

    @property
    def step(self) -> int:
        """Optimizer steps done."""
        return int(array_of(self.batches_seen)) // self.accum_steps

    def freeze_statistics(self, frozen: bool) -> None:
        """Inference-mode phase: batch normalization uses and keeps its running statistics, weights go on training."""
        if frozen != self.frozen_statistics:
            self.frozen_statistics = frozen
            self.train_function = None

    def set_places(self, places: np.ndarray | None) -> None:
        """Makes a batch whose examples are dealt out mean the same as one device's batch (`Dealing.places`)."""
        self.places = places
        for layer in self._flatten_layers():
            if isinstance(layer, (GhostBatchNormalization, ExampleDropout)):
                layer.set_places(places)

    def call(self, batch, training=None):
        """The loss and its terms for one batch, by name."""
        if self.places is None:
            mix, order = keras.random.uniform((ops.shape(batch["image"])[0],), seed=self.mix_seed), None
        else:  # the numbers that the same examples would get on one device
            drawn = keras.random.uniform((self.places.size,), seed=self.mix_seed)
            mix = ops.take(drawn, replicas.own(self.places))
            order = np.argsort(self.places[0]) if len(self.places) == 1 else None
        total, terms, _ = self.pose_model.compute_losses(
            batch,
            step=self.batches_seen // self.accum_steps,
            gates=self.gates,
            mix=mix,
            order=order,
            joint_groups_2d=self.joint_groups_2d,
            weights=self.loss_weights,
            training=bool(training) and not self.frozen_statistics,
        )
        return {"loss": total, **terms}

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        for name, tracker in self.term_trackers.items():
            tracker.update_state(y_pred[name])
        self.total_tracker.update_state(y_pred["loss"])
        self.batches_seen.assign_add(1)
        return y_pred["loss"] / replicas.count()  # whose gradients are summed over replicas

    def get_metrics_result(self):
        result = super().get_metrics_result()
        result["loss"] = result.pop("total")
        return result


@contextlib.contextmanager
def averaged_weights(model: TrainingModel):
    """Inside, the model has the moving average of its weights, if the optimizer keeps one; the weights come back."""
    weights = model.trainable_variables
    averages = average_weights(model.optimizer, weights)
    if all(average is weight for average, weight in zip(averages, weights, strict=True)):
        yield
        return
    kept = [array_of(weight) for weight in weights]
    _assign(weights, map(array_of, averages))
    try:
        yield
    finally:
        _assign(weights, kept)


def _assign(variables, values) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def switch_step(total_steps: int, inference_mode_steps: int) -> int:
    """First step of the inference-mode phase: the first index above `total_steps - inference_mode_steps`.

    The reference's checkpoint before its switch is number 399001 of 400000 with a phase of 1000.
    """
    return total_steps - inference_mode_steps + 1 if inference_mode_steps else total_steps


def phases(start: int, total: int, switch: int, period: int) -> list[tuple[int, int, int]]:
    """How to cut steps `start`..`total` into calls of `fit`: (first step, epochs, steps per epoch).

    Epochs end at all multiples of `period`, at `switch` and at `total`, wherever the training was resumed.
    """
    inside = {start, total, *range((start // period + 1) * period, total, period)}
    if start < switch < total:
        inside.add(switch)
    cut: list[tuple[int, int, int]] = []
    for begin, end in itertools.pairwise(sorted(inside)):
        if cut and cut[-1][2] == end - begin and begin != switch:
            cut[-1] = (cut[-1][0], cut[-1][1] + 1, end - begin)
        else:
            cut.append((begin, 1, end - begin))
    return cut


def run_training(
    model: TrainingModel,
    make_dataset: Callable[[int], object],
    *,
    total_steps: int,
    inference_mode_steps: int,
    log_period: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> bool:
    """Trains `model` from the step it stands at to `total_steps`; False if a callback stopped it before.

    Args:
        make_dataset: first step -> endless `tf.data.Dataset` that begins with that step's batch.
    """
    from metrabs_acae.data.pipeline import user_errors  # here, because the model itself needs no TensorFlow

    switch = switch_step(total_steps, inference_mode_steps)
    for begin, epochs, steps in phases(model.step, total_steps, switch, log_period):
        model.freeze_statistics(begin >= switch)
        dataset = make_dataset(begin)
        with user_errors(dataset):
            model.fit(
                dataset,
                epochs=epochs,
                steps_per_epoch=steps * model.accum_steps,
                verbose=0,
                shuffle=False,
                callbacks=list(callbacks),
            )
        if model.stop_training:
            return False
    return True
