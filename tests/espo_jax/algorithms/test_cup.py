"""CUP's update on fixed samples, against NumPy written from the paper."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax.algorithms import cup
from tests import references
from tests.problems import FIRST_ORDER, assert_close, away, forward, pose, update

pytestmark = pytest.mark.usefixtures("x64")


def with_long_episodes(problem):
    """With an episode of one step the horizon of the cost is that step's; the paper's is infinite."""
    return problem._replace(episode=problem.episode._replace(length=jnp.array(1000.0)))


@pytest.mark.parametrize("cost", [(50.0, 43.0), (20.0, 30.0)])
def test_update_is_the_papers(cost):
    problem = pose(cost, num_constraints=2, **FIRST_ORDER)
    batch = jax.tree.map(np.asarray, problem.batch)
    nu = [references.multiplier_ascent(0.3, [c - 40.0], 0.07) for c in cost]

    def improvement(flat):
        args = (*forward(problem, flat), batch.action, batch.log_prob, batch.advantage[..., 0], 0.2)
        return references.ppo_loss(*args)

    half, adam_state = references.adam_descent(improvement, np.asarray(problem.params), 3, 0.05, 40.0)
    half_distribution = forward(problem, half)

    def projection(flat):
        return references.cup_projection_loss(
            *forward(problem, flat), *half_distribution, batch.action, batch.log_prob, -batch.advantage[..., 1:], nu,
            0.9, 0.8,
        )  # fmt: skip

    expected = half
    if max(nu) > 0:
        expected, _ = references.adam_descent(projection, half, 3, 0.05, 40.0, adam_state)
    result = update("cup", with_long_episodes(problem))
    np.testing.assert_allclose(problem.params + result.step, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["improvement", "projection"])
def test_losses_and_gradients_are_the_papers(name):
    """Value and gradient themselves, which Adam's steps say little about; away from the old policy."""
    problem = pose((50.0, 43.0), num_constraints=2, **FIRST_ORDER)
    batch, nu = problem.batch, np.array([0.7, 0.2])
    old = jax.tree.map(np.asarray, batch)
    params, half_params = away(problem)
    half = problem.networks.policy(jnp.asarray(half_params), batch.observation)
    scaled = jnp.asarray(nu) * cup.projection_coefficient(with_long_episodes(problem))

    def ours(flat):
        new = problem.networks.policy(flat, batch.observation)
        if name == "improvement":
            return cup.improvement_loss(new, batch, 0.2) / 72
        return cup.projection_loss(new, batch._replace(distribution=half), scaled) / 72

    def papers(flat):
        new = forward(problem, flat)
        if name == "improvement":
            return references.ppo_loss(*new, old.action, old.log_prob, old.advantage[..., 0], 0.2)
        return references.cup_projection_loss(
            *new, *forward(problem, half_params), old.action, old.log_prob, -old.advantage[..., 1:], nu, 0.9, 0.8
        )

    value, slope = jax.value_and_grad(ours)(jnp.asarray(params))
    assert float(value) == pytest.approx(papers(params), rel=1e-6)
    assert_close(slope, references.central_differences(papers, params))


def test_the_horizon_of_the_projection_is_no_longer_than_an_episode():
    """(1 - gamma lambda) min(L, 1 / (1 - gamma)), with gamma 0.9 and lambda 0.8."""
    problem = pose(50.0, **FIRST_ORDER)
    assert float(cup.projection_coefficient(problem)) == pytest.approx(0.28 * 1, rel=1e-6)
    assert float(cup.projection_coefficient(with_long_episodes(problem))) == pytest.approx(0.28 * 10, rel=1e-6)
