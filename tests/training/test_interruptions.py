"""Stops between the parts of a step, broken checkpoints, two processes in a folder, trainings that hang."""

from __future__ import annotations

import subprocess
import sys
import time
import types

import keras
import numpy as np
import pytest

from metrabs_acae import locks
from metrabs_acae.errors import UserError
from metrabs_acae.training import callbacks, checkpoints, trainer
from metrabs_acae.training.stall import EXIT_CODE, StallWatch
from tests.training.test_trainer import dataset_from, small_model, state

ACCUM, STEPS = 2, 3


def accumulate(folder, *, interrupt_after: int | None = None, callback=None) -> trainer.TrainingModel:
    """A training of three steps of two parts each, from the newest checkpoint; interrupted after a part."""
    model = small_model(accum_steps=ACCUM)
    model.accum_steps = ACCUM
    checkpoints.restore_newest(folder, model)
    interruption = types.SimpleNamespace(requested=False)

    class Signal(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            interruption.requested |= int(self.model.batches_seen) - 1 == interrupt_after

    trainer.run_training(
        model,
        lambda step: dataset_from(ACCUM * step),
        total_steps=STEPS,
        inference_mode_steps=0,
        log_period=STEPS,
        callbacks=[
            Signal(),
            callbacks.OrderlyStop(interruption),
            callbacks.Checkpoints(folder, period=STEPS, total_steps=STEPS, switch=STEPS),
        ],
    )
    return model


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    return state(accumulate(tmp_path_factory.mktemp("unbroken")))


@pytest.mark.parametrize("part", range(ACCUM * STEPS - 1))
def test_a_stop_waits_for_the_whole_step_and_the_run_ends_bit_identical(tmp_path, unbroken, part):
    stopped = accumulate(tmp_path, interrupt_after=part)
    assert int(stopped.batches_seen) == ACCUM * (part // ACCUM + 1)
    found = state(accumulate(tmp_path))
    for name, value in unbroken.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


@pytest.fixture(scope="module")
def model():
    return small_model()


def damage(path, how: str) -> None:
    file = path / "variables.npz"
    content = file.read_bytes()
    if how == "one bit":
        place = len(content) // 2
        content = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
    file.write_bytes({"cut": content[: len(content) // 2], "one bit": content}.get(how, b""))
    if how == "missing":
        file.unlink()


@pytest.mark.parametrize("how", ["cut", "empty", "missing", "one bit"])
def test_a_broken_checkpoint_is_replaced_when_its_step_comes_again(tmp_path, model, how):
    for step in (1, 2, 3):
        checkpoints.save(tmp_path, step, model, keep=3)
    damage(tmp_path / "ckpt-00000003", how)
    damage(tmp_path / "ckpt-00000002", how)
    said = []
    assert checkpoints.read_newest(tmp_path, report=said.append)[0] == 1 and len(said) == 2
    assert checkpoints.restore_weights(tmp_path, model.pose_model) == 1
    assert checkpoints.newest_step(tmp_path) == 1
    checkpoints.save(tmp_path, 3, model)
    assert checkpoints.restore_weights(tmp_path, model.pose_model) == 3


def test_a_readable_checkpoint_stays_as_it_is(tmp_path, model):
    file = checkpoints.save(tmp_path, 1, model) / "variables.npz"
    before = file.stat().st_mtime_ns
    checkpoints.save(tmp_path, 1, model)
    assert file.stat().st_mtime_ns == before


def test_a_second_process_is_told_who_holds_the_lock(tmp_path):
    code = (
        "import sys, time; from metrabs_acae.locks import held\n"
        "with held(sys.argv[1], 'busy'): print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, tmp_path / "lock"], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        with pytest.raises(UserError, match=rf"busy: process {process.pid} on .+, since 20\d\d-"):
            with locks.held(tmp_path / "lock", "busy: {holder}"):
                pass
    finally:
        process.kill()
        process.wait()
    with locks.held(tmp_path / "lock", "busy"):  # the system has freed it
        pass


def test_a_training_without_steps_says_where_it_hangs_and_goes_on(tmp_path):
    said = []
    with StallWatch(said.append, said_after_minutes=0.1 / 60) as watch:
        time.sleep(0.3)
        assert "No step has ended" in said[0] and "test_interruptions.py" in said[1] and len(said) == 2
        watch.on_train_batch_end(0)
        time.sleep(0.3)
        assert len(said) == 4  # it hangs again


def test_a_training_without_steps_ends_for_a_supervisor_if_asked_to():
    code = (
        "import time; from metrabs_acae.training.stall import StallWatch\n"
        "with StallWatch(print, said_after_minutes=9, exit_after_minutes=0.2 / 60): time.sleep(60)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=50)
    assert done.returncode == EXIT_CODE
