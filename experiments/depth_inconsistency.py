"""Figure: separate heads put the skeletons at different depths.

Varies: the model: separate heads, output regularization, and the hybrid. Shows all skeletons that each predicts for one
person, from the front, from the side and from between; the table has the disagreement along depth and in the plane.
Paper: from the front the skeletons agree, from the side they fall apart along depth; regularized ones agree.
Here: disagreement in depth larger than in the plane with separate heads, and closed by the others.
Cost at `small`: three predictions of half a minute a seed beside `consistency`.
"""

from __future__ import annotations

from experiments import recipes
from experiments.experiment import CONSISTENCY, Experiment, Figure, Finding, Rows
from experiments.scales import Scale


def rows(scale: Scale, seed: int) -> Rows:
    if not scale.all_joints_store:
        return {}
    models = {"separate heads": recipes.train(scale, seed)}
    models |= {variant: recipes.finetune(scale, seed, variant) for variant in ("regularize", "hybrid")}
    return {label: (recipes.inconsistency(scale, model),) for label, model in models.items()}


def findings(scale: Scale) -> tuple[Finding, ...]:
    return tuple(
        Finding(f"{v} agrees better {where}", v, "separate heads", CONSISTENCY, f"disagreement_{metric}_mm")
        for v in ("regularize", "hybrid")
        for where, metric in (("along depth", "depth"), ("in the plane", "plane"))
    )


EXPERIMENT = Experiment(
    name="depth-inconsistency",
    title="Inconsistency of separate heads along depth",
    varies="the model: separate heads, output regularization and the hybrid",
    paper="separate heads agree in the image and fall apart along depth",
    reach="the same picture; needs a store with every skeleton's joints, so it does not exist at the paper scale",
    rows=rows,
    findings=findings,
    figure=Figure("people", ("disagreement_depth_mm",), (CONSISTENCY,)),
)
