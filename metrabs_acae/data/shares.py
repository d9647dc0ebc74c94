"""How pose stores share the places of a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from metrabs_acae.errors import UserError

Key = TypeVar("Key")


def in_proportion(weights: Mapping[Key, int], total: int) -> dict[Key, int]:
    """`total` examples in proportion to the weights (largest remainders), at least one of each; {} of nothing."""
    if not weights:
        return {}
    if total < len(weights):
        raise UserError(
            f"The batch is too small: {max(total, 0)} examples are left for {len(weights)} pose stores; "
            "raise --batch-size (or --batch-size-2d), or name fewer stores."
        )
    whole, counts = sum(weights.values()), dict.fromkeys(weights, 1)
    for _ in range(total - len(weights)):
        counts[max(weights, key=lambda name: weights[name] / whole * total - counts[name])] += 1
    return counts
