"""What follows from the runs: estimates, the side of a number, comparisons and verdicts."""

import numpy as np
import pytest
from reproduction import claims, comparisons, estimates, tables, times, variants

from tests.experiments.reproduction.made_up import curve_of


def test_a_verdict_follows_from_the_comparisons():
    def verdict(*answers, made=True):
        values = {1: [1.0, 1.1, 1.2], 0: [-1.0, 0.0, 1.0], -1: [-1.0, -1.1, -1.2]}
        return comparisons.verdict([comparisons.Comparison("", values[a][: 3 if made else 2]) for a in answers])

    def both(word, yes, no, of):
        counted = f"{word} ({yes} yes, {no} no of {of})"
        return f"{counted}; with all intervals together at 95 %: {counted}"

    assert verdict(1) == "holds (1 yes, 0 no of 1)"
    assert verdict(1, 1) == both("holds", 2, 0, 2)
    assert verdict(1, 0, -1) == both("holds in part", 1, 1, 3)
    assert verdict(0, -1) == both("does not hold", 0, 1, 2)
    assert verdict(1, -1, -1) == both("does not hold", 1, 2, 3)
    assert verdict(0, 0) == both("not decided", 0, 0, 2)
    assert verdict(1, 1, made=False) == "not decided (0 yes, 0 no of 0, 2 not made)"


def test_what_one_interval_says_may_be_open_in_intervals_that_hold_together():
    clear, unclear = comparisons.Comparison("", [1.0, 1.1, 1.2]), comparisons.Comparison("", [1.0, 1.5, 2.0])
    together = "with all intervals together at 95 %: holds in part (1 yes, 0 no of 2)"
    assert comparisons.verdict([clear, unclear]) == f"holds (2 yes, 0 no of 2); {together}"


def test_a_rival_that_it_is_no_merit_to_beat_is_named():
    espo, rival = (variants.Variant("hopper_velocity", algorithm) for algorithm in ("espo", "ppo_lagrangian"))
    rivals = [curve_of([25.0] * 30, seed=s, variant=rival) for s in (0, 1)]
    ours = [curve_of([10.0] * 30, seed=s, variant=espo) for s in (0, 1)]
    curves = {run.cell.variant.name: runs for runs in (ours, rivals) for run in runs}
    names = [each.name for each in claims.outperforms_in_reward(curves) if each.values]
    assert names == [
        "hopper_velocity, ppo_lagrangian (all its runs exceed the limit) (its reward is 20, Omnisafe's 962)"
    ]


def test_what_would_end_otherwise_without_cells_of_uncommitted_code_is_named():
    curves = {
        variant.name: [curve_of([10.0] * 30, variant=variant, seed=s, sizes=[70] * 30) for s in range(3)]
        for variant in (variants.Variant(task, "espo") for task in variants.TASKS)
    }
    assert claims.of_uncommitted_code(curves) == ""
    more = [curve_of([10.0] * 30, seed=3, sizes=[70] * 30, revision="abc-dirty")]
    text = claims.of_uncommitted_code({**curves, "walker2d-espo": [*curves["walker2d-espo"], *more]})
    assert "- walker2d-espo/3\n\nWithout these cells every claim would have the same verdict" in text
    text = claims.of_uncommitted_code({**curves, "walker2d-espo": [*curves["walker2d-espo"][:2], *more]})
    words = "25 to 29 % fewer samples than the baselines (at least 25 %)"
    assert f'"{words}" would not be "holds" but "not decided"' in text


def test_the_noise_of_the_machine_makes_an_interval_of_time_wider():
    plain, noisy = (comparisons.Comparison("", [30.0, 30.1, 30.2], 21.0, noise) for noise in (1.0, 1.2))
    assert (plain.answer(), noisy.answer()) == (1, 0)
    assert 100 - noisy.seen().low == pytest.approx(1.2 * (100 - plain.seen().low))
    assert 100 - noisy.seen().high == pytest.approx((100 - plain.seen().high) / 1.2)
    assert noisy.seen().value == plain.seen().value


def test_claims_compare_the_side_that_they_are_about():
    ours = [curve_of([10.0] * 30, seed=s, sizes=[74] * 30, reward=np.full(30, 9.0 + s)) for s in range(3)]
    theirs = [curve_of([25.0] * 30, seed=s, algorithm="crpo", reward=np.full(30, 5.0 + s)) for s in range(3)]
    curves = {"walker2d-espo": ours, "walker2d-crpo": theirs}
    for claim in claims.CLAIMS:
        made = [each for each in claim.compare(curves) if each.made]
        assert [each.answer() for each in made] == [1] * len(made), claim.words
        assert bool(made) is ("other reading" not in claim.words)
    swapped = {"walker2d-espo": theirs, "walker2d-crpo": ours}
    for claim in claims.CLAIMS:
        made = [each for each in claim.compare(swapped) if each.made]
        assert [each.answer() for each in made] == [-1] * len(made), claim.words


def test_a_comparison_needs_three_values_and_is_decided_by_the_interval_that_it_shows():
    def compared(*values, least=0.0):
        found = comparisons.Comparison("walker2d, crpo", values, least)
        return found.made, found.answer(), found.text()

    assert compared() == (False, 0, "walker2d, crpo: , not made")
    assert compared(1.0) == (False, 0, "walker2d, crpo: 1.00, not made")
    assert compared(1.0, 1.1)[0] is False
    assert compared(1.0, 1.1, 1.2) == (True, 1, "walker2d, crpo: 1.10 [0.85, 1.35], yes")
    assert compared(1.0, 1.1, 1.2, least=2.0) == (True, -1, "walker2d, crpo: 1.10 [0.85, 1.35], no")
    assert compared(0.1, 1.0, 2.0) == (True, 0, "walker2d, crpo: 1.03 [-1.33, 3.39], open")  # all above 0, not clearly
    assert compared(0.0, 0.0, 0.0)[:2] == (True, 0)


def test_the_time_of_a_seed_is_its_samples_times_the_seconds_of_a_sample_on_an_idle_machine():
    ours = [curve_of([10.0] * 30, seed=s, sizes=[50 + s] * 30, idle=s == 1) for s in range(3)]
    theirs = [
        curve_of([10.0] * 30, seed=s, algorithm="crpo", idle=s == 0, steps_per_second=np.full(30, 100.0 - s))
        for s in range(3)
    ]
    assert times.less_time(ours, theirs) == pytest.approx([0.0, -2.0, -4.0])  # half the samples at half the speed
    assert times.less_time(ours[:1], theirs) == times.less_time(ours, theirs[1:]) == []
    assert times.timed(ours) == "0.51 (20000 µs a sample, seed 1)"
    assert times.timed(ours[:1]) == ""
    curves = {"walker2d-espo": ours, "walker2d-pcrpo": theirs}
    assert "one of ESPO took from\n2.00 to 2.00 times as long" in claims.noise_of_times(curves)
    assert claims.noise_of_times({"walker2d-espo": ours}) == ""


def test_times_of_two_processors_are_not_compared():
    ours, theirs, older = (
        [curve_of([10.0] * 30, machine=f"Linux x86_64{processor}")]
        for processor in (", Xeon, 2 processors", ", Epyc, 2 processors", "")
    )
    assert times.less_time(ours, theirs) == []
    assert times.less_time(ours, older) == times.less_time(older, theirs) == []  # it may have had any
    assert times.less_time(ours, ours) == times.less_time(older, older) == [0.0]


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
