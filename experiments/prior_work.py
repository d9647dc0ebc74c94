"""How does the model compare with others, by each benchmark's own protocol?

Varies: nothing: the models predict all four benchmarks as their protocols say, and each protocol scores them. The
paper's numbers are those of output regularization.
Paper: better than prior work on the four benchmarks at its time; larger crops, longer training, a larger network and
five crops help each.
Here: a check of the whole path from images to the protocols' tables; on embedded data there is no prior work to
compare with.
Cost at `small`: beside the models of `consistency`, twelve predictions of half a minute a seed.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import Experiment, Figure, Finding, Rows
from experiments.published import COMPARISON, SIX_DATASETS
from experiments.scales import Scale


def rows(scale: Scale, seed: int) -> Rows:
    models = {
        "regularize": recipes.finetune(scale, seed, "regularize"),
        "hybrid": recipes.finetune(scale, seed, "hybrid"),
        "separate heads": recipes.train(scale, seed),
    }
    return {
        label: tuple(recipes.score(scale, model, protocol) for protocol in scale.benchmarks)
        for label, model in models.items()
    }


def findings(scale: Scale) -> tuple[Finding, ...]:
    return ()


EXPERIMENT = Experiment(
    name="prior-work",
    title="Comparison with prior work",
    varies="nothing: the models' predictions by the four benchmarks' own protocols",
    paper="better than prior work on the four benchmarks, with output regularization",
    reach="numbers by the protocols; there is no prior work on embedded data",
    rows=rows,
    findings=findings,
    figure=Figure("bars", ("mpjpe",)),
    known=(*COMPARISON, *SIX_DATASETS),
    same_as={"regularize": "EfficientNetV2-S, 256 px, 400k steps"},
)
