"""Numbers that the paper's authors publish, with their source. The paper's own tables were not at hand."""

from __future__ import annotations

from experiments.experiment import Known

PAGE = "the authors' page of the 28-dataset models"
SIX = "the authors' page of the 6-dataset models (5 crops)"

LARGE_28 = (
    Known("28 datasets, EfficientNetV2-L", "Human3.6M", "mpjpe", 35.5, PAGE),
    Known("28 datasets, EfficientNetV2-L", "3DPW", "mpjpe", 57.0, PAGE),
    Known("28 datasets, EfficientNetV2-L", "MPI-INF-3DHP", "pck@150", 97.6, PAGE),
)

SIX_DATASETS = tuple(
    Known(f"6 datasets, {name}", benchmark, metric, value, SIX)
    for name, values in (
        ("EfficientNetV2-L", (41.1, 61.9, 95.7, 90.6)),
        ("EfficientNetV2-S", (47.4, 64.9, 94.5, 90.0)),
        ("MobileNetV3-small", (68.3, 86.4, 82.4, 81.8)),
    )
    for (benchmark, metric), value in zip(
        (("Human3.6M", "mpjpe"), ("3DPW", "mpjpe"), ("MPI-INF-3DHP", "pck@150"), ("MuPoTS-3D", "pck@150")),
        values,
        strict=True,
    )
)
