"""What came of a trial, from the rows of its lanes."""

import numpy as np
import pytest

from espo_jax.results.sweep_read import Sweep
from espo_jax.results.trial import COMPLETE, FAILED, Outcome, Trial, best_of, best_text, outcome_of, trial_text


class Folder:
    """A folder of a sweep of so many constraints."""

    def __init__(self, num_constraints):
        self.manifest = self
        self.num_constraints = num_constraints


def row(seed=0, status="finished", reward=1.0, cost=5.0, cost_std=2.0, **others):
    return {
        "seed": seed, "status": status, "message": None, "eval_episodes": 5, "cost_limit": 7.0,
        "stochastic_reward": reward, "stochastic_cost": cost, "stochastic_cost_std": cost_std, **others,
    }  # fmt: skip


def outcome(*rows, num_constraints=1):
    return outcome_of(Sweep(Folder(num_constraints), (), {}), rows)


def test_means_over_the_seeds_and_the_largest_excess():
    found = outcome(row(0, reward=1.0, cost=5.0), row(1, reward=4.0, cost=6.0, cost_std=1.0))
    assert (found.reward, found.cost, found.cost_limit) == (2.5, (5.5,), (7.0,))
    assert found.excess == pytest.approx((max(5 + 1.96 - 7, 6 + 0.98 - 7),))
    assert found.is_safe


def test_one_lane_that_is_not_safe_makes_the_trial_unsafe():
    assert not outcome(row(0, cost=0.0, cost_std=0.0), row(1, cost=5.1)).is_safe


def test_each_constraint_has_its_own_excess():
    two = {f"{name}_{k}": value for k in (1, 2) for name, value in
           (("cost_limit", 7.0 * k), ("stochastic_cost", 5.0), ("stochastic_cost_std", 4.0))}  # fmt: skip
    found = outcome({**row(), **two}, num_constraints=2)
    assert found.excess == pytest.approx((5 + 3.92 - 7, 5 + 3.92 - 14))
    assert not found.is_safe


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (row(1, status="nonfinite", message="iteration 3: nan"), "seed 1: iteration 3: nan"),
        (row(1, status="negative_cost", message="a cost is negative"), "seed 1: a cost is negative"),
        (row(1, reward=None), "seed 1: it has no evaluation"),
        (row(1, reward=np.nan), "an evaluation has nan or infinity"),
        (row(1, cost_std=np.inf), "an evaluation has nan or infinity"),
    ],
)
def test_a_trial_fails_with_one_of_its_seeds(bad, why):
    assert outcome(row(0), bad) == why


def trial(number, reward, excess):
    return Trial(number, COMPLETE, {"target_kl": 0.01}, (), Outcome(reward, (3.0,), (4.0,), (excess,)))


def test_the_best_is_the_safe_one_with_the_largest_reward():
    trials = [trial(0, 1.0, -1.0), trial(1, 9.0, 0.1), trial(2, 2.0, 0.0), Trial(3, FAILED, {}, (), failure="nan")]
    assert best_of(trials).number == 2
    text = best_text(trials)
    assert text.startswith("best safe trial: trial 2 (target_kl 0.01): reward 2, cost 3 (limit 4), safe; 2 of 4")
    assert "1 failed" in text


def test_it_is_said_that_none_is_safe():
    text = best_text([trial(0, 1.0, 2.0), trial(1, 9.0, 0.1)])
    assert text.startswith("no trial is safe; the nearest: trial 1 ")
    assert "an upper bound is 0.1 above its limit" in text
    assert best_text([Trial(0, FAILED, {}, (), failure="nan")]).startswith("no trial is safe; 0 of 1")
    assert trial_text(Trial(0, FAILED, {"discount": 1}, (), failure="nan")) == "trial 0 (discount 1) failed: nan"
