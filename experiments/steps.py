"""A step: one call of the program, or of a function of `library`, that leaves one result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

KINDS = ("data", "train", "poses", "fit", "predict", "score", "inconsistency")


@dataclass(frozen=True)
class Places:
    """Folders: of the runs and other large files, of the results, of the pose stores."""

    work: Path
    results: Path
    stores: Path

    def fill(self, text: str) -> str:
        return text.replace("{work}", str(self.work)).replace("{stores}", str(self.stores))


@dataclass(frozen=True)
class Step:
    """What to do and what it needs; equal names within a scale mean equal steps.

    Attributes:
        name: of the result, e.g. ``train-full-s1``.
        kind: one of `KINDS`.
        arguments: of `metrabs_acae.main` or of the function for this kind; ``{work}`` and ``{stores}`` stand for
            folders, so that a result made elsewhere is still known as this step's.
        output: the file or folder that it makes, with ``{work}``.
        needs: steps that come before.
        cost_s: expected wall time on the machine that the scale is made for.
    """

    name: str
    kind: str
    seed: int
    arguments: tuple[str, ...]
    output: str = ""
    needs: tuple[Step, ...] = ()
    cost_s: float = 0.0


def in_order(steps: Iterable[Step]) -> list[Step]:
    """The steps and all that they need, each once, needed ones first."""
    ordered: dict[str, Step] = {}

    def add(step: Step) -> None:
        if step.name in ordered:
            assert ordered[step.name] == step, f"two different steps are called {step.name}"
            return
        for needed in step.needs:
            add(needed)
        ordered[step.name] = step

    for step in steps:
        add(step)
    return list(ordered.values())
