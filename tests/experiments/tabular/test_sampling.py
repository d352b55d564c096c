import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tabular import cmdp, sampling

pytestmark = pytest.mark.usefixtures("x64")
HORIZON, PAIRS, REPEATS = 12, 6, 400


@pytest.fixture(scope="module")
def problem():
    return cmdp.random_cmdp(np.random.default_rng(0), 3, 2, 0.7)


def estimates(problem, policy, samples, capacity=8 * PAIRS):
    estimate = sampling.rollouts(HORIZON, capacity)
    exact = cmdp.evaluate(problem, policy)
    keys = jax.random.split(jax.random.key(1), REPEATS)
    found, taken = jax.jit(jax.vmap(lambda key: estimate(problem, policy, exact, samples, key)))(keys)
    return np.asarray(found.q), np.asarray(found.value), np.asarray(taken)


def test_the_mean_is_the_q_of_the_horizon(problem):
    policy = jnp.array([[0.3, 0.7], [0.5, 0.5], [0.9, 0.1]])
    q, value, _ = estimates(problem, policy, 4 * PAIRS * HORIZON)
    expected = sampling.q_of(problem, policy, HORIZON)
    error = (q.mean(axis=0) - expected) / (q.std(axis=0) / np.sqrt(REPEATS))
    assert np.abs(error).max() < 4
    assert 0.5 < np.sqrt(np.mean(error**2)) < 1.6, "the errors are as large as their standard errors"
    mean = np.einsum("s,sa,ksa->k", problem.start, policy, expected)
    assert np.abs((value.mean(axis=0) - mean) / (value.std(axis=0) / np.sqrt(REPEATS))).max() < 4


def test_the_q_of_the_horizon_is_nearly_the_exact_one(problem):
    policy = jnp.full((3, 2), 0.5)
    exact, truncated = cmdp.evaluate(problem, policy).q, sampling.q_of(problem, policy, HORIZON)
    assert (exact >= truncated).all()
    assert (exact - truncated).max() <= 0.7**HORIZON / 0.3


def test_the_variance_is_that_of_as_many_rollouts_as_the_size_asks_for(problem):
    policy = jnp.full((3, 2), 0.5)
    few, *_ = estimates(problem, policy, 2 * PAIRS * HORIZON)
    many, *_ = estimates(problem, policy, 8 * PAIRS * HORIZON)
    assert few.var(axis=0).mean() / many.var(axis=0).mean() == pytest.approx(4, rel=0.25)


def test_every_pair_keeps_one_rollout(problem):
    q, _, taken = estimates(problem, jnp.full((3, 2), 0.5), 1)
    assert np.isfinite(q).all()
    assert (taken == PAIRS * HORIZON).all(), "what is taken is counted, not what was asked for"


def test_the_remainder_goes_to_every_pair_alike(problem):
    policy = jnp.full((3, 2), 0.5)
    even, *_ = estimates(problem, policy, 2 * PAIRS * HORIZON)
    uneven, _, taken = estimates(problem, policy, (2 * PAIRS + 3) * HORIZON + 1)
    assert (taken == (2 * PAIRS + 3) * HORIZON).all()
    # A pair has 2 or 3 rollouts with equal chances, and so (1/2 + 1/3) / 2 of the variance of one instead of 1/2.
    ratio = (uneven.var(axis=0) / even.var(axis=0)).reshape(2, PAIRS)
    for half in (ratio[:, : PAIRS // 2], ratio[:, PAIRS // 2 :]):
        assert half.mean() == pytest.approx(5 / 6, abs=0.1), "in a fixed order the halves would have 2/3 and 1"
