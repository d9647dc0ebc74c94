"""What seeds say about a finding, against numbers worked out by hand and by SciPy."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from experiments.experiment import BENCHMARKS, Finding
from experiments.report import Collected, statement
from experiments.statistics import compare, sentence


def test_the_interval_is_that_of_the_paired_t_test():
    first, second = {1: 10.0, 2: 12.0, 3: 11.0}, {1: 20.0, 2: 23.0, 3: 20.0, 4: 99.0}
    result = compare(first, second, expected="lower")
    expected = stats.ttest_rel(list(first.values()), [20, 23, 20]).confidence_interval(0.95)
    assert (result.low, result.high) == pytest.approx((expected.low, expected.high))
    assert result.mean == pytest.approx(-10) and (result.n_seeds, result.n_agreeing) == (3, 3)
    assert result.verdict == "shown"
    assert compare(first, second, expected="higher").verdict == "contradicted"
    # By hand: differences -10, -11, -9 have a standard error of 1 / sqrt(3); t(2 df, 97.5 %) = 4.303
    expected = "shown: -10.0 mm [-12.5, -7.5], 3 of 3 seeds in the expected direction"
    assert sentence(result, "mm") == expected


def test_a_common_spread_over_seeds_does_not_hide_a_difference():
    rng = np.random.default_rng(0)
    seeds = {s: float(x) for s, x in enumerate(rng.normal(100, 30, 5))}
    better = {s: x - 2 + 0.1 * rng.normal() for s, x in seeds.items()}
    assert compare(better, seeds, expected="lower").verdict == "shown"
    unpaired = {s: x - 2 for s, x in zip(seeds, rng.permutation(list(seeds.values())), strict=True)}
    assert compare(unpaired, seeds, expected="lower").verdict == "undecided"


def test_too_few_seeds_give_no_confidence():
    assert compare({1: 3.0}, {1: 4.0}, expected="lower").verdict == "one seed"
    assert "no confidence: -1.0 mm, in the expected direction" in sentence(
        compare({1: 3.0}, {1: 4.0}, expected="lower"), "mm"
    )
    assert compare({1: 3.0}, {2: 4.0}, expected="lower").verdict == "not run"
    assert compare({1: float("nan")}, {1: 4.0}, expected="lower").verdict == "not run"
    same = {1: 1.0, 2: 2.0}
    assert compare(same, same, expected="lower").verdict == "undecided"


def test_rows_are_alike_if_the_interval_lies_within_the_margin():
    second = {1: 100.0, 2: 101.0, 3: 99.0}  # a margin of 2 mm
    differences = {"shown": (0.5, 0.4, 0.6), "contradicted": (5.0, 5.1, 4.9), "undecided": (3.0, -3.0, 0.0)}
    for verdict, of_seeds in differences.items():
        first = {s: v + d for (s, v), d in zip(second.items(), of_seeds, strict=True)}
        result = compare(first, second, expected="alike")
        assert result.verdict == verdict and result.margin == pytest.approx(2)
    assert sentence(result, "mm").endswith("1 of 3 seeds within 2.0 mm")
    one = sentence(compare({1: 103.0}, {1: 100.0}, expected="alike"), "mm")
    assert one == "one seed, so no confidence: +3.0 mm, not within 2.0 mm"


def test_five_percent_of_equal_pairs_are_called_different():
    """The promise of the interval, by simulation: 2,000 studies of three seeds without any difference."""
    rng = np.random.default_rng(1)
    verdicts = []
    for _ in range(2000):
        a, b = rng.normal(0, 1, (2, 3))
        verdicts.append(compare(dict(enumerate(a)), dict(enumerate(b)), expected="lower").verdict)
    wrong = 1 - verdicts.count("undecided") / len(verdicts)
    assert 0.035 < wrong < 0.065  # three standard errors of 5 % at 2,000 draws


def test_means_of_benchmarks_are_over_those_that_both_rows_have():
    collected = Collected(
        {
            "x": {"b1": {"mpjpe": {1: 10.0, 2: 20.0}}, "b2": {"mpjpe": {1: 30.0}}, "consistency": {"mpjpe": {1: 9.0}}},
            "y": {"b1": {"mpjpe": {1: 12.0, 2: 20.0}}, "b2": {"mpjpe": {1: 34.0}}, "b3": {"mpjpe": {1: 1.0}}},
        },
        {},
        [],
        0,
    )
    finding = Finding("x is better", "x", "y", BENCHMARKS, "mpjpe")
    assert collected.pair(finding) == ({1: 20.0}, {1: 23.0})
    assert "-3.0 mm, in the expected direction" in statement(finding, collected)
    assert collected.groups()[-1] == "consistency"
