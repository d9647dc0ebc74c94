"""Figure: separate heads put the skeletons at different depths.

Varies: the model: separate heads, and the hybrid. Shows one person of median disagreement from the front and from the
side, all skeletons of the prediction; the table has the disagreement along depth and in the plane.
Paper: from the front the skeletons agree, from the side they fall apart along depth.
Here: disagreement in depth larger than in the plane with separate heads, and closed by the hybrid.
Cost at `small`: two predictions of half a minute a seed beside `consistency`.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import CONSISTENCY, Experiment, Figure, Finding, Rows
from experiments.scales import Scale


def rows(scale: Scale, seed: int) -> Rows:
    if not scale.all_joints_store:
        return {}
    models = {"separate heads": recipes.train(scale, seed), "hybrid": recipes.finetune(scale, seed, "hybrid")}
    return {label: (recipes.inconsistency(scale, model),) for label, model in models.items()}


def findings(scale: Scale) -> tuple[Finding, ...]:
    first, second = "hybrid", "separate heads"
    return (
        Finding("The hybrid agrees better along depth", first, second, CONSISTENCY, "disagreement_depth_mm"),
        Finding("The hybrid agrees better in the plane", first, second, CONSISTENCY, "disagreement_plane_mm"),
    )


EXPERIMENT = Experiment(
    name="depth-inconsistency",
    title="Inconsistency of separate heads along depth",
    varies="the model: separate heads and the hybrid",
    paper="separate heads agree in the image and fall apart along depth",
    reach="the same picture; needs a store with every skeleton's joints, so it does not exist at the paper scale",
    rows=rows,
    findings=findings,
    figure=Figure("people", ("disagreement_depth_mm",), (CONSISTENCY,)),
)
