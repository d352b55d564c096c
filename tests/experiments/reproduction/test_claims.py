"""What follows from the runs: estimates, the side of a number, comparisons and verdicts."""

import numpy as np
import pytest
from reproduction import claims, estimates, tables

from tests.experiments.reproduction.made_up import curve_of


def test_a_verdict_follows_from_the_comparisons():
    def verdict(*answers, made=True):
        return claims.verdict([claims.Comparison("", made, answer, estimates.estimate([])) for answer in answers])

    assert verdict(1, 1) == "holds (2 yes, 0 no of 2)"
    assert verdict(1, 0, -1) == "holds in part (1 yes, 1 no of 3)"
    assert verdict(0, -1) == "does not hold (0 yes, 1 no of 2)"
    assert verdict(1, -1, -1) == "does not hold (1 yes, 2 no of 3)"
    assert verdict(0, 0) == "not decided (0 yes, 0 no of 2)"
    assert verdict(1, 1, made=False) == "not decided (0 yes, 0 no of 0; 2 are not made)"


def test_claims_compare_the_side_that_they_are_about():
    ours = [curve_of([10.0] * 30, seed=s, sizes=[74] * 30, reward=np.full(30, 9.0 + s)) for s in range(3)]
    theirs = [curve_of([25.0] * 30, seed=s, algorithm="crpo", reward=np.full(30, 5.0 + s)) for s in range(3)]
    curves = {"walker2d-espo": ours, "walker2d-crpo": theirs}
    for claim in claims.CLAIMS:
        made = [each for each in claim.compare(curves) if each.made]
        assert [each.answer for each in made] == [1], claim.words
    swapped = {"walker2d-espo": theirs, "walker2d-crpo": ours}
    for claim in claims.CLAIMS:
        made = [each for each in claim.compare(swapped) if each.made]
        assert [each.answer for each in made] == [-1], claim.words


def test_the_side_of_a_number_is_decided_by_three_values_at_least_and_their_spread():
    assert estimates.side([1.0, 1.1]) == 0
    assert estimates.side([1.0, 1.1, 1.2]) == 1
    assert estimates.side([1.0, 1.1, 1.2], least=2.0) == -1
    assert estimates.side([0.1, 1.0, 2.0]) == 0  # all above 0, but not clearly
    assert estimates.side([0.0, 0.0, 0.0]) == 0


def test_all_tasks_count_alike_in_a_mean_over_tasks():
    found = estimates.mean_over_tasks([[29.0] * 10, [20.0] * 5, [], [36.0] * 5])
    assert found.value == pytest.approx((29 + 20 + 36) / 3)
    assert (found.low, found.high, found.count) == (found.value, found.value, 20)
    spread = estimates.mean_over_tasks([[0.0, 10.0], [5.0] * 4])
    assert (spread.low, spread.value, spread.high) == (2.5, 5.0, 7.5)


def test_differences_are_by_seed():
    ours = [curve_of([10.0] * 30, seed=s, sizes=[50 + s] * 30) for s in (0, 1, 2, 5)]
    theirs = [curve_of([25.0] * 30, seed=s, algorithm="crpo") for s in (2, 1, 0)]
    fewer = estimates.percents_less(ours, theirs, lambda curve: curve.samples)
    assert fewer == pytest.approx([50.0, 49.0, 48.0])
    assert estimates.differences(ours, theirs, tables.above) == [-100.0] * 3
