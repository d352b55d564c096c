"""TRPO's update on fixed samples, against NumPy written from the paper."""

import jax.numpy as jnp
import pytest

from espo_jax import modes
from tests import references
from tests.problems import RADIUS, assert_close, dense, pose, update

pytestmark = pytest.mark.usefixtures("x64")


@pytest.mark.parametrize("cost", [30.0, 40.0, 44.9, 45.1, 60.0])
def test_follows_the_reward_whatever_the_cost(cost):
    problem = pose(cost, cost_tolerance=5.0)
    gradients, fisher = dense(problem)
    result = update("trpo", problem)
    assert_close(result.step, references.trpo_step(gradients[0], fisher, RADIUS))
    assert int(modes.mode_of(result.active, jnp.array(False))) == modes.REWARD
