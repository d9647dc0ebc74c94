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
    finetune_in_inference_mode: int | None = setting(None, at_least=0)
    """Last steps, trained with frozen batch normalization statistics; none: min(1000, training_steps / 40)."""
    loss2d_factor: float = setting(0.2)
    """Weight of the 2D-labelled examples' loss."""
    absloss_factor: float = setting(0.1)
    """Weight of the absolute position loss."""
    absloss_start_step: int | None = setting(None)
    """Step after which the absolute loss counts; none: min(5000, training_steps / 8)."""
    loss_manif_factor: float = setting(1.0, at_least=0)
    """Weight of the distance between joints and their auto-encoded selves (variants regularize and hybrid)."""
    loss_manif_factor2d: float = setting(1.0, at_least=0)
    """Further factor of that loss on the 2D-labelled examples."""
    allhead_aegt_loss_factor: float | None = setting(None, at_least=0)
    """Weight of the pose loss on auto-encoded joints; none: 1 for hybrid, 0 for regularize."""
    teacher_loss_factor: float = setting(1.0, at_least=0)
    """Weight of the loss between latents and encoded joints (variant hybrid)."""
    teacher_loss_start_step: int | None = setting(None)
    """Step after which that loss counts; none: min(5000, training_steps / 8)."""
    stop_gradient_latent: bool = setting(True)
    """Keep that loss from moving the joints."""
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
