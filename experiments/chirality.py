"""Does the autoencoder need mirror symmetry?

Varies: chirality-equivariant weights, or independent ones for left and right, at three numbers of latents.
Paper: lists the comparison; its numbers are not at hand.
Here: symmetry costs little reconstruction and makes mirrored poses give mirrored latents exactly.
Cost at `small`: half a minute per fit beside those of `latent-count`; 6 minutes for three seeds with those.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import AUTOENCODER, Experiment, Figure, Finding, Rows
from experiments.scales import Scale


def counts(scale: Scale) -> tuple[int, ...]:
    """Up to three numbers of latents, the main one among them."""
    return tuple(c for c in scale.latent_counts if c <= scale.n_latents)[-3:]


def rows(scale: Scale, seed: int) -> Rows:
    return {
        f"{count} latents, {'chiral' if chiral else 'not chiral'}": (
            recipes.fit(scale, seed, latents=count, chiral=chiral),
        )
        for count in counts(scale)
        for chiral in (True, False)
    }


def findings(scale: Scale) -> tuple[Finding, ...]:
    n = scale.n_latents
    return (
        Finding(
            "Symmetry helps on held-out poses",
            f"{n} latents, chiral",
            f"{n} latents, not chiral",
            AUTOENCODER,
            "error_2d_mm",
        ),
    )


EXPERIMENT = Experiment(
    name="chirality",
    title="Mirror symmetry of the autoencoder",
    varies="chirality-equivariant weights or independent ones",
    paper="lists the comparison; its numbers are not at hand",
    reach="little difference in reconstruction, an asymmetry of zero",
    rows=rows,
    findings=findings,
    question="symmetry",
    figure=Figure("bars", ("error_2d_mm",), (AUTOENCODER,)),
)
