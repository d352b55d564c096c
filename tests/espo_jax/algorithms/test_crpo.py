"""CRPO's update on fixed samples, against NumPy written from the paper."""

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import modes
from espo_jax.algorithms import crpo
from tests import references
from tests.problems import RADIUS, assert_close, dense, pose, update

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("cost", [30.0, 40.0, 44.9, 45.1, 60.0])
def test_follows_the_reward_up_to_the_limit_and_its_tolerance_and_else_the_cost(cost):
    problem = pose(cost, cost_tolerance=5.0)
    followed = references.switch([cost], [40.0], 5.0)
    gradients, fisher = dense(problem)
    result = update("crpo", problem)
    assert_close(result.step, references.trpo_step(gradients[followed], fisher, RADIUS))
    assert int(modes.mode_of(result.active, jnp.array(False))) == (modes.COST if followed else modes.REWARD)


def test_takes_the_worst_of_several_constraints():
    limit = jnp.array([40.0, 10.0, 5.0])
    for cost in ([39.0, 9.0, 4.0], [50.0, 13.0, 5.0], [41.0, 10.0, 6.5], [45.0, 11.0, 6.0]):
        choice = crpo.switch(jnp.array(cost), limit, 1.0)
        expected = np.arange(4) == references.switch(cost, limit.tolist(), 1.0)
        chex.assert_trees_all_equal(choice.active, jnp.asarray(expected))
        chex.assert_trees_all_close(choice.weight, jnp.asarray(expected, float))
