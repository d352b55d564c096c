"""What an iteration reports, on the device and on the host."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from brax.training.types import UInt64

from espo_jax import policy
from espo_jax.algorithms.metrics import NONFINITE_QUANTITIES, Metrics, fetch
from tests.problems import TINY_CONFIG, compiled, hyperparams, with_mean


def named(metrics):
    return [name for i, name in enumerate(NONFINITE_QUANTITIES) if int(metrics.nonfinite) >> i & 1]


def test_metrics_of_the_untouched_policy(key):
    espo = compiled("espo")
    hp = hyperparams()
    state = espo.init(key, hp)
    after, metrics = espo.step(state, hp)
    unit = policy.Gaussian(jnp.zeros(2), jnp.zeros(2))
    assert float(metrics.entropy) == pytest.approx(float(policy.entropy(unit)), rel=1e-5)
    assert 0 < float(metrics.cg_residual) < 1
    assert int(metrics.iteration) == 1
    assert int(after.normalizer.count.lo) == TINY_CONFIG.base_sample_size
    chex.assert_trees_all_close(after.normalizer.mean, jnp.ones(1))


def test_episode_cost_is_that_of_the_task(key):
    """A policy of nearly no noise at distance 1 from home costs 8 an episode of 8 steps."""
    espo = compiled("espo")
    hp = hyperparams()
    state = with_mean(espo.algorithm, espo.init(key, hp), (1.0, -1.0))
    log_std = jnp.arange(state.policy.size) >= state.policy.size - 2
    flat = jnp.where(log_std, -8.0, state.policy)
    names = jax.tree.leaves_with_path(espo.algorithm.networks.unravel_policy(flat))
    assert any("log_std" in str(path) and (leaf == -8.0).all() for path, leaf in names)
    _, metrics = espo.step(state.replace(policy=flat), hp)
    assert float(metrics.episode_cost[0]) == pytest.approx(8.0, rel=0.02)
    assert float(metrics.episode_reward) == pytest.approx(-8.0, rel=0.02)
    assert float(metrics.episode_length) == 8


@pytest.mark.parametrize("before", [2**31 - 40, 2**32 - 40, 10**12 - 40])
def test_samples_are_counted_exactly_beyond_32_bits(before, key):
    espo = compiled("espo")
    hp = hyperparams()
    state, expected = espo.init(key, hp), before
    state = state.replace(env_steps=UInt64(hi=jnp.uint32(before >> 32), lo=jnp.uint32(before & 0xFFFFFFFF)))
    for _ in range(3):
        expected += int(state.sample_size)
        state, metrics = espo.step(state, hp)
        assert int(state.env_steps) == int(fetch(metrics).env_steps) == expected
    assert fetch(metrics).env_steps.dtype == np.int64
    assert espo.step._cache_size() == 1


def test_fetched_metrics_are_numpy_arrays_and_those_of_lanes_are_one_array(key):
    espo = compiled("espo")
    hp = hyperparams()
    _, metrics = espo.step(espo.init(key, hp), hp)
    lanes = jax.tree.map(lambda x: jnp.stack([x] * 3), metrics)
    for fetched, shape in ((fetch(metrics), ()), (fetch(lanes), (3,))):
        assert all(isinstance(x, np.ndarray | np.generic) for x in fetched)
        assert set(fetched._fields) == set(Metrics._fields)
        np.testing.assert_array_equal(fetched.env_steps, np.full(shape, 80))


def test_nan_from_physics_is_reported_and_nothing_is_learned_from_it(key):
    espo = compiled("espo", nan_above=0.0)
    hp = hyperparams()
    state = espo.init(key, hp)
    after, metrics = espo.step(state, hp)
    assert "reward" in named(metrics)
    assert "observation" not in named(metrics)
    for name in ("policy", "critics", "normalizer", "episode", "life_table", "sample_size", "turn"):
        chex.assert_trees_all_equal(getattr(after, name), getattr(state, name))
    assert (int(after.iteration), int(after.env_steps)) == (1, 80)


def test_overflowing_critics_are_reported(key):
    espo = compiled("espo", cost_scale=1e25)
    hp = hyperparams()
    state = espo.init(key, hp)
    after, metrics = espo.step(state, hp)
    assert "critic loss" in named(metrics)
    chex.assert_trees_all_equal(after.policy, state.policy)


def test_negative_costs_are_counted(key):
    negative, positive = compiled("espo", cost_scale=-1.0), compiled("espo")
    hp = hyperparams()
    state = positive.init(key, hp)
    assert int(negative.step(state, hp)[1].negative_costs) == 80
    assert int(positive.step(state, hp)[1].negative_costs) == 0
