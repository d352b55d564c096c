"""The measures of safety against closed forms, hand-made episodes, and loops written from their definitions."""

import numpy as np
import pytest

from espo_jax.evaluation import Episodes
from espo_jax.results import safety_measures
from tests.made_up import made_up

LIMIT = np.array([4.0])
COST = np.array([[1.0], [4.0], [6.0], [9.0]])  # exactly at the limit is within it


def test_violations_of_four_episodes():
    assert safety_measures.violation_rate(COST, LIMIT) == 0.5
    assert safety_measures.cost_deviation(COST, LIMIT) == [0.25]  # mean 5
    assert safety_measures.violation_magnitude(COST, LIMIT) == [0.875]  # mean 7.5 of those above


def test_definitions_of_saferleval_episode_by_episode():
    rng = np.random.default_rng(0)
    for _ in range(20):
        costs, bound = rng.gamma(2.0, 15.0, size=50), float(rng.uniform(5, 80))
        above = [cost for cost in costs if cost > bound]
        column, limit = costs[:, None], np.array([bound])
        assert safety_measures.violation_rate(column, limit) == pytest.approx(len(above) / 50)
        assert safety_measures.cost_deviation(column, limit) == [pytest.approx((sum(costs) / 50 - bound) / bound)]
        expected = (sum(above) / len(above) - bound) / bound if above else 0.0
        assert safety_measures.violation_magnitude(column, limit) == [pytest.approx(expected)]


def test_no_violation_has_magnitude_0_and_a_limit_of_0_no_share():
    assert safety_measures.violation_magnitude(np.zeros((3, 1)), LIMIT) == [0.0]
    for measure in (safety_measures.cost_deviation, safety_measures.violation_magnitude):
        assert measure(COST, np.zeros(1)) == [None]


def test_with_several_constraints_an_episode_violates_if_one_does():
    cost = np.array([[1.0, 9.0], [9.0, 1.0], [1.0, 1.0], [9.0, 9.0]])
    limit = np.array([4.0, 4.0])
    assert safety_measures.violation_rate(cost, limit) == 0.75
    assert safety_measures.cost_deviation(cost, limit) == [0.25, 0.25]
    assert safety_measures.violation_magnitude(cost, limit) == [1.25, 1.25]


def test_completed_in_safety_needs_the_time_limit_and_every_limit():
    length = np.array([10, 10, 10, 3])
    assert safety_measures.safe_completion(COST, length, LIMIT, 10) == 0.5
    assert safety_measures.safe_completion(np.zeros((4, 1)), length, LIMIT, 10) == 0.75
    whole = np.full(4, 10)
    rate = safety_measures.violation_rate(COST, LIMIT)
    assert safety_measures.safe_completion(COST, whole, LIMIT, 10) == 1 - rate


def test_a_share_of_a_penalty_is_none():
    assert safety_measures.normalized_reward(30.0, 40.0) == 0.75
    assert safety_measures.normalized_reward(-30.0, -40.0) is None
    assert safety_measures.normalized_reward(1.0, 0.0) is None


def test_cumulative_violation_is_not_made_up_for():
    cost = np.array([[6.0], [1.0], [5.0]])
    assert safety_measures.cumulative_violation(cost, np.full((3, 1), 4.0)) == [3.0]
    assert safety_measures.cumulative_violation(np.zeros((3, 2)), np.ones((3, 2))) == [0.0, 0.0]


def test_cost_rate_of_a_constant_cost_per_step_is_that_cost():
    """Whatever the sample sizes and the lengths of episodes are."""
    length, samples = np.array([10.0, 50.0, 1000.0]), np.array([100.0, 70.0, 30.0])
    cost = 0.3 * length[:, None]
    assert safety_measures.cost_rate(cost, length, samples) == [pytest.approx(0.3)]
    mixed = safety_measures.cost_rate(np.array([[10.0], [0.0], [0.0]]), length, samples)
    assert mixed == [pytest.approx(100 * 10 / 10 / 200)]


def test_recoveries_by_hand():
    """Above in iterations 1-2 and 5; the last violation, 8, is not recovered from."""
    cost = np.array([9.0, 9.0, 1.0, 1.0, 9.0, 4.0, 1.0, 9.0])[:, None]
    samples = np.arange(1.0, 9.0)
    found = safety_measures.recoveries(cost, np.full((8, 1), 4.0), samples)
    assert found == (2, 1.5, (1 + 2 + 5) / 2, True)
    never = safety_measures.recoveries(np.zeros((3, 1)), np.ones((3, 1)), samples[:3])
    always = safety_measures.recoveries(np.ones((3, 1)), np.zeros((3, 1)), samples[:3])
    assert never == (0, None, None, False)
    assert always == (0, None, None, True)


def test_all_measures_of_a_policy_and_of_training():
    episodes = Episodes(np.ones(4), COST, np.full(4, 10))
    found = safety_measures.of_policy(episodes, LIMIT, 10)
    assert found == {
        "violation_rate": 0.5, "cost_deviation": [0.25], "violation_magnitude": [0.875], "cvar_cost": [9.0],
        "safe_completion": 0.5,
    }  # fmt: skip
    records = made_up(np.array([50.0, 30.0, 60.0, 10.0]), (-4.0, 4.0))
    training = safety_measures.of_training(records)
    assert training["violating_iterations"] == 0.5
    assert training["cumulative_violation"] == [30.0]
    assert training["cost_rate"] is None, "earlier versions did not record the length of episodes"
    assert training["recoveries"] == {"number": 2, "iterations": 1.0, "samples": 100.0, "is_above": False}
    of_now = [{**line, "episode_length": 20.0} for line in records]
    assert safety_measures.of_training(of_now)["cost_rate"] == [pytest.approx(150 / 4 / 20)]
