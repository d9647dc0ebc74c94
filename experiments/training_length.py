"""How long should the model of separate heads be trained?

Varies: the steps of the main training; the learning-rate schedule is stretched with them.
Paper: 400,000 steps; longer trainings are better (the released models were trained on to 800,000 and more).
Here: errors fall with the length, far from flat.
Cost at `small`: a quarter and half of the full mixture's training a seed; 19 minutes for three seeds.
"""

from __future__ import annotations

import itertools

from experiments import recipes
from experiments.experiment import BENCHMARKS, Experiment, Figure, Finding, Rows
from experiments.scales import Scale


def lengths(scale: Scale) -> tuple[int, ...]:
    steps = scale.training_steps
    return (steps // 4, steps // 2, steps)


def rows(scale: Scale, seed: int) -> Rows:
    return {f"{steps} steps": (recipes.train(scale, seed, steps=steps),) for steps in lengths(scale)}


def findings(scale: Scale) -> tuple[Finding, ...]:
    return tuple(
        Finding(f"{b} steps are better than {a}", f"{b} steps", f"{a} steps", BENCHMARKS, "mpjpe")
        for a, b in itertools.pairwise(lengths(scale))
    )


EXPERIMENT = Experiment(
    name="training-length",
    title="Length of the training",
    varies="the steps of the main training",
    paper="longer is better",
    reach="errors that fall with the length",
    rows=rows,
    findings=findings,
    question="length",
    figure=Figure("lines", ("mpjpe",), x_label="steps"),
)
