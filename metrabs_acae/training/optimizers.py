"""The optimizer of all trainings: AdamW from Keras, with the decay rule and options of the method.

- Decoupled weight decay on all trainable variables: each step shrinks them by lr(t) / lr_base * weight_decay / sqrt(T).
- One learning rate schedule, or two: one for the backbone, one for the rest (fine-tuning).
- Gradient accumulation: schedules, bias correction and weight average count updates, not micro-steps.
- A moving average of the weights stays beside them (`average_weights`); the training itself never uses it.
- Loss scaling for float16: static or dynamic.
"""

from __future__ import annotations

import math

import keras

from metrabs_acae.errors import UserError
from metrabs_acae.training.schedules import PerUpdate, Schedule


def build_optimizer(
    schedule_or_schedules: Schedule | float | tuple,
    *,
    total_steps: int,
    base_learning_rate: float,
    weight_decay: float = 3e-3,
    backbone_variables: list | None = None,
    accum_steps: int = 1,
    ema_momentum: float | None = None,
    loss_scale: float | str | None = None,
) -> keras.optimizers.Optimizer:
    """AdamW with betas (0.9, 0.999) and epsilon 1e-8.

    Args:
        schedule_or_schedules: a schedule (updates -> learning rate) or a constant; or a pair (backbone, rest) of them,
            which are two Adams with independent state over disjoint variables.
        total_steps: T of the decay rule. (The paper's fine-tuning keeps the T of its main training, 400,000.)
        base_learning_rate: lr_base of the decay rule.
        weight_decay: the factor w of the decay rule w / sqrt(T) / lr_base; 0 turns decay off.
        backbone_variables: trainable variables of the backbone; needed for a pair of schedules.
        accum_steps: micro-steps whose gradients are averaged for one update.
        ema_momentum: share of the average of the weights kept at each update; None or 1: no average.
        loss_scale: None, a fixed factor, or "dynamic". Compile the model with `auto_scale_loss=False`: otherwise Keras
            adds a dynamic one of its own under float16.

    Raises:
        UserError: settings that do not fit together.
    """
    if not (total_steps > 0 and base_learning_rate > 0 and weight_decay >= 0 and accum_steps >= 1):
        raise UserError(
            "The optimizer needs positive total_steps, base_learning_rate and accum_steps and a weight_decay of at "
            f"least 0, got {total_steps}, {base_learning_rate}, {accum_steps} and {weight_decay}."
        )
    if ema_momentum is not None and not 0 <= ema_momentum <= 1:
        raise UserError(f"The momentum of the weight average must be from 0 to 1, got {ema_momentum}.")
    is_pair = isinstance(schedule_or_schedules, (tuple, list))
    if is_pair and (len(schedule_or_schedules) != 2 or not backbone_variables):
        raise UserError("Two learning rates need exactly two schedules (backbone, rest) and the backbone's variables.")

    use_ema = ema_momentum is not None and ema_momentum < 1

    def adamw(schedule, name):
        if accum_steps > 1 and isinstance(schedule, Schedule):
            schedule = PerUpdate(schedule, accum_steps)
        return AdamW(
            schedule,
            weight_decay=weight_decay / math.sqrt(total_steps) / base_learning_rate,
            epsilon=1e-8,
            gradient_accumulation_steps=accum_steps if accum_steps > 1 else None,
            use_ema=use_ema,
            # Keras averages at every micro-step, so an update enters in accum_steps parts.
            ema_momentum=ema_momentum ** (1 / accum_steps) if use_ema else 0.99,
            name=name,
        )

    if is_pair:
        backbone, rest = (
            adamw(schedule, name)
            for schedule, name in zip(schedule_or_schedules, ("adamw_backbone", "adamw_rest"), strict=True)
        )
        backbone_variables = list(backbone_variables)
        in_backbone = frozenset(id(v) for v in backbone_variables)
        optimizer = keras.optimizers.MultiOptimizer(lambda v: backbone if id(v) in in_backbone else rest)
    else:
        optimizer = adamw(schedule_or_schedules, "adamw")

    if loss_scale == "dynamic":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    if isinstance(loss_scale, str):
        raise UserError(f'The loss scale must be None, a number or "dynamic", got {loss_scale!r}.')
    if loss_scale:
        optimizer.loss_scale_factor = float(loss_scale)
    return optimizer


@keras.saving.register_keras_serializable(package="metrabs_acae")
class AdamW(keras.optimizers.AdamW):
    """Keras's AdamW, but the weight average does not replace the weights when a `fit` ends: training can go on."""

    def finalize_variable_values(self, var_list):
        pass


def average_weights(optimizer, variables) -> list:
    """The moving averages of the given trainable variables, in their order; the variables themselves without averages.

    The optimizer must have been built (by a first step or `optimizer.build(model.trainable_variables)`).
    """
    averages = {}
    for adamw in _adamws(optimizer):
        if adamw.use_ema:
            for index, variable in enumerate(adamw._trainable_variables):
                averages[id(variable)] = adamw._model_variables_moving_average[index]
    return [averages.get(id(variable), variable) for variable in variables]


def learning_rates(optimizer) -> dict[str, float]:
    """The current learning rates for logging: {"learning_rate": ...}, or one for "backbone" and one for "rest"."""
    adamws = _adamws(optimizer)
    if len(adamws) == 1:
        return {"learning_rate": float(adamws[0].learning_rate)}
    return {f"learning_rate_{a.name.removeprefix('adamw_')}": float(a.learning_rate) for a in adamws}


def _adamws(optimizer):
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    return getattr(inner, "optimizers", [inner])
