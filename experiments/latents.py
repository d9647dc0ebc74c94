"""Figure: what the latent points are.

Varies: nothing: the main autoencoder's latents with the joints that each drives.
Paper: latents lie in and around the body, left and right ones mirrored, each driving joints of several skeletons.
Here: the same; the picture of latents on a pose is `...-report/latents.png` beside the autoencoder in the work folder.
Cost: none beside `consistency`.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import Experiment, Figure, Finding, Rows
from experiments.scales import Scale


def rows(scale: Scale, seed: int) -> Rows:
    return {f"{scale.n_latents} latents": (recipes.fit(scale, seed),)}


def findings(scale: Scale) -> tuple[Finding, ...]:
    return ()


EXPERIMENT = Experiment(
    name="latents",
    title="The latent points",
    varies="nothing: the main autoencoder",
    paper="latents around the body, mirrored left and right, each shared by joints of several skeletons",
    reach="the same",
    rows=rows,
    findings=findings,
    figure=Figure("latents", ("error_2d_mm",)),
)
