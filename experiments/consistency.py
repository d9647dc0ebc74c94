"""Do the fine-tunings with the autoencoder make the skeletons agree, and does that cost or gain accuracy?

Varies: how the skeletons are kept consistent, on the full mixture. `control` is the fine-tuning without the loss of the
autoencoder: what a variant gains over `separate heads` but not over `control` comes from training on. In rows "started
by the encoder" the heatmaps of latents begin as those of the joints, combined as the encoder does, not at random.
Paper: every variant is more consistent than separate heads. Output regularization is the best one and more accurate
than separate heads, too; on MuPoTS-3D and 3DPW the hybrid lies between it and latent prediction. Merging like-named
joints errs more, except on Human3.6M, but has more correct poses (CPS@200) than separate heads on MuPoTS-3D.
Here: the same order on the embedded benchmarks and on the store that has every skeleton's joints.
Cost at `small`: two trainings of 16 minutes, six fine-tunings of 5 minutes, pseudo-labels and a fit a seed; two at a
time on two cores, 1.7 hours for three seeds.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import BENCHMARKS, CONSISTENCY, Experiment, Figure, Finding, Rows
from experiments.published import CONSISTENT
from experiments.scales import Scale

VARIANTS = ("regularize", "latent", "hybrid")
STARTED = "started by the encoder"


def rows(scale: Scale, seed: int) -> Rows:
    models = {
        "separate heads": recipes.train(scale, seed),
        "merged joints": recipes.train(scale, seed, merged=True),
        "control": recipes.finetune(scale, seed, "regularize", control=True),
        **{variant: recipes.finetune(scale, seed, variant) for variant in VARIANTS},
        **{f"{v}, {STARTED}": recipes.finetune(scale, seed, v, latent_start="encoder") for v in ("latent", "hybrid")},
    }
    return {
        label: (model, recipes.inconsistency(scale, model)) if scale.all_joints_store else (model,)
        for label, model in models.items()
    }


def findings(scale: Scale) -> tuple[Finding, ...]:
    whole, depth = "disagreement_mm", "disagreement_depth_mm"
    mupots, dpw = scale.benchmarks["mupots"], scale.benchmarks["3dpw"]
    return (
        *(
            Finding(f"{v} is more consistent than {other}", v, row, CONSISTENCY, whole, question="agreement")
            for other, row in (("separate heads", "separate heads"), ("training on", "control"))
            for v in VARIANTS
        ),
        Finding("The gain is in depth", "regularize", "separate heads", CONSISTENCY, depth, question="agreement"),
        *(
            Finding(
                f"{v} has more people in whom all skeletons agree",
                v,
                "separate heads",
                CONSISTENCY,
                "agreed_cps@200",
                "higher",
                question="agreement",
            )
            for v in VARIANTS
        ),
        *(
            Finding(f"{v} has more correct poses than separate heads", v, "separate heads", mupots, "cps@200", "higher")
            for v in ("merged joints", *VARIANTS)
        ),
        *(
            Finding(f"regularize is more accurate than {other}", "regularize", other, BENCHMARKS, "mpjpe", question=q)
            for other, q in (
                *(("separate heads", "accuracy"), ("control", "accuracy")),
                *(("hybrid", "variant"), ("latent", "variant")),
            )
        ),
        *(
            Finding(f"{v} is more accurate than control", v, "control", BENCHMARKS, "mpjpe", question="accuracy")
            for v in ("hybrid", "latent")
        ),
        *(
            Finding(f"hybrid is {what} than {other}", "hybrid", other, b, "mpjpe", expected, "variant")
            for b in (mupots, dpw)
            for other, what, expected in (
                ("regularize", "less accurate", "higher"),
                ("latent", "more accurate", "lower"),
            )
        ),
        *(
            Finding(f"{v} {STARTED} is more {what}", f"{v}, {STARTED}", v, group, metric, question="start")
            for v in ("latent", "hybrid")
            for what, group, metric in (("accurate", BENCHMARKS, "mpjpe"), ("consistent", CONSISTENCY, whole))
        ),
        *(
            Finding(
                f"{v} {STARTED} is more accurate than regularize",
                f"{v}, {STARTED}",
                "regularize",
                BENCHMARKS,
                "mpjpe",
                question="start",
            )
            for v in ("latent", "hybrid")
        ),
        *(
            Finding(
                "Merged joints are less accurate", "merged joints", "separate heads", b, "mpjpe", "higher", "merging"
            )
            for b in (mupots, dpw, scale.benchmarks["mpi_inf_3dhp"])
        ),
        Finding(
            "Merged joints are as accurate",
            "merged joints",
            "separate heads",
            scale.benchmarks["human36m"],
            "mpjpe",
            "alike",
            "merging",
        ),
    )


EXPERIMENT = Experiment(
    name="consistency",
    title="Consistent multi-skeleton prediction",
    varies="separate heads, merged joints, and fine-tunings with the autoencoder: regularize, latent, hybrid; control: "
    "the same fine-tuning without it",
    paper="every variant improves consistency; output regularization is the best and beats separate heads in accuracy, "
    "on MuPoTS-3D and 3DPW the hybrid lies between it and latent prediction; merged joints err more except on "
    "Human3.6M, with a better CPS@200 than separate heads on MuPoTS-3D",
    reach="the same order; the differences in accuracy may be smaller than the spread over seeds",
    rows=rows,
    findings=findings,
    figure=Figure("split bars", ("disagreement_depth_mm", "disagreement_plane_mm"), (CONSISTENCY,)),
    known=CONSISTENT,
    by_skeleton=True,
    same_as={
        "separate heads": "S separate joints",
        "merged joints": "S merged joints",
        "regularize": "S regularization",
        "latent": "S latent prediction",
        "hybrid": "S hybrid",
    },
)
