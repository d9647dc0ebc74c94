"""How does the model compare with others, by each benchmark's own protocol?

Varies: nothing: the hybrid model predicts all four benchmarks as their protocols say, and each protocol scores it.
Paper: state of the art on the four benchmarks at its time.
Here: a check of the whole path from images to the protocols' tables; on embedded data there is no prior work to
compare with.
Cost at `small`: beside the hybrid model of `consistency`, four predictions of half a minute a seed.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import Experiment, Figure, Finding, Rows
from experiments.published import LARGE_28, SIX_DATASETS
from experiments.scales import Scale


def rows(scale: Scale, seed: int) -> Rows:
    hybrid, separate = recipes.finetune(scale, seed, "hybrid"), recipes.train(scale, seed)
    return {
        "hybrid": tuple(recipes.score(scale, hybrid, protocol) for protocol in scale.benchmarks),
        "separate heads": tuple(recipes.score(scale, separate, protocol) for protocol in scale.benchmarks),
    }


def findings(scale: Scale) -> tuple[Finding, ...]:
    return ()


EXPERIMENT = Experiment(
    name="prior-work",
    title="Comparison with prior work",
    varies="nothing: the models' predictions by the four benchmarks' own protocols",
    paper="better than prior work on the four benchmarks",
    reach="numbers by the protocols; there is no prior work on embedded data",
    rows=rows,
    findings=findings,
    figure=Figure("bars", ("mpjpe",)),
    known=(*LARGE_28, *SIX_DATASETS),
)
