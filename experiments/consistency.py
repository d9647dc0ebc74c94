"""Do the fine-tunings with the autoencoder make the skeletons agree, and does that cost or gain accuracy?

Varies: how the skeletons are kept consistent, on the full mixture. `control` is the fine-tuning without the loss of the
autoencoder: what a variant gains over `separate heads` but not over `control` comes from training on.
Paper: consistency improves clearly with every variant, the hybrid is the best and beats separate heads in accuracy,
too; merging like-named joints is worse except on Human3.6M.
Here: the same order of consistency on the store that has every skeleton's joints.
Cost at `small`: two trainings of 17 minutes, four fine-tunings of 5 minutes, pseudo-labels and a fit a seed; two at a
time on two cores, 1.4 hours for three seeds.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import BENCHMARKS, CONSISTENCY, Experiment, Figure, Finding, Rows
from experiments.published import LARGE_28
from experiments.scales import Scale

VARIANTS = ("regularize", "latent", "hybrid")


def rows(scale: Scale, seed: int) -> Rows:
    return {
        "separate heads": (recipes.train(scale, seed),),
        "merged joints": (recipes.train(scale, seed, merged=True),),
        "control": (recipes.finetune(scale, seed, "regularize", control=True),),
        **{variant: (recipes.finetune(scale, seed, variant),) for variant in VARIANTS},
    }


def findings(scale: Scale) -> tuple[Finding, ...]:
    whole, depth = "disagreement_mm", "disagreement_depth_mm"
    return (
        *(
            Finding(f"{v} is more consistent than separate heads", v, "separate heads", CONSISTENCY, whole)
            for v in VARIANTS
        ),
        *(Finding(f"{v} is more consistent than training on", v, "control", CONSISTENCY, whole) for v in VARIANTS),
        Finding("hybrid is more consistent than regularize", "hybrid", "regularize", CONSISTENCY, whole),
        Finding("hybrid is more consistent than latent", "hybrid", "latent", CONSISTENCY, whole),
        Finding("The gain is in depth", "hybrid", "separate heads", CONSISTENCY, depth),
        Finding("hybrid is more accurate than separate heads", "hybrid", "separate heads", BENCHMARKS, "mpjpe"),
        Finding("hybrid is more accurate than training on", "hybrid", "control", BENCHMARKS, "mpjpe"),
        Finding("Merged joints are less accurate", "merged joints", "separate heads", BENCHMARKS, "mpjpe", "higher"),
    )


EXPERIMENT = Experiment(
    name="consistency",
    title="Consistent multi-skeleton prediction",
    varies="separate heads, merged joints, and fine-tunings with the autoencoder: regularize, latent, hybrid; control: "
    "the same fine-tuning without it",
    paper="every variant improves consistency, the hybrid most, and beats separate heads in accuracy; merged joints "
    "are worse except on Human3.6M",
    reach="the same order of consistency; the differences in accuracy may be smaller than the spread over seeds",
    rows=rows,
    findings=findings,
    figure=Figure("split bars", ("disagreement_depth_mm", "disagreement_plane_mm"), (CONSISTENCY,)),
    known=LARGE_28,
)
