"""How many latent points does the autoencoder need?

Varies: the number of latents, fitted to the same pseudo-labels.
Paper: the reconstruction error falls with the number of latents and flattens; 48 are used for 555 joints.
Here: the same curve.
Cost at `small`: half a minute per fit beside the pseudo-labels of `consistency`; 5 minutes for three seeds.
"""

from __future__ import annotations

import itertools

from experiments import recipes
from experiments.experiment import AUTOENCODER, Experiment, Figure, Finding, Rows
from experiments.scales import Scale


def rows(scale: Scale, seed: int) -> Rows:
    return {f"{count} latents": (recipes.fit(scale, seed, latents=count),) for count in scale.latent_counts}


def findings(scale: Scale) -> tuple[Finding, ...]:
    return tuple(
        Finding(f"{b} latents reconstruct better than {a}", f"{b} latents", f"{a} latents", AUTOENCODER, "error_2d_mm")
        for a, b in itertools.pairwise(scale.latent_counts)
    )


EXPERIMENT = Experiment(
    name="latent-count",
    title="Number of latent points",
    varies="the number of latent points of the autoencoder",
    paper="the reconstruction error falls with the number of latents and flattens",
    reach="a falling, flattening curve",
    rows=rows,
    findings=findings,
    question="latents",
    figure=Figure("lines", ("error_2d_mm",), (AUTOENCODER,), "latent points"),
)
