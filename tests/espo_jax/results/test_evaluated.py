"""Safety over runs: means and interquartile means over tasks, and what is kept apart."""

import numpy as np
import pytest

from espo_jax.evaluation import POLICIES
from espo_jax.results.evaluated import aggregate, by_algorithm, references_of, summarize_safety
from espo_jax.results.statistics import interquartile_mean, summarize
from tests.made_up import run_of


def test_of_one_condition_it_is_the_mean_with_its_bootstrap():
    values = np.random.default_rng(0).normal(size=9)
    found = aggregate(values.tolist(), [0] * 9)
    expected = summarize(values)
    assert {name: found[name] for name in expected._fields} == pytest.approx(expected._asdict())
    assert found["iqm"] == pytest.approx(interquartile_mean(values))
    assert found["iqm_low"] < found["iqm"] < found["iqm_high"]


def test_runs_are_resampled_within_their_task():
    """Two tasks whose runs do not vary: their mean has no spread, however far they are apart."""
    found = aggregate([1.0, 1.0, 1.0, 9.0, 9.0], ["a", "a", "a", "b", "b"])
    assert (found["low"], found["mean"], found["high"]) == pytest.approx((4.2,) * 3)
    mixed = aggregate([1.0, 1.0, 1.0, 9.0, 9.0], ["a"] * 5)
    assert mixed["high"] > mixed["low"] + 2


def test_a_run_without_a_value_leaves_none():
    assert aggregate([1.0, None], ["a", "a"]) is None
    assert aggregate([], []) is None
    assert [each["mean"] for each in aggregate([[1.0, 2.0], [3.0, 4.0]], ["a", "a"])] == [2.0, 3.0]
    assert aggregate([[1.0], [3.0, 4.0]], ["a", "b"]) is None


def test_rewards_are_shares_of_the_unconstrained_of_the_same_task():
    runs = [run_of(5.0, task="point"), run_of(30.0, task="other")]
    unconstrained = references_of([run_of(10.0, task="point"), run_of(40.0, task="other")])
    found = summarize_safety(runs, unconstrained)["policies"]
    for policy in POLICIES:
        assert found[policy]["normalized_reward"]["mean"] == pytest.approx((0.5 + 0.75) / 2)
        assert found[policy]["episodes"] == 8
    without = summarize_safety(runs, references_of(runs[:1]))["policies"]["stochastic"]
    assert without["normalized_reward"] is None, "one task has no reference"


def test_only_runs_that_recovered_have_a_time_of_recovery():
    found = summarize_safety([run_of(cost=2.0), run_of(cost=30.0, seed=1)])["training"]
    assert found["not_recovered"] == 1
    assert found["recovery_iterations"]["mean"] == 5.0
    assert summarize_safety([run_of(records=False)])["training"] is None


def test_settings_that_differ_under_one_condition_are_kept_apart():
    """A limit is part of the condition, so that runs of several limits are summarised together."""
    runs = [run_of(seed=0), run_of(seed=1), run_of(limit=9.0), run_of(algorithm="crpo")]
    assert {name: len(group) for name, group in by_algorithm(runs).items()} == {"espo": 3, "crpo": 1}
    runs.append(run_of(zeta_negative=-0.9))
    assert list(by_algorithm(runs)) == ["espo, zeta_negative -0.3", "crpo", "espo, zeta_negative -0.9"]
