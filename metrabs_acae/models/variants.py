"""The variants of the model's output: how the skeletons are kept consistent. One row says all there is to one.

A variant of your own is one more row, made and registered in your own module:

    register_variant(Variant("mean", points=("joints",), losses=lambda weights, half: {"pose": 1.0, "mine": 0.1}))

or named as MODULE:NAME on the command line. Loss terms are named as in `losses.LOSS_TERMS`, to which
`losses.register_loss_term` adds.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from metrabs_acae.errors import UserError
from metrabs_acae.models.settings import LossWeights
from metrabs_acae.plugins import import_named


@dataclass(frozen=True)
class Variant:
    """One way to predict the joints of many skeletons with one network.

    Attributes:
        name: value of `--variant`, and part of config.json.
        points: what the head predicts, "latents" and/or "joints", in the order of its channels.
        losses: (weights, "3d" or "2d" by what the examples are labelled with) -> weights of the terms of
            `losses.LOSS_TERMS` on them, by name.
        decodes_latents: whether the output is the decoded latents; else the head's joints.
        needs_acae: whether it has an autoencoder.
        starts_from: variants that a run of --init-path may have.
        copies: points whose channels of the head come from that run too; others start at random.
        learning_rates: "main": one schedule for all; "finetune": the pair of a fine-tuning, which needs --init-path.

    Raises:
        UserError: points that do not exist or cannot be decoded or copied.
    """

    name: str
    points: tuple[str, ...]
    losses: Callable[[LossWeights, str], dict[str, float]]
    decodes_latents: bool = False
    needs_acae: bool = True
    starts_from: tuple[str, ...] = ("separate", "regularize")
    copies: tuple[str, ...] = ("joints",)
    learning_rates: Literal["main", "finetune"] = "finetune"

    def __post_init__(self):
        if not self.points or len(set(self.points)) != len(self.points) or set(self.points) - {"latents", "joints"}:
            raise UserError(f"Variant {self.name}: points are latents, joints or both; got {', '.join(self.points)}.")
        if ("latents" in self.points or self.decodes_latents) and not self.needs_acae:
            raise UserError(f"Variant {self.name} has latents, so it needs an autoencoder: set needs_acae.")
        if ("latents" if self.decodes_latents else "joints") not in self.points or set(self.copies) - set(self.points):
            raise UserError(f"Variant {self.name}: the output and what is copied must be among the head's points.")


def _separate(weights: LossWeights, half: str) -> dict[str, float]:
    return {"pose": 1.0}


def _regularize(weights: LossWeights, half: str) -> dict[str, float]:
    terms = {"pose": 1.0, "manifold": weights.manifold * (weights.manifold_2d if half == "2d" else 1.0)}
    return terms | {"autoencoded": weights.autoencoded} if weights.autoencoded else terms


def _latent(weights: LossWeights, half: str) -> dict[str, float]:
    return {"decoded": 1.0}


def _hybrid(weights: LossWeights, half: str) -> dict[str, float]:
    share, manifold = 1.0, weights.manifold
    if half == "2d":
        share, manifold = 0.5, manifold * weights.manifold_2d
    autoencoded = 1.0 if weights.autoencoded is None else weights.autoencoded
    terms = {"pose": 1.0, "decoded": 1.0, "manifold": manifold * share, "autoencoded": autoencoded}
    return terms | {"teacher": weights.teacher * share}


VARIANTS: dict[str, Variant] = {}
"""The variants by name; `register_variant` adds to them."""


def register_variant(variant: Variant) -> Variant:
    """Makes a variant known by its name; UserError if another one has it."""
    if VARIANTS.setdefault(variant.name, variant) != variant:
        raise UserError(f"There is another variant {variant.name!r} already: choose another name.")
    return variant


def import_variant(name: str) -> None:
    """Makes MODULE:NAME a variant by importing the module. Only for names that the user has given on purpose."""
    found = import_named(name, "--variant")
    if not isinstance(found, Variant):
        raise UserError(f"--variant {name} is no Variant, but {type(found).__name__}.")
    VARIANTS[name] = replace(found, name=name)


def get_variant(variant: str | Variant) -> Variant:
    """The variant of a name (or the variant given); UserError lists the names."""
    if isinstance(variant, Variant):
        return variant
    if variant not in VARIANTS and ":" in variant:
        raise UserError(
            f"The variant {variant!r} is code outside this project, which runs only when the command names it: "
            f"give --variant {variant} if you trust that module."
        )
    if variant not in VARIANTS:
        raise UserError(f"variant is {variant!r}, expected one of {', '.join(VARIANTS)}.")
    return VARIANTS[variant]


register_variant(Variant("separate", ("joints",), _separate, needs_acae=False, learning_rates="main"))
register_variant(Variant("regularize", ("joints",), _regularize))
register_variant(Variant("latent", ("latents",), _latent, decodes_latents=True, copies=()))
register_variant(Variant("hybrid", ("latents", "joints"), _hybrid, decodes_latents=True))
