import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import policy
from espo_jax.policy import Gaussian, GaussianPolicy
from tests import references

pytestmark = pytest.mark.usefixtures("strict_ranks")


@pytest.fixture
def gaussians():
    rng = np.random.default_rng(0)
    return [Gaussian(rng.normal(size=(6, 3)), 0.5 * rng.normal(size=(6, 3))) for _ in range(2)]


def test_log_prob_and_kl_equal_their_formulas(gaussians):
    p, q = gaussians
    action = np.random.default_rng(1).normal(size=(6, 3))
    chex.assert_trees_all_close(
        policy.log_prob(p, action), references.gaussian_log_prob(*p, action).astype(np.float32), rtol=1e-5, atol=1e-5
    )
    chex.assert_trees_all_close(
        policy.kl_divergence(p, q), references.gaussian_kl(*p, *q).astype(np.float32), rtol=1e-4, atol=1e-5
    )


def test_kl_is_zero_on_the_diagonal_and_the_mean_log_ratio_elsewhere(gaussians, key):
    p, q = jax.tree.map(jnp.asarray, gaussians)
    chex.assert_trees_all_close(policy.kl_divergence(p, p), jnp.zeros(6), atol=1e-6)
    draws = jax.vmap(policy.sample, in_axes=(0, None))(jax.random.split(key, 20_000), p)
    log_ratio = jax.vmap(lambda a: policy.log_prob(p, a) - policy.log_prob(q, a))(draws)
    error = jnp.std(log_ratio, axis=0) / 20_000**0.5
    assert (jnp.abs(jnp.mean(log_ratio, axis=0) - policy.kl_divergence(p, q)) < 5 * error).all()


def test_entropy_is_minus_the_mean_log_prob(gaussians, key):
    p = jax.tree.map(jnp.asarray, gaussians[0])
    draws = jax.vmap(policy.sample, in_axes=(0, None))(jax.random.split(key, 20_000), p)
    log_prob = jax.vmap(lambda a: policy.log_prob(p, a))(draws)
    error = jnp.std(log_prob, axis=0) / 20_000**0.5
    assert (jnp.abs(jnp.mean(log_prob, axis=0) + policy.entropy(p)) < 5 * error).all()


def test_fisher_metric_is_the_hessian_of_the_kl(gaussians, x64):
    p = jax.tree.map(lambda x: jnp.asarray(x[0]), gaussians[0])
    tangent = Gaussian(jnp.array([0.3, -1.0, 2.0]), jnp.array([1.0, 0.5, -0.2]))

    def kl(q):
        return policy.kl_divergence(p, q)

    _, expected = jax.jvp(jax.grad(kl), (p,), (tangent,))
    chex.assert_trees_all_close(policy.fisher_metric(p, tangent), expected, rtol=1e-10)


def test_network_starts_near_zero_mean_with_unit_std(key):
    net = GaussianPolicy(action_size=2)
    observation = jax.random.normal(key, (100, 11))
    distribution = net.apply(net.init(key, observation[0]), observation)
    chex.assert_shape(distribution, (100, 2))
    assert float(jnp.abs(distribution.mean).max()) < 0.5
    assert not distribution.log_std.any()
