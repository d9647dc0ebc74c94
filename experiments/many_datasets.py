"""Does training on many datasets help?

Varies: the 3D training data: the benchmark's own training set alone, the small, the medium and the full mixture; all
for the same number of steps, and all for the same number of passes over their images, too.
Paper: accuracy rises steadily over 1, 3, 14 and 28 datasets; Human3.6M gains little or loses. Its table is not at hand,
only the row of 28 datasets (separate joints).
Here: the same order over 1, 4, 8 and 10 embedded datasets.
Cost at `small`: six trainings of 16 minutes and six shorter ones a seed beside the full mixture's; 3.3 hours for three
seeds.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import BENCHMARKS, Experiment, Figure, Finding, Rows
from experiments.published import CONSISTENT
from experiments.scales import Scale

OWN = "own training set"
PASSES = ", equal passes"


def rows(scale: Scale, seed: int) -> Rows:
    groups = {OWN: [m for m in scale.mixtures if m.startswith("single-")], "small": ["small"], "medium": ["medium"]}
    found = {row: tuple(recipes.train(scale, seed, m) for m in group) for row, group in groups.items()}
    found["full"] = (recipes.train(scale, seed),)
    for row, group in groups.items() if scale.sizes else ():
        steps = {m: round(scale.training_steps * scale.sizes[m]) for m in group}
        found[row + PASSES] = tuple(recipes.train(scale, seed, m, steps=steps[m]) for m in group)
    return found


def findings(scale: Scale) -> tuple[Finding, ...]:
    equal_passes = {OWN: "the single datasets", "small": "the small one", "medium": "the medium one"}
    return (
        Finding("A small mixture beats single datasets", "small", OWN, BENCHMARKS, "mpjpe"),
        Finding("The medium mixture beats the small one", "medium", "small", BENCHMARKS, "mpjpe"),
        Finding("The full mixture beats the medium one", "full", "medium", BENCHMARKS, "mpjpe"),
        Finding("The full mixture beats the small one", "full", "small", BENCHMARKS, "mpjpe"),
        *(
            Finding(f"The full mixture beats {other} of equal passes", "full", row + PASSES, BENCHMARKS, "mpjpe")
            for row, other in (equal_passes if scale.sizes else {}).items()
        ),
    )


EXPERIMENT = Experiment(
    name="many-datasets",
    title="Benefit of many datasets",
    varies="the 3D training data: one dataset, the small, the medium and the full mixture, for equal steps and equal "
    "passes over the images",
    paper="accuracy rises steadily over 1, 3, 14 and 28 datasets; Human3.6M gains little or loses",
    reach="the same order over 1, 4, 8 and 10 datasets",
    rows=rows,
    findings=findings,
    question="datasets",
    figure=Figure("bars", ("mpjpe",)),
    known=tuple(k for k in CONSISTENT if k.model == "S separate joints"),
    same_as={"full": "S separate joints"},
)
