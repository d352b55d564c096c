"""Evaluations total whole first episodes."""

import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax.evaluation import evaluator
from tests.probe_envs import PointEnv


def test_evaluation_totals_whole_first_episodes(key):
    def make_inference_fn(params, deterministic):
        return lambda observation, key: (jnp.full((*observation.shape[:-1], 1), params), {})

    env = PointEnv(num_constraints=2)
    result = evaluator(env, make_inference_fn, num_episodes=3, action_repeat=2)(0.5, key)
    np.testing.assert_allclose(result.cost, [16 * 0.35] * 2, rtol=1e-6)
    np.testing.assert_allclose(result.cost_std, [0.0, 0.0], atol=1e-6)
    assert result.length == 8, "agent steps"
    # Positions 0.05, 0.10, ... from a start within 0.1 of 0.
    np.testing.assert_allclose(result.reward, -16 + 0.05 * sum(range(1, 17)), atol=1.6)
    with pytest.raises(ValueError, match="num_episodes is 0"):
        evaluator(env, make_inference_fn, num_episodes=0)
