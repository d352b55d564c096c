import itertools

import chex
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import modes
from espo_jax.modes import choose_mode
from tests import references

pytestmark = pytest.mark.usefixtures("strict_ranks")

NAMES = {modes.REWARD: "reward", modes.COST: "cost", modes.ALIGNED: "balance"}


def choose(cost, limit=40.0, high=0.0, low=0.0, **settings):
    arrays = (jnp.atleast_1d(jnp.asarray(x, jnp.float32)) for x in (cost, limit, high, low))
    cost, limit, high, low = jnp.broadcast_arrays(*arrays)
    return choose_mode(cost, limit, high, low, settings.pop("reward_weight", 0.5), **settings)


def mode(choice):
    return int(modes.mode_of(choice.active, jnp.array(False)))


SLACKS = list(itertools.product([0.0, 9.0, np.inf], [0.0, -9.0, -np.inf]))


@pytest.mark.parametrize(("high", "low"), SLACKS)
@pytest.mark.parametrize("cost", [0.0, 30.999, 31.0, 31.001, 39.999, 40.0, 40.001, 48.999, 49.0, 49.001, 1e6])
def test_mode_table_on_its_boundaries(cost, high, low):
    choice = choose(cost, high=high, low=low)
    expected = references.espo_mode(np.float32(cost), 40.0, high, low)
    assert NAMES[mode(choice)] == expected
    assert bool(choice.balance) == (expected == "balance")
    weights = {"cost": [0.0, 1.0], "reward": [1.0, 0.0], "balance": [0.5, 0.5]}
    chex.assert_trees_all_equal(choice.weight, jnp.array(weights[expected]))
    chex.assert_trees_all_equal(choice.active, choice.weight > 0)


def test_warmup_follows_the_reward_whatever_the_cost():
    for cost in (0.0, 40.0, 1e6):
        choice = choose(cost, low=-np.inf, warmup=jnp.array(True))
        assert mode(choice) == modes.REWARD
        chex.assert_trees_all_equal(choice.weight, jnp.array([1.0, 0.0]))


def test_several_constraints():
    most_violated = choose([50.0, 13.0, 0.0], limit=[40.0, 10.0, 5.0])  # 25 % against 30 % over the limit
    chex.assert_trees_all_equal(most_violated.weight, jnp.array([0.0, 0.0, 1.0, 0.0]))
    in_band = choose([40.0, 10.0, 0.0], limit=[40.0, 10.0, 5.0], reward_weight=0.6)
    chex.assert_trees_all_close(in_band.weight, jnp.array([0.6, 0.2, 0.2, 0.0]))
    chex.assert_trees_all_equal(in_band.active, jnp.array([True, True, True, False]))
    one_sided = choose([40.0, 10.0, 0.0], limit=[40.0, 10.0, 5.0], reward_weight=1.0)
    chex.assert_trees_all_equal(one_sided.active, in_band.active)
    assert mode(choose([1.0, 1.0], limit=[40.0, 10.0])) == modes.REWARD
    zero_limits = choose([1.0, 2.0], limit=[0.0, 0.0])
    chex.assert_trees_all_equal(zero_limits.weight, jnp.array([0.0, 0.0, 1.0]))


@pytest.mark.parametrize("value", [300.0, -9.0, 0.0])
@pytest.mark.parametrize("iteration", [0, 1, 7, 99])
def test_anneal_equals_the_recursion(x64, value, iteration):
    ours = modes.anneal(jnp.array(value), jnp.int32(iteration), 100, True)
    assert float(ours) == pytest.approx(references.anneal(value, 100, iteration + 1), rel=1e-9)
    assert float(modes.anneal(jnp.array(value), jnp.int32(iteration), 100, False)) == value


@pytest.mark.parametrize("value", [np.inf, -np.inf])
@pytest.mark.parametrize("num_iterations", [1, 100])
def test_infinite_slacks_stay_infinite(value, num_iterations):
    assert float(modes.anneal(jnp.array(value), jnp.int32(3), num_iterations, True)) == value
