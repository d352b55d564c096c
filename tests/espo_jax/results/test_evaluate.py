"""`espo eval`: what it says is what the episodes were."""

import jax
import numpy as np
import pytest

from espo_jax.results import evaluate
from espo_jax.results.statistics import conditional_value_at_risk
from espo_jax.runs import policies
from tests.probe_envs import PointEnv
from tests.tiny_runs import copied, finished, on_physics


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
        assert row["violation_rate"] == np.mean(cost > 4.0)
        assert row["safe_completion"] == row["within_limit"], "no episode of this task ends early"
        assert row["cost_deviation"] == [pytest.approx(np.mean(cost) / 4 - 1)]
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


def test_rewards_are_normalised_to_the_same_policy_on_the_same_physics(rows):
    own = [dict(row) for row in rows]
    reference = [{**row, "reward": {"mean": 2.0 + n}} for n, row in enumerate(rows)]
    evaluate.normalize(own, reference)
    assert [row["normalized_reward"] for row in own] == [
        pytest.approx(row["reward"]["mean"] / (2.0 + n)) for n, row in enumerate(rows)
    ]


def test_a_run_without_readable_metrics_has_episodes_only(run_dir, rows, tmp_path, capsys):
    assert len(evaluate.evaluated_run(run_dir, rows).records) == 4
    path = copied(run_dir, tmp_path / "run")
    (path / "metrics.jsonl").write_text("nothing\n")
    run = evaluate.evaluated_run(path, rows)
    assert run.records == ()
    np.testing.assert_array_equal(run.episodes["deterministic"].cost, rows[1]["episode_cost"])
    assert "there are no measures of its training" in capsys.readouterr().err
