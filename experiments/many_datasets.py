"""Does training on many datasets help?

Varies: the 3D training data: the benchmark's own training set alone, the small, the medium and the full mixture.
Paper: more datasets help on MuPoTS-3D, 3DPW and MPI-INF-3DHP; Human3.6M alone is enough for its own test set.
Here: the same order on the embedded imitations of MuPoTS-3D and 3DPW, whose training sets are narrow.
Cost at `small`: six trainings of 17 minutes a seed beside the full mixture's; 2.7 hours for three seeds.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import BENCHMARKS, Experiment, Figure, Finding, Rows
from experiments.published import LARGE_28
from experiments.scales import Scale


def rows(scale: Scale, seed: int) -> Rows:
    single = [m for m in scale.mixtures if m.startswith("single-")]
    return {
        "own training set": tuple(recipes.train(scale, seed, m) for m in single),
        **{m: (recipes.train(scale, seed, m),) for m in ("small", "medium", "full")},
    }


def findings(scale: Scale) -> tuple[Finding, ...]:
    return (
        Finding("A small mixture beats single datasets", "small", "own training set", BENCHMARKS, "mpjpe"),
        Finding("The full mixture beats the small one", "full", "small", BENCHMARKS, "mpjpe"),
        *(
            Finding("The full mixture beats the medium one", "full", "medium", scale.benchmarks[b], "mpjpe")
            for b in ("mupots", "3dpw")
        ),
    )


EXPERIMENT = Experiment(
    name="many-datasets",
    title="Benefit of many datasets",
    varies="the 3D training data: one dataset, the small, the medium and the full mixture",
    paper="the small mixture beats single datasets, the full one is the best on MuPoTS-3D, 3DPW and MPI-INF-3DHP; "
    "Human3.6M gains little or loses",
    reach="the same order on the embedded benchmarks",
    rows=rows,
    findings=findings,
    figure=Figure("bars", ("mpjpe",)),
    known=LARGE_28,
)
