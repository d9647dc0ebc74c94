"""What the experiments settle: questions, what the seeds say to each, and a sentence why.

The sentences are written by people who have looked at the tables: `readings/SCALE/questions.md`, a line
``KEY: sentence`` for each question.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from experiments import report, statistics
from experiments.experiment import Experiment
from experiments.scales import Scale
from experiments.steps import Places

QUESTIONS = {
    "agreement": "Do the skeletons agree after fine-tuning with the autoencoder?",
    "accuracy": "Does that cost or gain accuracy?",
    "variant": "Which variant?",
    "start": "Should latent heads start from the encoder's weights?",
    "merging": "Merged joints or separate ones?",
    "latents": "How many latents?",
    "symmetry": "Symmetric weights?",
    "sign": "Signed or non-negative weights?",
    "space": "Poses compared in the image or in space?",
    "length": "How long?",
    "datasets": "How many datasets?",
}


def answers(experiments: Iterable[Experiment], scale: Scale, places: Places, reasons: Path) -> str:
    """The questions with their answers as Markdown; those of which nothing has been run are left out."""
    said: dict[str, list[str]] = {key: [] for key in QUESTIONS}
    for experiment in experiments:
        collected = report.collect(experiment, scale, places)
        for finding in experiment.findings(scale):
            comparison, unit = report.compared(finding, collected)
            question = finding.question or experiment.question
            if question and comparison.n_seeds:
                line = f"- {finding.text} ({report.where(finding)}): {statistics.sentence(comparison, unit)}."
                said[question].append(line)
    why = read_reasons(reasons)
    return "\n\n".join(
        f"**{QUESTIONS[key]}** {why.get(key, '')}".strip() + "\n\n" + "\n".join(lines)
        for key, lines in said.items()
        if lines
    )


def read_reasons(path: Path) -> dict[str, str]:
    """Key of a question -> sentence."""
    lines = path.read_text().splitlines() if path.exists() else []
    found = dict(line.split(": ", 1) for line in lines if line)
    assert found.keys() <= QUESTIONS.keys(), found.keys() - QUESTIONS.keys()
    return found
