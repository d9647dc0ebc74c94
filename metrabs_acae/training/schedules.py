"""Learning rate schedules (method of MeTRAbs, WACV 2023): step -> learning rate, exponential decay without warm-up."""

from __future__ import annotations

import keras
from keras import ops

from metrabs_acae.errors import UserError

Schedule = keras.optimizers.schedules.LearningRateSchedule


class _Decay(Schedule):
    """Common part: a base learning rate and the number of optimizer steps of the whole training."""

    def __init__(self, base: float, total_steps: int):
        if not base > 0 or not total_steps > 0:
            raise UserError(
                f"A learning rate schedule needs a positive base and a positive number of steps, got {base} and "
                f"{total_steps}."
            )
        self.base = float(base)
        self.total_steps = int(total_steps)

    def progress(self, step):
        return ops.cast(step, "float32") / self.total_steps

    def get_config(self):
        return {"base": self.base, "total_steps": self.total_steps}


@keras.saving.register_keras_serializable(package="metrabs_acae")
class MainSchedule(_Decay):
    """From base to base / 3 over the first 92 % of the steps, then from base / 30 to base / 100."""

    def __call__(self, step):
        return _two_phases(self.base, self.progress(step), switch=0.92)


@keras.saving.register_keras_serializable(package="metrabs_acae")
class FinetuneHeadSchedule(_Decay):
    """From base to base / 3 over the first half of the steps, then from base / 30 to base / 100."""

    def __call__(self, step):
        return _two_phases(self.base, self.progress(step), switch=0.5)


@keras.saving.register_keras_serializable(package="metrabs_acae")
class FinetuneBackboneSchedule(_Decay):
    """From base / 30 to base / 100 over all steps."""

    def __call__(self, step):
        return self.base / 30 * ops.power(0.3, self.progress(step))


@keras.saving.register_keras_serializable(package="metrabs_acae")
class PerUpdate(Schedule):
    """A schedule of updates for an optimizer that counts micro-steps, `accum_steps` of which make one update."""

    def __init__(self, schedule: Schedule, accum_steps: int):
        self.schedule = schedule
        self.accum_steps = int(accum_steps)

    def __call__(self, step):
        return self.schedule(ops.floor_divide(step, self.accum_steps))

    def get_config(self):
        return {
            "schedule": keras.saving.serialize_keras_object(self.schedule),
            "accum_steps": self.accum_steps,
        }

    @classmethod
    def from_config(cls, config):
        return cls(keras.saving.deserialize_keras_object(config["schedule"]), config["accum_steps"])


PLANS = {"main": (MainSchedule,), "finetune": (FinetuneBackboneSchedule, FinetuneHeadSchedule)}
"""Learning rate plans: one schedule for all variables, or those of the backbone and of the rest."""


def plan(name: str, base: float, total_steps: int) -> tuple[Schedule, ...]:
    """The schedules of a plan; the last one is the head's."""
    return tuple(schedule(base, total_steps) for schedule in PLANS[name])


def _two_phases(base, progress, *, switch):
    first = base * ops.power(1 / 3, progress / switch)
    second = base / 30 * ops.power(0.3, (progress - switch) / (1 - switch))
    return ops.where(progress < switch, first, second)
