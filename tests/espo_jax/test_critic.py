import functools

import chex
import jax
import jax.numpy as jnp
import pytest

from espo_jax import critic, minibatch
from espo_jax.lbfgs import fit_lbfgs
from tests.problems import make_problem

L2 = 1e-3


@functools.cache
def compiled_loss(critic_fn):
    return jax.jit(lambda *arguments: critic.loss_and_gradient(critic_fn, *arguments, l2=L2))


def loss_fn(p):
    return lambda params: compiled_loss(p.networks.critic)(params, p.observation, p.advantage, p.mask, p.blocks)


def plain_loss(p, params, column, used):
    value = p.networks.critic(params, p.observation[:used])
    return jnp.mean((value - p.advantage[:used, :, column]) ** 2) + L2 * jnp.sum(params**2)


@pytest.mark.parametrize("used", [1, 10, 24])
def test_loss_and_gradient_equal_the_formula_on_the_slice(used):
    p = make_problem(used)
    loss, gradient = loss_fn(p)(p.critics)
    for column in range(2):
        expected = jax.value_and_grad(lambda params, c=column: plain_loss(p, params, c, used))(p.critics[column])
        chex.assert_trees_all_close((loss[column], gradient[column]), expected, rtol=1e-5, atol=1e-6)


def test_lbfgs_fit_is_lbfgs_on_that_loss():
    """It lowers every critic's loss, and starts afresh in each iteration: the key and the state do not matter."""
    p = make_problem(24)
    settings = critic.CriticSettings(
        l2=L2, learning_rate=0.0, max_gradient_norm=0.0, num_passes=0, minibatch_size=0, lbfgs_iterations=5
    )
    optimizer = critic.OPTIMIZERS["lbfgs"]
    samples = critic.Samples(p.observation, p.advantage, p.mask, p.blocks)
    state = optimizer.init(p.critics, settings)

    @jax.jit
    def fit(samples, key):
        return optimizer.fit(p.networks.critic, p.critics, state, key, samples, settings)

    params, after, loss = fit(samples, jax.random.key(0))
    expected = jax.jit(lambda params: fit_lbfgs(loss_fn(p), params, num_iterations=5))(p.critics)
    chex.assert_trees_all_close((params, loss), expected, rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_equal(after, state)
    assert (loss < loss_fn(p)(p.critics)[0]).all()


def test_masked_equals_sliced_in_double_precision(x64):
    masked, sliced = make_problem(10), make_problem(10, capacity=10, block_size=10)
    chex.assert_trees_all_close(loss_fn(masked)(masked.critics), loss_fn(sliced)(sliced.critics), rtol=1e-10)


def fit_adam(p, passes, size=6, learning_rate=1e-2):
    optimizer = minibatch.adam(learning_rate, 40.0)
    return critic.fit_adam(
        p.networks.critic, p.critics, optimizer, jax.vmap(optimizer.init)(p.critics), jax.random.key(0),
        p.observation, p.advantage, p.mask, l2=L2, num_passes=passes, minibatch_size=size,
    )  # fmt: skip


def test_adam_fits_and_counts_its_minibatches():
    p = make_problem(10)  # 30 samples: minibatches of 7, 7, 7, 7 and 2
    params, state, loss = fit_adam(p, 200, size=7)
    assert (loss < 0.5 * loss_fn(p)(p.critics)[0]).all()
    chex.assert_trees_all_close(loss_fn(p)(params)[0], loss, rtol=0.3)
    counts = [x for x in jax.tree.leaves(state) if x.dtype == jnp.int32]
    assert all((x == 200 * 5).all() for x in counts)


def test_adam_ignores_the_unused_samples(x64):
    full_batch = {"passes": 3, "size": 30}  # one minibatch, so that the order does not matter
    masked, sliced = make_problem(10), make_problem(10, capacity=10, block_size=10)
    chex.assert_trees_all_close(fit_adam(masked, **full_batch), fit_adam(sliced, **full_batch), rtol=1e-10)


def test_adam_lanes_with_fewer_samples_stop_by_themselves():
    short, long = make_problem(4), make_problem(24)
    lanes = jax.tree.map(lambda a, b: jnp.stack([a, b]), *((p.observation, p.advantage, p.mask) for p in (short, long)))

    def fit(data):
        return fit_adam(short._replace(observation=data[0], advantage=data[1], mask=data[2]), 2)[0]

    together = jax.vmap(fit)(lanes)
    chex.assert_trees_all_close(
        together[0], fit((short.observation, short.advantage, short.mask)), rtol=1e-4, atol=1e-5
    )
    chex.assert_trees_all_close(together[1], fit((long.observation, long.advantage, long.mask)), rtol=1e-4, atol=1e-5)
