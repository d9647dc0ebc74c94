"""Should the autoencoder compare poses in the image plane or in space?

Varies: the space of the reconstruction loss, and the hybrid fine-tuning with each autoencoder.
Paper: compares in the image plane, because the pseudo-labels' depth is less reliable.
Here: the image loss reconstructs better in the plane, the 3D loss in space; what counts is the fine-tuned model.
Cost at `small`: one fit and one fine-tuning of 5 minutes a seed beside `consistency`; 10 minutes for three seeds.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import AUTOENCODER, BENCHMARKS, CONSISTENCY, Experiment, Figure, Finding, Rows
from experiments.scales import Scale

SPACES = {"image plane": "image", "3D": "3d"}


def rows(scale: Scale, seed: int) -> Rows:
    fits = {label: recipes.fit(scale, seed, space=space) for label, space in SPACES.items()}
    return {label: (fit, recipes.finetune(scale, seed, "hybrid", fit)) for label, fit in fits.items()}


def findings(scale: Scale) -> tuple[Finding, ...]:
    a, b = SPACES
    return (
        Finding("The image loss reconstructs better in the plane", a, b, AUTOENCODER, "error_2d_mm"),
        Finding("The 3D loss reconstructs better in space", b, a, AUTOENCODER, "error_3d_mm"),
        Finding("The image loss gives the more consistent hybrid", a, b, CONSISTENCY, "disagreement_mm"),
        Finding("The image loss gives the more accurate hybrid", a, b, BENCHMARKS, "mpjpe"),
    )


EXPERIMENT = Experiment(
    name="loss-space",
    title="Space of the autoencoder's loss",
    varies="reconstruction compared in the image plane or in 3D, and the hybrid fine-tuned with each",
    paper="the image plane, because the depth of pseudo-labels is less reliable",
    reach="each loss best at its own error; the hybrid decides",
    rows=rows,
    findings=findings,
    question="space",
    figure=Figure("bars", ("mpjpe",)),
)
