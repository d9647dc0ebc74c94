"""Which devices a training uses, and how they share its batches: always the same batches and the same updates.

| kind          | Keras backend | devices                                                                        |
|---------------|---------------|--------------------------------------------------------------------------------|
| none          | any           | one                                                                            |
| mirrored      | TensorFlow    | several of one host: `tf.distribute.MirroredStrategy`                          |
| data-parallel | JAX           | several of one host: `keras.distribution.DataParallel`                         |
| multi-host    | JAX           | those of several processes, usually one per host or GPU: with `jax.distributed` |

On JAX the training step is one computation over the whole batch, which the compiler divides; any grouping of examples
is possible. With TensorFlow each replica computes its own share, so that ghost batch norm needs whole groups in each.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np

from metrabs_acae.dealing import Dealing, deal_groups
from metrabs_acae.errors import UserError
from metrabs_acae.training.checkpoints import array_of
from metrabs_acae.training.settings import Devices

EXIT_CODE_LOST_HOST = 75
"""What schedulers know as a temporary failure: start again."""
_LOST_HOST = re.compile("gloo|nccl|unavailable|deadline_exceeded|connection|heartbeat|coordination service", re.I)
BACKEND_OF = {"mirrored": "tensorflow", "data-parallel": "jax", "multi-host": "jax"}


@dataclass(frozen=True)
class Distribution:
    """The devices of a training.

    Attributes:
        kind: "none", "mirrored", "data-parallel" or "multi-host".
        n_devices: over all hosts.
        n_hosts, host: number of processes that each load a share of every batch, and which this one is.
        note: one sentence about a choice that the user should know of, or "".
        engine: the `tf.distribute.Strategy` or `keras.distribution.Distribution`; None: nothing is distributed.
    """

    kind: str = "none"
    n_devices: int = 1
    n_hosts: int = 1
    host: int = 0
    note: str = ""
    engine: object = None

    @property
    def is_first(self) -> bool:
        """Whether this process is the one that writes files."""
        return self.host == 0

    def scope(self):
        """Context in which models and optimizers are built, and `fit` is called."""
        return contextlib.nullcontext() if self.engine is None else self.engine.scope()

    def dealing(self, accum_steps: int = 1) -> Dealing:
        """How the devices share a batch; on JAX those of one host share one computation, which has all its examples."""
        n_replicas = self.n_devices if self.kind == "mirrored" else 1
        return Dealing(accum_steps, n_replicas, self.n_hosts, self.host)

    def distribute(self, dataset):
        """The `tf.data` dataset of this process's shares (an element for each replica) as `fit` wants it."""
        if self.kind != "mirrored":
            return dataset
        import tensorflow as tf

        def as_numbers(batch):  # Keras averages the first batch over replicas to learn its shapes: no mean of booleans
            return {name: tf.cast(v, tf.float32) if v.dtype == tf.bool else v for name, v in batch.items()}

        distributed = self.engine.distribute_datasets_from_function(lambda _: dataset.map(as_numbers))
        distributed.health = dataset.health
        return distributed

    def any_host(self, flag: bool) -> bool:
        """Whether the flag is set on any host; all hosts must ask together."""
        if self.n_hosts == 1:
            return flag
        from jax.experimental import multihost_utils

        return bool(np.any(multihost_utils.process_allgather(np.array(flag))))

    def require_same(self, number: int, what: str) -> None:
        """UserError unless all hosts have the same number; all must ask together."""
        if self.n_hosts == 1:
            return
        from jax.experimental import multihost_utils

        numbers = multihost_utils.process_allgather(np.array(number, np.int32)).tolist()
        if len(set(numbers)) > 1:
            raise UserError(
                f"The hosts disagree about {what}: {', '.join(map(str, numbers))}. The run folder and the pose stores "
                "must be the same on all of them, e.g. on a shared file system."
            )


@contextlib.contextmanager
def connected(devices: Devices):
    """Connects the hosts of a multi-host training and, when all have come to the end of what is inside, parts them.

    Must come before anything is computed. Where one fails it ends at once, so that the others notice: they end with a
    UserError, and the process with `EXIT_CODE_LOST_HOST`. Does nothing for other distributions.
    """
    if keras.backend.backend() == "jax":
        _leave_gpus_to_jax()
    if devices.distribution != "multi-host":
        yield
        return
    import jax

    _connect(devices)
    host, n_hosts = jax.process_index(), jax.process_count()
    try:
        yield
    except BaseException as error:
        # JAX reports a broken exchange as a JaxRuntimeError or a ValueError, whose text says so.
        lost = isinstance(error, (RuntimeError, ValueError)) and _LOST_HOST.search(str(error))
        if isinstance(error, UserError) or not lost:
            atexit.register(_exit_at_once, 2 if isinstance(error, UserError) else 1)
            raise
        atexit.register(_exit_at_once, EXIT_CODE_LOST_HOST)
        reason = str(error).splitlines()[0][:200]
        raise UserError(
            f"Host {host} of {n_hosts} lost the connection to another one ({reason}). Start the same command on all "
            "hosts again: the training goes on from the last checkpoint, with the same result."
        ) from None
    jax.distributed.shutdown()


def _connect(devices: Devices) -> None:
    _require_backend("multi-host")
    import jax

    given = (devices.coordinator or None, devices.n_hosts, devices.host_index)
    settings = dict(zip(("coordinator_address", "num_processes", "process_id"), given, strict=True))
    if None not in given:
        settings["cluster_detection_method"] = "deactivate"
    try:
        jax.distributed.initialize(**settings)
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f"The hosts could not be connected ({str(error).splitlines()[0]}). Give --coordinator HOST:PORT, --n-hosts "
            "and --host-index on each, or start all by srun or mpirun."
        ) from None


def _exit_at_once(code: int) -> None:
    """Ends the process without the farewell of `jax.distributed`, which would wait for the other hosts, then abort."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


@contextlib.contextmanager
def first_host_first():
    """Lets the first host do what is inside before the others."""
    if not _is_connected():
        yield
        return
    from jax.experimental import multihost_utils

    if host_index() > 0:
        multihost_utils.sync_global_devices("the first host is ready")
    yield
    if host_index() == 0:
        multihost_utils.sync_global_devices("the first host is ready")


def host_index() -> int:
    """Which of the connected processes this is; 0 without a connection."""
    if not _is_connected():
        return 0
    import jax

    return jax.process_index()


def _is_connected() -> bool:
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.distributed.is_initialized()


def choose(devices: Devices, *, n_3d: int, n_2d: int, ghost_bn: int, accum_steps: int = 1) -> Distribution:
    """The distribution that the flags ask for; without flags all visible GPUs, or one CPU.

    Args:
        n_3d, n_2d: examples in what one device would compute at once: the batch over the accumulation steps.
        ghost_bn: group size of ghost batch normalization; 0: ordinary batch normalization.
        accum_steps: batches per optimizer step.

    Raises:
        UserError: devices that are not there, another backend than the distribution's, a batch that cannot be shared.
    """
    kind = devices.distribution
    if kind in BACKEND_OF:
        _require_backend(kind)
    asked = None if devices.devices == "all" else _positive(devices.devices)
    if kind == "multi-host":
        return _multi_host(asked, n_3d, n_2d)
    if kind == "none":
        if asked not in (None, 1):
            raise UserError(f"--distribution none means one device; got --devices {asked}.")
        return Distribution()
    if kind == "auto":
        kind = {"tensorflow": "mirrored", "jax": "data-parallel"}.get(keras.backend.backend(), "none")
        if kind == "none" or asked == 1:
            return Distribution()
    available = _visible_devices(asked or 1)
    if asked is None:
        fitting = [n for n in range(1, len(available) + 1) if not _misfit(kind, n, n_3d, n_2d, ghost_bn, accum_steps)]
        n = max(fitting, default=1)
        misfit = _misfit(kind, len(available), n_3d, n_2d, ghost_bn, accum_steps)
        note = f"Using {n} of {len(available)} devices: {misfit}." if n < len(available) else ""
    else:
        n, note = asked, ""
        if n > len(available):
            raise UserError(f"--devices {n}: only {len(available)} devices are visible.")
        if misfit := _misfit(kind, n, n_3d, n_2d, ghost_bn, accum_steps):
            raise UserError(f"--devices {n} does not fit: {misfit}. Change the numbers, or use fewer devices.")
    if n == 1:
        return Distribution(note=note)
    return Distribution(kind, n, note=note, engine=_engine(kind, available[:n]))


def local_call(pose_model) -> Callable | None:
    """A compiled {"image", "intrinsics"} -> poses on this process's first device; None where Keras's own will do.

    `predict_on_batch` repeats its batch on every TensorFlow replica, and waits for the other hosts on JAX.
    """
    if keras.backend.backend() == "tensorflow":
        if pose_model.distribute_strategy.num_replicas_in_sync == 1:
            return None
        import tensorflow as tf

        if not hasattr(pose_model, "compiled_local_call"):
            pose_model.compiled_local_call = tf.function(lambda batch: pose_model(batch), reduce_retracing=True)
        return lambda batch: np.asarray(pose_model.compiled_local_call(batch))
    if keras.backend.backend() != "jax":
        return None
    import jax

    if jax.process_count() == 1:
        return None
    if not hasattr(pose_model, "compiled_local_call"):
        pose_model.compiled_local_call = jax.jit(
            lambda trainable, other, batch: pose_model.stateless_call(trainable, other, batch)[0]
        )
    groups = pose_model.trainable_variables, pose_model.non_trainable_variables
    weights = [[jax.device_put(array_of(v), jax.local_devices()[0]) for v in group] for group in groups]
    return lambda batch: np.asarray(pose_model.compiled_local_call(*weights, batch))


def _multi_host(asked: int | None, n_3d: int, n_2d: int) -> Distribution:
    import jax

    n, n_hosts = jax.device_count(), jax.process_count()
    if asked not in (None, n):
        raise UserError(f"The hosts have {n} devices together, not {asked}; leave --devices out.")
    if misfit := _misfit("multi-host", n, n_3d, n_2d, 0, 1):
        raise UserError(f"{n} devices on {n_hosts} hosts do not fit: {misfit}.")
    engine = _engine("multi-host", keras.distribution.list_devices())
    return Distribution("multi-host", n, n_hosts, jax.process_index(), engine=engine)


def _misfit(kind: str, n: int, n_3d: int, n_2d: int, ghost_bn: int, accum_steps: int) -> str:
    """Why `n` devices cannot share the batch, as a clause; "" if they can."""
    if n_3d % n or n_2d % n:
        return f"{n_3d} 3D-labelled and {n_2d} 2D-labelled examples at a time cannot be shared equally by {n} devices"
    if kind == "mirrored" and n > 1:
        if accum_steps > 1:  # github.com/keras-team/keras/issues/20582
            return "gradient accumulation (--grad-accum-steps) on several devices works with KERAS_BACKEND=jax only"
        if not ghost_bn:
            return "ordinary batch normalization (--ghost-bn 0) has one group, which several devices cannot share"
        try:
            deal_groups(ghost_bn, Dealing(n_replicas=n).shares(n_3d, n_2d))
        except UserError:
            return (
                f"the {n_3d // n} 3D-labelled and {n_2d // n} 2D-labelled examples of each of {n} devices are no whole "
                f"groups of --ghost-bn {ghost_bn}"
            )
    return ""


def _engine(kind: str, devices: list):
    if kind == "mirrored":
        import tensorflow as tf

        return tf.distribute.MirroredStrategy(devices)
    return keras.distribution.DataParallel(devices=devices, auto_shard_dataset=False)


def _visible_devices(n_cpus: int) -> list[str]:
    """Names of the GPUs, as the backend's engine takes them; without any, the CPU, made to look like `n_cpus` devices.

    The latter is to try a distribution out. It can be done only before the CPU is first used.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if gpus := tf.config.list_physical_devices("GPU"):
            return [f"GPU:{i}" for i in range(len(gpus))]
        cpu = tf.config.list_physical_devices("CPU")[0]
        if n_cpus > 1:
            with contextlib.suppress(RuntimeError):
                tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * n_cpus)
        return [f"CPU:{i}" for i in range(len(tf.config.list_logical_devices("CPU")))][:n_cpus]
    import jax

    if n_cpus > 1:
        with contextlib.suppress(RuntimeError):
            jax.config.update("jax_num_cpu_devices", n_cpus)
    found = jax.devices()  # of the best platform there is
    return [f"{d.platform}:{d.id}" for d in (found if found[0].platform != "cpu" else found[:n_cpus])]


def _leave_gpus_to_jax() -> None:
    """TensorFlow only feeds the data then; it must not claim the GPUs' memory."""
    import tensorflow as tf

    with contextlib.suppress(RuntimeError):
        tf.config.set_visible_devices([], "GPU")


def _require_backend(kind: str) -> None:
    backend, needed = keras.backend.backend(), BACKEND_OF[kind]
    if backend != needed:
        raise UserError(
            f"--distribution {kind} needs the Keras backend {needed}, not {backend}: set the environment variable "
            f"KERAS_BACKEND={needed}."
        )


def _positive(text: str) -> int:
    if not (text.isdigit() and int(text)):
        raise UserError(f"--devices must be 'all' or a number of at least 1; got {text}.")
    return int(text)
