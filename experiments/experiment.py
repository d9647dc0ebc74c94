"""What an experiment is: rows made of steps, numbers to show, and findings to test."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from experiments.scales import Scale
from experiments.steps import Step

BENCHMARK_COLUMNS = ("mpjpe", "pa_mpjpe", "pck@100", "cps@200")
"""The paper's four numbers."""
CONSISTENCY_COLUMNS = (
    *("disagreement_mm", "disagreement_depth_mm", "disagreement_plane_mm", "bone_length_spread_mm"),
    "agreed_cps@200",
)
ACAE_COLUMNS = ("error_2d_mm", "error_3d_mm", "main_loss_mm", "encoder_zeros", "decoder_zeros", "asymmetry_mm")

BENCHMARKS = "benchmarks"
"""In a finding: the mean over the four benchmarks."""
CONSISTENCY = "consistency"
AUTOENCODER = "autoencoder"

Rows = Mapping[str, tuple[Step, ...]]


@dataclass(frozen=True)
class Finding:
    """A statement of the paper that seeds can support.

    Attributes:
        text: the statement. first, second: labels of two rows. group, metric: what is compared.
        expected: what `first` is than `second`: ``"lower"``, ``"higher"`` or ``"alike"``, see `statistics.compare`.
        question: the one of `questions.QUESTIONS` that it helps to answer; empty: its experiment's.
    """

    text: str
    first: str
    second: str
    group: str
    metric: str
    expected: str = "lower"
    question: str = ""


@dataclass(frozen=True)
class Known:
    """A number that the paper or its authors publish: on the real benchmarks, so not comparable with embedded data.

    Attributes:
        model: the row of the published table. benchmark: the protocol's name. source: where it was read.
    """

    model: str
    benchmark: str
    metric: str
    value: float
    source: str


@dataclass(frozen=True)
class Figure:
    """How `plot` draws a table.

    Attributes:
        kind: ``"bars"`` (a group of bars per group of numbers), ``"lines"`` (rows along the horizontal axis, whose
            labels begin with numbers), ``"split bars"`` (the metrics of one group side by side), ``"people"`` (one
            person as the skeletons of each row's model see it) or ``"latents"`` (the joints that each latent drives).
        metrics: one for bars and lines; groups: which; empty: all that have the metric.
    """

    kind: str
    metrics: tuple[str, ...]
    groups: tuple[str, ...] = ()
    x_label: str = ""


@dataclass(frozen=True)
class Experiment:
    """A table or figure of the paper.

    Attributes:
        name, title: on the command line and for people.
        varies, paper, reach: what it varies, what the paper found, what it should reach here.
        rows: (scale, seed) -> label -> the steps whose numbers make the row.
        findings: (scale) -> what to test. question: that they answer; empty: none. known: published numbers.
        same_as: row -> the published model that it is at the paper's scale.
        only: metrics to show; empty: the usual ones of each group.
        by_skeleton: show what `library.inconsistency` measured of each skeleton, too.
    """

    name: str
    title: str
    varies: str
    paper: str
    reach: str
    rows: Callable[[Scale, int], Rows]
    findings: Callable[[Scale], tuple[Finding, ...]]
    figure: Figure
    question: str = ""
    known: tuple[Known, ...] = ()
    same_as: Mapping[str, str] = field(default_factory=dict)
    only: tuple[str, ...] = ()
    by_skeleton: bool = False

    def steps(self, scale: Scale, seeds: tuple[int, ...]) -> list[Step]:
        """The steps of all rows, without those that they need."""
        return [step for seed in seeds for steps in self.rows(scale, seed).values() for step in steps]
