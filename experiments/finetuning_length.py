"""How long should the fine-tuning be?

Varies: the steps of the hybrid fine-tuning; 0 is the model that it starts from.
Paper: 40,000 steps, a tenth of the main training.
Here: the latent head starts from random weights, so that very short fine-tunings are worse than none; consistency and
accuracy should flatten well before the length of the main training.
Cost at `small`: a quarter, half and double of the hybrid fine-tuning a seed; 25 minutes for three seeds.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import BENCHMARKS, CONSISTENCY, Experiment, Figure, Finding, Rows
from experiments.scales import Scale


def lengths(scale: Scale) -> tuple[int, ...]:
    steps = scale.finetuning_steps
    return tuple(dict.fromkeys((max(1, steps // 4), steps // 2, steps, 2 * steps)))


def rows(scale: Scale, seed: int) -> Rows:
    tuned = {f"{steps} steps": (recipes.finetune(scale, seed, "hybrid", steps=steps),) for steps in lengths(scale)}
    return {"0 steps": (recipes.train(scale, seed),), **tuned}


def findings(scale: Scale) -> tuple[Finding, ...]:
    long, usual, short = (f"{steps} steps" for steps in (lengths(scale)[-1], scale.finetuning_steps, lengths(scale)[0]))
    return (
        Finding("The usual length is more accurate than a quarter of it", usual, short, BENCHMARKS, "mpjpe"),
        Finding("Twice the usual length is more accurate still", long, usual, BENCHMARKS, "mpjpe"),
        Finding("A quarter of the usual length is consistent", short, "0 steps", CONSISTENCY, "disagreement_mm"),
    )


EXPERIMENT = Experiment(
    name="finetuning-length",
    title="Length of the fine-tuning",
    varies="the steps of the hybrid fine-tuning",
    paper="a tenth of the main training's steps",
    reach="a curve that flattens",
    rows=rows,
    findings=findings,
    question="length",
    figure=Figure("lines", ("mpjpe",), x_label="steps of fine-tuning"),
)
