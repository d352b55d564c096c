"""The numbers in the tables of the page, from made-up runs."""

import math

import numpy as np
import pytest
from reproduction import crossings, estimates, sections, tables, variants

from espo_jax.modes import MODE_NAMES
from tests.experiments.reproduction.made_up import curve_of


def test_conflicts_are_those_that_the_rule_would_see():
    curve = curve_of([18, 18, 14, 15, 25, 26], warmup=1, conflict_angle=[100, 100, 100, 91, 89, 100])
    assert curve.conflicts.tolist() == [False, True, False, True, False, False]


def test_hours_leave_out_when_the_process_was_stopped():
    rate = np.full(30, 100.0)
    rate[7] = 0.01
    curve = curve_of([10.0] * 30, steps_per_second=rate)
    assert curve.seconds[-1] == pytest.approx(29 + 10_000)
    assert curve.hours * 3600 == pytest.approx(29)


def test_crossings_are_counted_after_the_warm_up_and_not_of_an_edge_at_infinity():
    curve = curve_of([0, 30, 30, 18, 12, 22, 26], warmup=1, slack=(-5.0, math.inf))
    assert crossings.count(curve) == {"b": 2, "b + h-": 2, "b + h+": None}
    rival = curve_of([0, 30, 30, 18, 12, 22, 26], warmup=1, algorithm="crpo")
    assert crossings.count(rival) == {"b": 2, "b + h-": None, "b + h+": None}


def test_at_equal_samples_the_longer_run_counts_only_up_to_there():
    ours = [curve_of([10.0] * 50, sizes=[50] * 50)]
    theirs = [curve_of([25.0] * 50, algorithm="crpo")]
    ours_at, theirs_at = np.mean(range(30, 50)), np.mean(range(5, 25))  # means of 20 iterations
    found = tables.at_equal_samples(ours, theirs, "episode_reward")
    assert found == pytest.approx([ours_at - theirs_at])
    assert tables.at_equal_samples(theirs, ours, "episode_reward") == pytest.approx([theirs_at - ours_at])
    assert tables.at_equal_samples(ours, theirs, "episode_cost") == [-15.0]


def test_iterations_in_each_mode_stand_beside_those_of_the_paper():
    modes = [MODE_NAMES.index(name) for name in ("reward", "cost", "cost", "aligned", "conflict", "conflict")]
    variant = variants.Variant("humanoidstandup", "espo")
    text = tables.mode_counts({variant.name: [curve_of([10.0] * 6, variant=variant, mode=modes)]})
    assert text.splitlines()[2:] == [
        "| espo | 1 | 1 | 3 | 2 | 2 | 66.7 | 0 |",
        "| espo, the paper |  | 298 | 199 | (137) | 3 | 99.4 | (1) |",
    ]


def test_samples_are_saved_after_the_iterations_whose_mode_made_the_next_one_small():
    modes = [MODE_NAMES.index(name) for name in ("reward", "cost", "cost", "conflict", "reward")]
    curve = curve_of([10.0] * 5, sizes=[100, 80, 50, 50, 110], mode=modes)
    assert curve.saved_after("cost") == pytest.approx(100 * 100 / 110)
    assert curve.saved_after("reward") == pytest.approx(100 * 20 / 110)
    assert curve_of([10.0] * 5, mode=modes).saved_after("cost") == 0


def test_violations_are_counted_in_iterations_and_in_samples_after_the_warm_up():
    curve = curve_of([30, 30, 10, 30], sizes=[100, 40, 100, 60], warmup=1)
    assert tables.above_after_warmup(curve) == pytest.approx(200 / 3)
    assert tables.samples_above(curve) == pytest.approx(25)  # 100 of 4 X


def test_the_second_table_of_a_section_says_whether_there_is_more_reward():
    plain, other = (variants.Variant("walker2d", "espo", own) for own in ({}, {"cost_limit": 30.0}))
    seeds = range(3)
    runs = [curve_of([10.0] * 30, variant=plain, seed=s, reward=np.full(30, 5.0 + s)) for s in seeds]
    more = [curve_of([10.0] * 30, variant=other, seed=s, reward=np.full(30, 7.0 + s)) for s in seeds]
    text = sections.differences_by_seed({plain.name: runs, other.name: more}, "figure 4")
    assert text.endswith("| yes, yes |\n")
    assert sections.differences_by_seed({plain.name: runs[:2], other.name: more}, "figure 4").endswith(
        "| not made, not made |\n"
    )


def test_sizes_at_the_bounds_of_a_rule_are_counted_after_the_first():
    curve = curve_of([10.0] * 5, sizes=[100, 50, 50, 60, 100])
    assert (curve.share_of_size("zeta_negative"), curve.share_of_size("zeta_positive")) == (0.5, 0.25)
    fixed = variants.Variant("walker2d", "pcrpo")
    curves = {curve.cell.variant.name: [curve], fixed.name: [curve_of([10.0] * 5, variant=fixed, rule="fixed")]}
    own = variants.Variant("walker2d", "espo", {"sample_size_rule": "norm_test"})
    curves[own.name] = [curve_of([10.0] * 5, variant=own)]
    ruled, other, _ = sections.results(curves, "rules", curves).splitlines()[2:]
    assert ruled.endswith("| 50 | 25 |")
    assert other.endswith(" |  |  |")
    metric = variants.Variant("walker2d", "espo", {"conflict_metric": "fisher"})
    assert "X(1 + ζ+)" not in sections.results({metric.name: [curve]}, "conflict", curves)


def test_modes_are_counted_beside_the_reward_and_the_cost_of_each_reading_of_the_time_limit():
    other = {"time_limit": "truncation"}
    espo, crpo = (variants.Variant("walker2d", algorithm, other) for algorithm in ("espo", "crpo"))
    modes = [MODE_NAMES.index(name) for name in ("reward", "reward", "cost", "conflict", "aligned", "reward")]
    curves = {v.name: [curve_of([10.0] * 6, variant=v, reward=[7.0] * 6, mode=modes)] for v in (espo, crpo)}
    head, _, with_band, without = sections.results(curves, "time limit", curves).splitlines()
    assert head.endswith(" | reward mode | cost mode | aligned mode | conflict mode |")
    assert "| 7.00 | 10.0 of 20 |" in with_band
    assert with_band.endswith(" | 3 | 1 | 1 | 1 |")
    assert without.endswith(" |  |  |  |  |")


def test_figure_4_has_minutes_at_the_rate_of_the_run_that_was_timed():
    plain, ours = (variants.Variant("walker2d", "espo", own) for own in ({}, {"cost_limit": 30.0}))
    runs = [curve_of([10.0] * 30, variant=plain, seed=s, idle=s == 1) for s in (0, 1)]  # 100 samples in 2 seconds
    ablation = [curve_of([10.0] * 30, variant=ours, sizes=[90] * 30, idle=False)]
    curves = {plain.name: runs, ours.name: ablation}
    first, second = sections.results(curves, "figure 4", curves).splitlines()[2:]
    assert first.endswith("| 1.00 [1.00, 1.00] | 58 |")
    assert second.endswith("| 0.90 | 63 |")
    busy = {**curves, plain.name: runs[:1]}
    assert sections.results(busy, "figure 4", busy).endswith("|  | 63 |\n")


def test_samples_over_all_tasks_that_have_cells():
    curves = {}
    for task, size in (("walker2d", 50), ("reacher", 80)):
        for algorithm, of in (("espo", size), ("crpo", 100)):
            variant = variants.Variant(task, algorithm)
            curves[variant.name] = [curve_of([10.0] * 30, variant=variant, seed=s, sizes=[of] * 30) for s in (0, 1)]
    assert tables.all_together(curves).splitlines()[2:] == [
        "| Table 1 | 2 of 3 | 35.0 [35.0, 35.0] | 25.6 |",
        "| both | 2 of 5 | 35.0 [35.0, 35.0] | 25.6 |",
    ]


def test_a_section_shows_the_plain_variants_of_those_tasks_where_it_has_cells_of_its_own():
    other = variants.Variant("reacher", "espo", {"time_limit": "truncation"})
    plain = [variants.Variant(task, "espo") for task in ("reacher", "walker2d")]
    curves = {each.name: [curve_of([10.0], variant=each)] for each in (*plain, other)}
    assert [each.name for each in sections.with_cells(curves, "time limit")] == [plain[0].name, other.name]
    assert sections.with_cells({each.name: curves[each.name] for each in plain}, "time limit") == []


def test_a_section_shows_plain_variants_with_the_seeds_that_it_compares():
    espo, crpo = (variants.Variant("walker2d", algorithm) for algorithm in ("espo", "crpo"))
    other = variants.Variant("walker2d", "espo", {"time_limit": "truncation"})
    seeds = [(espo, range(5)), (crpo, range(5)), (other, (1, 3))]
    curves = {each.name: [curve_of([10.0], variant=each, seed=s) for s in own] for each, own in seeds}
    section = sections.of_section(curves, "time limit")
    assert {name: [run.cell.seed for run in runs] for name, runs in section.items()} == {
        each: [1, 3] for each in curves
    }
    beside = sections.of_section({**curves, crpo.name: curves[crpo.name][:1]}, "time limit")
    assert [each.name for each in sections.with_cells(beside, "time limit")] == [espo.name, other.name]


def test_what_is_rounded_to_zero_has_no_sign():
    assert estimates.estimate([-0.004]).text() == "0.00"
    assert estimates.estimate([-0.04, -0.03]).text(1) == "0.0 [0.0, 0.0]"


def test_an_estimate_has_three_digits_of_its_largest_number():
    assert estimates.estimate([0.789]).text() == "0.79"
    assert estimates.estimate([-55.55]).text() == "-55.5"
    assert estimates.estimate([34273.8]).text() == "34,274"
    assert estimates.Estimate(1.0, -99.0, 101.0, 3).text() == "1 [-99, 101]"
    assert estimates.Estimate(2e6, 1.9e6, 2.1e6, 3).text(2, 1e-6) == "2.00 [1.90, 2.10]"
