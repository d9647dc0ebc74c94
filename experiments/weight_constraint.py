"""Signed or non-negative weights in the autoencoder?

Varies: affine weights (signed, columns sum to 1) or non-negative ones (convex combinations), and the hybrid fine-tuning
with each autoencoder.
Paper: affine weights; non-negative ones are this project's default elsewhere, and not in the paper.
Here: on the golden pose set the two reconstruct alike at 48 latents; non-negative latents rest on fewer joints, so that
they average less noise. The fine-tuned model decides.
Cost at `small`: one fit and one fine-tuning of 5 minutes a seed beside `consistency`; 10 minutes for three seeds.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import AUTOENCODER, BENCHMARKS, CONSISTENCY, Experiment, Figure, Finding, Rows
from experiments.scales import Scale


def rows(scale: Scale, seed: int) -> Rows:
    fits = {label: recipes.fit(scale, seed, weights=label) for label in ("affine", "nonnegative")}
    return {label: (fit, recipes.finetune(scale, seed, "hybrid", fit)) for label, fit in fits.items()}


def findings(scale: Scale) -> tuple[Finding, ...]:
    a, b = "affine", "nonnegative"
    return (
        Finding("Signed weights reconstruct better", a, b, AUTOENCODER, "error_2d_mm"),
        Finding("Signed weights give the more consistent hybrid", a, b, CONSISTENCY, "disagreement_mm"),
        Finding("Signed weights give the more accurate hybrid", a, b, BENCHMARKS, "mpjpe"),
    )


EXPERIMENT = Experiment(
    name="weight-constraint",
    title="Weights of the autoencoder",
    varies="signed or non-negative weights, and the hybrid fine-tuned with each",
    paper="signed weights only",
    reach="alike in reconstruction; the hybrid decides",
    rows=rows,
    findings=findings,
    question="sign",
    figure=Figure("bars", ("mpjpe",)),
)
