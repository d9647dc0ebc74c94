"""How a training goes, and on which devices."""

from __future__ import annotations

from typing import Literal

from metrabs_acae.settings import setting, settings


@settings
class Training:
    """Optimization."""

    training_steps: int = setting(2000, above=0)
    """Optimizer steps."""
    base_learning_rate: float = setting(1e-3, above=0)
    """Initial learning rate."""
    weight_decay: float = setting(3e-3, at_least=0)
    """Decoupled weight decay, divided by sqrt(decay_steps) as in the reference."""
    decay_steps: int | None = setting(None, above=0)
    """Steps that the weight decay is reckoned with; none: training_steps. A fine-tuning keeps its initial run's."""
    ema_momentum: float = setting(1.0, at_least=0, at_most=1)
    """Momentum of the moving average of the weights; 1: no average."""
    grad_accum_steps: int = setting(1, above=0)
    """Parts that each batch is split into, whose gradients are averaged into one step: less memory, same batch."""
    dtype: Literal["float32", "float16", "bfloat16"] = setting("float32", free_on_resume=True)
    """Compute precision; 16 bits mean mixed precision with float32 weights, heads and geometry."""
    loss_scale: float = setting(128.0, above=0, free_on_resume=True)
    """Static loss scale for float16."""
    dynamic_loss_scale: bool = setting(False, free_on_resume=True)
    """Adapt the loss scale instead."""
    validate_period: int = setting(500, above=0, free_on_resume=True)
    """Steps between validations, which come with the next row of metrics.csv."""
    checkpoint_period: int = setting(250, above=0, free_on_resume=True)
    """Steps between checkpoints, which come with the next row of metrics.csv."""
    log_period: int = setting(50, above=0, free_on_resume=True)
    """Steps between rows of metrics.csv."""
    seed: int = setting(1, used_by=("train", "show_batches", "train_acae"))
    """Seed of weights, data order and augmentation."""
    jit_compile: bool | None = setting(None, free_on_resume=True)
    """Compile the step with XLA; none: on a GPU only."""
    stall_exit_minutes: float | None = setting(None, above=0, free_on_resume=True)
    """End with exit code 75 when no step has ended for so long, for a supervisor to start the command again; none: only
    say so, after ten minutes."""


@settings
class Devices:
    """What a training runs on. Changes no result beyond rounding: a run may go on with other devices."""

    devices: str = setting("all")
    """How many GPUs of this host to use: a number, or all visible ones that can share the batch."""
    distribution: Literal["auto", "none", "mirrored", "data-parallel", "multi-host"] = setting("auto")
    """How they share it: mirrored (TensorFlow), data-parallel (JAX), multi-host (JAX); auto: mirrored or data-parallel
    where there are several."""
    coordinator: str = setting("")
    """Multi-host: HOST:PORT of the first host, where the others find it; empty: from Slurm or Open MPI."""
    n_hosts: int | None = setting(None)
    """Multi-host: number of processes."""
    host_index: int | None = setting(None)
    """Multi-host: which of them this is, from 0."""
