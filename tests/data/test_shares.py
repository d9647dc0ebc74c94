"""Sharing the places of a batch among stores."""

import pytest

from metrabs_acae.commands.stores import share
from metrabs_acae.data.paper_mixtures import COUNTS_3D
from metrabs_acae.data.shares import in_proportion
from metrabs_acae.errors import UserError


def test_largest_remainders_fill_the_batch():
    assert in_proportion({"a": 2, "b": 1}, 96) == {"a": 64, "b": 32}
    assert in_proportion({"a": 8, "b": 8, "c": 8}, 32) == {"a": 11, "b": 11, "c": 10}
    assert in_proportion(COUNTS_3D["full"], 96) == COUNTS_3D["full"]
    assert in_proportion({}, 32) == {}
    some = {k: v for k, v in COUNTS_3D["full"].items() if k not in ("h36m", "rich", "muco")}
    filled = in_proportion(some, 96)
    assert sum(filled.values()) == 96 and all(filled[k] >= v for k, v in some.items())


@pytest.mark.parametrize("total", [10, 24, 31, 96])
def test_batches_are_shared_in_proportion(total):
    weights = {"a": 4, "b": 3, "c": 3, "d": 1, "e": 1}
    shared = in_proportion(weights, total)
    assert sum(shared.values()) == total and min(shared.values()) >= 1
    for name, weight in weights.items():
        assert abs(shared[name] - weight * total / 12) < 1.5
    assert in_proportion(weights, 12) == weights
    with pytest.raises(UserError, match="too small: 4 examples are left for 5 pose stores"):
        in_proportion(weights, 4)


def test_stores_without_a_number_share_what_the_others_leave():
    assert share([None, 5, None, None], 12) == [3, 5, 2, 2]
    assert share([3, 4], 100) == [3, 4]
    assert share([None, 2], 0) == [0, 2]
    with pytest.raises(UserError, match="too small: 1 examples are left for 2 pose stores"):
        share([None, 5, None], 6)
