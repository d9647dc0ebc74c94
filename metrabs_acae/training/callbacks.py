"""What happens beside the optimization: log rows, progress, checkpoints, validation, an orderly stop."""

from __future__ import annotations

import csv
import math
import sys
import time
from collections.abc import Callable
from pathlib import Path

import keras

from metrabs_acae.data.loading import InputMeter
from metrabs_acae.errors import UserError
from metrabs_acae.files import replacing
from metrabs_acae.interruption import Interruption
from metrabs_acae.progress import clock
from metrabs_acae.training import checkpoints
from metrabs_acae.training.run_folder import RunFolder
from metrabs_acae.training.trainer import averaged_weights


class OrderlyStop(keras.callbacks.Callback):
    """An interruption ends the training after the current step, not between the parts that a step adds up.

    Several hosts end together, at the next log row: `any_host(flag)` says whether the flag is set on any of them.
    """

    def __init__(self, interruption: Interruption, any_host: Callable[[bool], bool] | None = None):
        super().__init__()
        self.interruption, self.any_host = interruption, any_host

    def on_train_batch_end(self, batch, logs=None):
        whole = (batch + 1) % self.model.accum_steps == 0
        if whole and self.interruption.requested and self.any_host is None:
            self.model.stop_training = True

    def on_epoch_end(self, epoch, logs=None):
        if self.any_host is not None and self.any_host(self.interruption.requested):
            self.model.stop_training = True


class FiniteLoss(keras.callbacks.Callback):
    """Stops with a clear error when the loss is no number any more; put it before `Checkpoints`."""

    def on_epoch_end(self, epoch, logs=None):
        bad = [name for name, value in logs.items() if not math.isfinite(value)]
        if bad:
            raise UserError(
                f"The loss is not finite any more at step {self.model.step} ({', '.join(bad)}). The last checkpoint "
                "is kept; try a lower --base-learning-rate or, with 16 bits, --dynamic-loss-scale."
            )


class Periodic(keras.callbacks.Callback):
    """Is `due` at the first end of an epoch at or after every multiple of `period` steps, and at the last step."""

    def __init__(self, period: int, total_steps: int):
        super().__init__()
        self.period, self.total_steps = period, total_steps
        self._before = 0

    def on_train_begin(self, logs=None):
        self._before = self.model.step

    def due(self) -> bool:
        """To be asked once at each end of an epoch."""
        step, before = self.model.step, self._before
        self._before = step
        return step // self.period > before // self.period or step == self.total_steps


class Checkpoints(Periodic):
    """Saves every `period` steps, before the inference-mode phase (tagged), at the end and on an orderly stop."""

    def __init__(self, folder: Path, *, period: int, total_steps: int, switch: int, keep: int = 2):
        super().__init__(period, total_steps)
        self.folder, self.switch, self.keep = folder, switch, keep

    def on_epoch_end(self, epoch, logs=None):
        step = self.model.step
        if step == self.switch and step < self.total_steps:
            checkpoints.save(self.folder, step, self.model, tag="before_switch")
        if self.due() or self.model.stop_training:
            checkpoints.save(self.folder, step, self.model, keep=self.keep)


class InputCost(keras.callbacks.Callback):
    """Measures what loading costs the training.

    Args:
        meter: gives the `InputMeter` of the dataset in use.
    """

    def __init__(self, meter: Callable[[], InputMeter]):
        super().__init__()
        self.meter = meter
        self._last = (None, 0.0, 0.0, time.monotonic(), time.process_time())

    def on_train_batch_begin(self, batch, logs=None):
        self.meter().step_begins()

    def since_last_call(self) -> dict[str, float]:
        """Since the last call: the share of the time that steps waited for their batches, and the share of this
        process's processor time that went into loading (0 to 1)."""
        meter, now, cpu = self.meter(), time.monotonic(), time.process_time()
        previous, waited, loading, then, cpu_then = self._last
        if meter is not previous:
            waited = loading = 0.0
        self._last = (meter, meter.waited_s, meter.cpu_s, now, cpu)
        return {
            "waiting_for_input": (meter.waited_s - waited) / max(now - then, 1e-9),
            "loading_cpu_share": (meter.cpu_s - loading) / max(cpu - cpu_then, 1e-9),
        }


class Validation(Periodic):
    """Calls `validate(step) -> {name: number}` every `period` steps and at the end, and adds the result to the logs."""

    def __init__(self, validate: Callable[[int], dict[str, float]], *, period: int, total_steps: int):
        super().__init__(period, total_steps)
        self.validate = validate

    def on_epoch_end(self, epoch, logs=None):
        step = self.model.step
        if self.due():
            with averaged_weights(self.model):
                results = self.validate(step)
            logs.update({f"val_{name}": value for name, value in results.items()})


class MetricsLog(keras.callbacks.Callback):
    """One row per log period in metrics.csv and TensorBoard, and a line or progress bar with the time left.

    On a terminal a progress bar is drawn; on a pipe or file only lines are printed. `plot(csv, png)` draws the curves
    after each validation and at the end; `began` is the clock
    (`time.monotonic`) when the program started; `extra()` gives further numbers for the row.
    """

    def __init__(
        self,
        run: RunFolder,
        *,
        total_steps: int,
        images_per_step: int,
        learning_rate: Callable[[int], float],
        began: float = 0.0,
        extra_columns: tuple[str, ...] = (),
        extra: Callable[[], dict[str, float]] = dict,
        plot: Callable[[Path, Path], object] | None = None,
    ):
        super().__init__()
        self.run, self.total_steps, self.images_per_step = run, total_steps, images_per_step
        self.learning_rate, self.extra, self.plot = learning_rate, extra, plot
        self.extra_columns = list(extra_columns)
        self.began = began
        self._columns: list[str] | None = None
        self._writer = None
        self._bar = None
        self._last = self._first = (0, 0.0)

    def on_train_begin(self, logs=None):
        if self._writer is not None:
            return
        import tensorflow as tf

        self._writer = tf.summary.create_file_writer(str(self.run.tensorboard))
        start = self.model.step
        self._columns = _keep_rows_up_to(self.run.metrics_csv, start)
        self._last = self._first = (start, time.monotonic())
        if sys.stderr.isatty():
            import tqdm

            self._bar = tqdm.tqdm(total=self.total_steps, initial=start, unit="step", smoothing=0.05)

    def on_train_batch_end(self, batch, logs=None):
        if self.began:
            self.run.log(f"First step done after {time.monotonic() - self.began:.0f} s of start-up.")
            self.began = 0.0
        if self._bar is not None and (batch + 1) % self.model.accum_steps == 0:
            self._bar.update(1)

    def on_epoch_end(self, epoch, logs=None):
        import tensorflow as tf

        step, now = self.model.step, time.monotonic()
        steps_per_s = (step - self._last[0]) / max(now - self._last[1], 1e-9)
        row = {
            "step": step,
            **{name: float(value) for name, value in logs.items()},
            "learning_rate": self.learning_rate(step),
            "images_per_s": steps_per_s * self.images_per_step,
            **self.extra(),
        }
        with self._writer.as_default(step=step):
            for name, value in row.items():
                if name != "step":
                    tf.summary.scalar(name.replace("val_", "validation/"), value)
        self._append(row)
        if any(name.startswith("val_") for name in row):
            self._plot()
        self._print(row, now)
        if self._first is self._last:
            self._first = (step, now)  # the first rows hold the compilation: the time left is reckoned without it
        self._last = (step, time.monotonic())

    def close(self):
        """Closes the files and the bar; call it when the training has ended, however it ended."""
        if self._writer is not None:
            self._writer.close()
            self._plot()
        if self._bar is not None:
            self._bar.close()

    def _plot(self) -> None:
        if self.plot is not None and self.run.metrics_csv.exists():
            self.plot(self.run.metrics_csv, self.run.curves_png)

    def _append(self, row: dict[str, float]) -> None:
        if self._columns is None:
            self._columns = [*row, *(c for c in self.extra_columns if c not in row)]
            with open(self.run.metrics_csv, "w", newline="") as file:
                csv.writer(file).writerow(self._columns)
        with open(self.run.metrics_csv, "a", newline="") as file:
            csv.DictWriter(file, self._columns, extrasaction="ignore", restval="").writerow(
                {k: v if k == "step" else f"{v:.6g}" for k, v in row.items()}
            )

    def _print(self, row: dict[str, float], now: float) -> None:
        step = row["step"]
        done = step - self._first[0]
        left = (now - self._first[1]) / max(done, 1) * (self.total_steps - step)
        validation = "".join(f"  {k} {v:.1f}" for k, v in row.items() if k in ("val_mpjpe", "val_pa_mpjpe"))
        line = (
            f"step {step}/{self.total_steps}  loss {row['loss']:.4f}{validation}  "
            f"{row['images_per_s']:.0f} images/s  {clock(left)} left"
        )
        if self._bar is not None:
            self._bar.set_postfix_str(f"loss {row['loss']:.4f}{validation}")
        else:
            self.run.log(line)


def _keep_rows_up_to(path: Path, step: int) -> list[str] | None:
    """Removes the rows after `step` from a metrics file (they will be computed again); returns its columns."""
    if not path.exists():
        return None
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    if not rows or step == 0:
        path.unlink()
        return None
    kept = [r for r in rows[1:] if len(r) == len(rows[0]) and int(r[0]) <= step]
    with replacing(path) as temporary, open(temporary, "w", newline="") as file:
        csv.writer(file).writerows([rows[0], *kept])
    return rows[0]
