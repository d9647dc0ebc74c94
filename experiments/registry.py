"""The experiments by name, in the order of the paper."""

from __future__ import annotations

from experiments import (
    chirality,
    consistency,
    depth_inconsistency,
    finetuning_length,
    latent_count,
    latents,
    loss_space,
    many_datasets,
    prior_work,
    training_length,
    weight_constraint,
)
from experiments.experiment import Experiment
from metrabs_acae.errors import UserError

MODULES = (
    many_datasets, consistency, prior_work, latent_count, chirality, loss_space, weight_constraint, training_length,
    finetuning_length, depth_inconsistency, latents,
)  # fmt: skip

EXPERIMENTS: dict[str, Experiment] = {m.EXPERIMENT.name: m.EXPERIMENT for m in MODULES}


def get_experiments(names: list[str] | tuple[str, ...]) -> list[Experiment]:
    """The named experiments; ``all``: every one. UserError lists the names."""
    if not names:
        raise UserError(f"Name experiments, or all; there are {', '.join(EXPERIMENTS)}.")
    chosen = []
    for name in EXPERIMENTS if "all" in names else names:
        if name not in EXPERIMENTS:
            raise UserError(f"There is no experiment '{name}'; choose from {', '.join(EXPERIMENTS)}, all.")
        chosen.append(EXPERIMENTS[name])
    return chosen
