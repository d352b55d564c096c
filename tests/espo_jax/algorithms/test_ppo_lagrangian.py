"""PPO-Lagrangian's update on fixed samples, against NumPy written from the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax.algorithms import ppo_lagrangian
from tests import references
from tests.problems import FIRST_ORDER, assert_close, away, forward, pose, update

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("cost", [(50.0, 43.0), (20.0, 41.0)])
def test_update_is_the_papers(cost):
    problem = pose(cost, num_constraints=2, **FIRST_ORDER)
    batch = jax.tree.map(np.asarray, problem.batch)
    nu = [references.multiplier_ascent(0.3, [c - 40.0], 0.07) for c in cost]
    advantage = references.lagrangian_advantage(batch.advantage[..., 0], -batch.advantage[..., 1:], nu)

    def loss(flat):
        return references.ppo_loss(*forward(problem, flat), batch.action, batch.log_prob, advantage, 0.2)

    expected, _ = references.adam_descent(loss, np.asarray(problem.params), 3, 0.05, 40.0)
    result = update("ppo_lagrangian", problem)
    np.testing.assert_allclose(result.multiplier, nu, rtol=1e-6)
    np.testing.assert_allclose(problem.params + result.step, expected, rtol=1e-4, atol=1e-6)
    ratio = references.gaussian_ratio(batch.log_prob, *forward(problem, expected), batch.action)
    assert (np.abs(ratio - 1) > 0.2).any(), "some samples must be clipped"


def test_loss_and_gradient_are_the_papers():
    """Value and gradient themselves, which Adam's steps say little about; away from the old policy."""
    problem = pose((50.0, 43.0), num_constraints=2, **FIRST_ORDER)
    old, nu = jax.tree.map(np.asarray, problem.batch), np.array([0.7, 0.2])
    params, _ = away(problem)
    advantage = references.lagrangian_advantage(old.advantage[..., 0], -old.advantage[..., 1:], nu)

    def ours(flat):
        new = problem.networks.policy(flat, problem.batch.observation)
        weight = ppo_lagrangian.mixture(jnp.asarray(nu))
        return ppo_lagrangian.lagrangian_loss(new, problem.batch, weight, 0.2) / 72

    def papers(flat):
        return references.ppo_loss(*forward(problem, flat), old.action, old.log_prob, advantage, 0.2)

    value, slope = jax.value_and_grad(ours)(jnp.asarray(params))
    assert float(value) == pytest.approx(papers(params), rel=1e-6)
    assert_close(slope, references.central_differences(papers, params))


def test_without_a_multiplier_it_is_ppo():
    problem = pose(30.0, **{**FIRST_ORDER, "multiplier_init": 0.0})
    batch = jax.tree.map(np.asarray, problem.batch)

    def loss(flat):
        return references.ppo_loss(*forward(problem, flat), batch.action, batch.log_prob, batch.advantage[..., 0], 0.2)

    expected, _ = references.adam_descent(loss, np.asarray(problem.params), 3, 0.05, 40.0)
    np.testing.assert_allclose(problem.params + update("ppo_lagrangian", problem).step, expected, rtol=1e-4, atol=1e-6)
