import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax.gae import gae, standardize
from tests import references

pytestmark = pytest.mark.usefixtures("strict_ranks")


def random_trajectory(seed, length=50):
    rng = np.random.default_rng(seed)
    terminated = rng.random(length) < 0.1
    truncated = (rng.random(length) < 0.1) & ~terminated
    return rng.normal(size=length), rng.normal(size=length), rng.normal(size=length), terminated, truncated


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize(("discount", "lam"), [(0.99, 0.95), (1.0, 1.0), (0.9, 0.0), (0.0, 0.5)])
def test_equals_the_loop_of_the_paper(seed, discount, lam):
    trajectory = random_trajectory(seed)
    ours = gae(*map(jnp.asarray, trajectory), jnp.ones(50, bool), discount=discount, gae_lambda=lam)
    chex.assert_trees_all_close(ours, references.gae(*trajectory, discount, lam).astype(np.float32), atol=1e-4)


def test_lambda_zero_is_the_td_error():
    reward, value, next_value, terminated, truncated = map(jnp.asarray, random_trajectory(0))
    ours = gae(reward, value, next_value, terminated, truncated, jnp.ones(50, bool), discount=0.9, gae_lambda=0.0)
    chex.assert_trees_all_close(ours, reward + 0.9 * next_value * ~terminated - value, atol=1e-6)


def test_truncation_bootstraps_and_termination_does_not():
    zeros, ends = jnp.zeros(2), jnp.array([True, False])
    nothing, mask = jnp.zeros(2, bool), jnp.ones(2, bool)
    next_value = jnp.array([10.0, 100.0])
    truncated = gae(zeros, zeros, next_value, nothing, ends, mask, discount=0.5, gae_lambda=1.0)
    terminated = gae(zeros, zeros, next_value, ends, nothing, mask, discount=0.5, gae_lambda=1.0)
    chex.assert_trees_all_close(truncated, jnp.array([5.0, 50.0]))
    chex.assert_trees_all_close(terminated, jnp.array([0.0, 50.0]))


@pytest.mark.parametrize("used", [1, 7, 49, 50])
def test_masked_equals_sliced(used):
    trajectory = tuple(map(jnp.asarray, random_trajectory(3)))
    mask = jnp.arange(50) < used
    poisoned = tuple(jnp.where(mask, x, jnp.nan) if x.dtype != bool else x for x in trajectory)
    masked = gae(*poisoned, mask, discount=0.99, gae_lambda=0.95)
    sliced = gae(*(x[:used] for x in trajectory), mask[:used], discount=0.99, gae_lambda=0.95)
    chex.assert_trees_all_close(masked[:used], sliced, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal(masked[used:], jnp.zeros(50 - used))


def test_standardize_uses_only_the_samples_in_use():
    x = jax.random.normal(jax.random.key(1), (20, 3)) * 5 + 7
    mask = jnp.arange(20)[:, None] < jnp.full((1, 3), 12)
    ours, std = standardize(x, mask)
    assert float(std) == pytest.approx(float(x[:12].std()), rel=1e-5)
    expected = (x[:12] - x[:12].mean()) / x[:12].std()
    chex.assert_trees_all_close(ours[:12], expected, rtol=1e-5, atol=1e-6)
    assert not ours[12:].any()


@pytest.mark.parametrize("value", [0.0, 3.7, -1e6])
def test_constant_advantages_become_zero(value):
    assert not standardize(jnp.full((100, 4), value), jnp.ones((100, 4), bool))[0].any()
