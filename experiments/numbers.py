"""What the stored numbers are: units and headings."""

from __future__ import annotations

from dataclasses import replace

from metrabs_acae.evaluation import consistency, definitions
from metrabs_acae.evaluation.definitions import Number

NUMBERS = (
    *consistency.NUMBERS,
    *(replace(n, label=f"{n.heading}, agreed pose") for n in consistency.AGREEMENT_NUMBERS),
    Number("error_2d_mm", "mm", "error in plane"),
    Number("error_3d_mm", "mm", "error in 3D"),
    Number("main_loss_mm", "mm", "main loss", digits=2),
    Number("encoder_zeros", "%", "zeros in encoder %"),
    Number("decoder_zeros", "%", "zeros in decoder %"),
    Number("asymmetry_mm", "mm", "mirror asymmetry", digits=3),
)
"""What is shown beside the metrics of `definitions`."""


def number(name: str) -> Number:
    """What a stored number is: its unit and heading."""
    return definitions.number(name, NUMBERS)
