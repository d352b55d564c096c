import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tabular import cmdp
from tabular.readings import READINGS, objectives

from espo_jax import conflict
from espo_jax.natural_gradient import conjugate_gradient

pytestmark = pytest.mark.usefixtures("x64")


@pytest.fixture
def problem():
    return cmdp.random_cmdp(np.random.default_rng(0), 3, 3, 0.8)


@pytest.fixture
def logits():
    return jnp.asarray(np.random.default_rng(1).normal(size=(3, 3)))


def vectors_of(problem, logits, reading, shift=0.0):
    policy = jax.nn.softmax(logits)
    values = cmdp.evaluate(problem, policy)
    return objectives(values.q + shift, policy, values.visits, READINGS[reading].centre)


def test_gradients_are_those_of_the_values(problem, logits):
    def value(table, index):
        return cmdp.evaluate(problem, jax.nn.softmax(table)).value[index]

    vectors = vectors_of(problem, logits, "centred")
    scale = 1 - problem.discount
    np.testing.assert_allclose(vectors.gradient[0], scale * jax.grad(value)(logits, 0).ravel(), rtol=1e-8)
    np.testing.assert_allclose(vectors.gradient[1], -scale * jax.grad(value)(logits, 1).ravel(), rtol=1e-8)


def test_centred_tables_are_what_conjugate_gradients_find(problem, logits):
    policy = jax.nn.softmax(logits)
    visits = cmdp.evaluate(problem, policy).visits
    vectors = vectors_of(problem, logits, "centred")
    blocks = [d * (jnp.diag(p) - jnp.outer(p, p)) for d, p in zip(visits, policy, strict=True)]
    fisher = jax.scipy.linalg.block_diag(*blocks)
    found = conjugate_gradient(lambda v: v @ fisher, vectors.gradient, num_iterations=12)
    np.testing.assert_allclose(found, vectors.direction, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("reading", ["advantage", "centred", "euclidean", "fisher"])
def test_a_constant_for_each_state_changes_nothing(reading, problem, logits):
    shift = jnp.array([3.0, -1.0])[:, None, None] * jnp.arange(1.0, 4.0)[None, :, None]
    plain, shifted = vectors_of(problem, logits, reading), vectors_of(problem, logits, reading, shift)
    np.testing.assert_allclose(plain.direction, shifted.direction, atol=1e-10)


def test_q_tables_of_rewards_and_costs_above_zero_always_conflict(problem, logits):
    metric = conflict.METRICS["natural"]

    def conflicts(shift):
        vectors = vectors_of(problem, logits, "q", shift)
        gram = metric.gram(vectors.gradient, vectors.direction, vectors.direction)
        return bool(conflict.in_conflict(gram, jnp.array([True, True])))

    assert conflicts(0.0)
    # The same problem with 10 subtracted from the reward of each step: the same optimal policies, no conflict.
    assert not conflicts(jnp.array([-10.0 / (1 - problem.discount), 0.0])[:, None, None])
