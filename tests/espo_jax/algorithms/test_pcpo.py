"""PCPO's update on fixed samples, against NumPy written from the paper."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax.algorithms import pcpo
from tests import references
from tests.problems import RADIUS, assert_close, dense, pose, update

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize(("raises_cost", "violation"), [
    (False, -50.0), (False, 0.9), (False, 1.5), (False, 3.0), (True, -50.0), (True, -1.1), (True, -0.5), (True, 0.4),
])  # fmt: skip
def test_step_is_the_papers(raises_cost, violation):
    """The violation in units of what the reward step changes of the cost, which it lowers on these samples."""
    sign = jnp.array([1.0, -1.0 if raises_cost else 1.0])

    def turned(cost):
        return pose(cost, advantage=lambda advantage: sign * advantage)

    gradients, fisher = dense(turned(40.0))
    c = violation * abs(float(gradients[1] @ references.trpo_step(gradients[0], fisher, RADIUS)))
    expected = references.pcpo_step(gradients[0], -gradients[1], fisher, c, RADIUS)
    length = np.sqrt(expected @ fisher @ expected / (2 * RADIUS))
    result = update("pcpo", turned(40.0 + c))
    projected = np.abs(expected - references.trpo_step(gradients[0], fisher, RADIUS)).max() > 1e-5
    assert projected == (violation > (-1 if raises_cost else 1))
    assert_close(result.step, expected / max(1.0, length), rtol=2e-4)
    assert float(result.kl) < 1.01 * RADIUS


def test_keeps_to_the_trust_region_far_outside_of_the_limit():
    problem = pose(4000.0)
    result = update("pcpo", problem)
    assert 0.5 * RADIUS < float(result.kl) < 1.5 * RADIUS
    gradients, fisher = dense(problem)
    expected = references.trpo_step(gradients[1], fisher, RADIUS)  # what is left is the cost's own step
    chex.assert_trees_all_close(result.step, expected, rtol=1e-2, atol=1e-6)


def test_violation_is_in_the_unit_of_the_surrogate():
    problem = pose(50.0)
    problem = problem._replace(
        batch=problem.batch._replace(advantage_scale=jnp.array([7.0, 0.5])),
        episode=problem.episode._replace(length=jnp.array(1000.0)),
    )
    np.testing.assert_allclose(pcpo.violation(problem), [10 / (1000 * 0.5)])


def test_far_inside_of_the_limit_it_is_trpo():
    problem = pose(-1e6)
    chex.assert_trees_all_close(update("pcpo", problem).step, update("trpo", problem).step, rtol=1e-12)
