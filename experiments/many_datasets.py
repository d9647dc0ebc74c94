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

    def trained(mixtures: list[str], equal_passes: bool):
        steps = {m: round(scale.training_steps * scale.sizes[m]) if equal_passes else None for m in mixtures}
        return tuple(recipes.train(scale, seed, m, steps=steps[m]) for m in mixtures)

    return {
        **{row: trained(mixtures, False) for row, mixtures in groups.items()},
        "full": trained(["full"], False),
        **{row + PASSES: trained(mixtures, True) for row, mixtures in groups.items() if {*mixtures} <= {*scale.sizes}},
    }


def findings(scale: Scale) -> tuple[Finding, ...]:
    of_equal_passes = (OWN, "small", "medium") if scale.sizes else ()
    return (
        Finding("A small mixture beats single datasets", "small", OWN, BENCHMARKS, "mpjpe"),
        Finding("The medium mixture beats the small one", "medium", "small", BENCHMARKS, "mpjpe"),
        Finding("The full mixture beats the medium one", "full", "medium", BENCHMARKS, "mpjpe"),
        Finding("The full mixture beats the small one", "full", "small", BENCHMARKS, "mpjpe"),
        *(
            Finding(
                f"The full mixture beats the {'single datasets' if row == OWN else f'{row} one'} of equal passes",
                "full",
                row + PASSES,
                BENCHMARKS,
                "mpjpe",
            )
            for row in of_equal_passes
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
