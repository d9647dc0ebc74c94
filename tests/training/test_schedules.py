"""Learning rate schedules: the reference's values, the phases described in the method, serialization."""

import keras
import numpy as np
import pytest

from metrabs_acae.errors import UserError
from metrabs_acae.training.schedules import FinetuneBackboneSchedule, FinetuneHeadSchedule, MainSchedule, PerUpdate
from tests.golden import golden

SCHEDULES = {"": MainSchedule, "_finetune_high": FinetuneHeadSchedule, "_finetune_low": FinetuneBackboneSchedule}


@pytest.mark.parametrize("total_steps", [400000, 25000, 1000])
@pytest.mark.parametrize("key", SCHEDULES)
def test_matches_reference(key, total_steps):
    arrays = golden("g5_lr_opt")
    schedule = SCHEDULES[key](float(arrays["base_learning_rate"]), total_steps)
    found = [float(schedule(int(step))) for step in arrays[f"steps_{total_steps}"]]
    # float32; the steps include both sides of the phase switch
    np.testing.assert_allclose(found, arrays[f"lr_schedule{key}_{total_steps}"], rtol=1e-6)


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        (MainSchedule(3.0, 1000), {0: 3.0, 919: 1.0, 920: 0.1, 1000: 0.03}),
        (FinetuneHeadSchedule(3.0, 1000), {0: 3.0, 499: 1.0, 500: 0.1, 1000: 0.03}),
        (FinetuneBackboneSchedule(3.0, 1000), {0: 0.1, 1000: 0.03}),
    ],
)
def test_phases(schedule, values):
    for step, value in values.items():
        assert float(schedule(step)) == pytest.approx(value, rel=3e-3)


def test_accumulation_counts_updates():
    schedule = MainSchedule(1.0, 10)
    micro = PerUpdate(schedule, 4)
    assert [float(micro(step)) for step in range(12)] == [float(schedule(step // 4)) for step in range(12)]


@pytest.mark.parametrize("schedule", [MainSchedule(1e-3, 50), PerUpdate(FinetuneHeadSchedule(1e-3, 50), 3)])
def test_serialization(schedule):
    schedules = keras.optimizers.schedules
    copy = schedules.deserialize(schedules.serialize(schedule))
    assert type(copy) is type(schedule)
    assert float(copy(17)) == float(schedule(17))


def test_bad_arguments_are_named():
    with pytest.raises(UserError, match="positive"):
        MainSchedule(1e-3, 0)
    with pytest.raises(UserError, match="positive"):
        FinetuneHeadSchedule(-1, 10)
