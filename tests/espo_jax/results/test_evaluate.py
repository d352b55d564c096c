"""`espo eval`: what it says is what the episodes were."""

import jax
import numpy as np
import pytest

from espo_jax.results import evaluate
from espo_jax.results.statistics import conditional_value_at_risk
from espo_jax.runs import policies
from tests.probe_envs import PointEnv
from tests.tiny_runs import finished, on_physics


@pytest.fixture(scope="module")
def run_dir():
    return finished()


@pytest.fixture(scope="module")
def rows(run_dir):
    return evaluate.evaluate(run_dir, on_physics, ["none", "windy"], num_episodes=12)


def test_rows_are_the_statistics_of_their_episodes(rows):
    assert [(row["backend"], row["policy"]) for row in rows] == [
        (backend, policy) for backend in ("none", "windy") for policy in ("stochastic", "deterministic")
    ]
    for row in rows:
        cost = row["episode_cost"][:, 0]
        assert cost.shape == (12,)
        assert row["cost"][0]["mean"] == pytest.approx(np.mean(cost))
        assert row["within_limit"] == np.mean(cost <= 4.0)
        assert row["worst_cost"] == [np.max(cost)]
        assert row["cvar_cost"] == [conditional_value_at_risk(cost, 0.1)]
        assert row["limit_met"] == (np.mean(cost) <= 4.0)
        assert row["length"]["mean"] == 16
    assert np.ptp(rows[0]["episode_cost"]) > np.ptp(rows[1]["episode_cost"]), "a stochastic policy varies more"


def test_deterministic_episodes_are_what_the_policy_does(run_dir, rows):
    """One environment stepped by hand, from the same reset."""
    policy = policies.load_policy(run_dir, deterministic=True)
    env = PointEnv()
    reset_key, _ = jax.random.split(jax.random.key(0))
    state = env.reset(jax.random.split(reset_key, 12)[3])
    cost = 0.0
    for _ in range(16):
        action, _ = policy(state.obs)
        state = env.step(state, action)
        cost += float(state.info["cost"])
    assert cost == pytest.approx(rows[1]["episode_cost"][3, 0], rel=1e-4)


def test_the_gap_between_physics_is_that_of_the_same_episodes(rows):
    gaps = evaluate.gaps(rows)
    assert [(gap["policy"], gap["backend"], gap["minus"]) for gap in gaps] == [
        (policy, "windy", "none") for policy in ("stochastic", "deterministic")
    ]
    difference = rows[3]["episode_reward"] - rows[1]["episode_reward"]
    assert gaps[1]["reward"]["mean"] == pytest.approx(np.mean(difference))
    assert gaps[1]["reward"]["standard_error"] == pytest.approx(np.std(difference, ddof=1) / np.sqrt(12))
    assert gaps[1]["cost"][0]["mean"] == pytest.approx(rows[3]["cost"][0]["mean"] - rows[1]["cost"][0]["mean"])
    assert "windy minus none: reward " in evaluate.gap_text(gaps[1])
