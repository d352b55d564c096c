import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from espo_jax import critic, minibatch
from tests.core.problems import make_problem

L2 = 1e-3


def loss_fn(p):
    return lambda params: critic.loss_and_gradient(
        p.networks.critic, params, p.observation, p.advantage, p.mask, p.blocks, l2=L2
    )


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


def test_masked_equals_sliced_in_double_precision(x64):
    masked, sliced = make_problem(10), make_problem(10, capacity=10, block_size=10)
    chex.assert_trees_all_close(loss_fn(masked)(masked.critics), loss_fn(sliced)(sliced.critics), rtol=1e-10)


def test_lbfgs_reaches_what_scipy_reaches(x64):
    p = make_problem(24)
    _, loss = critic.fit_lbfgs(loss_fn(p), p.critics, num_iterations=300)
    for column in range(2):
        value_and_grad = jax.jit(jax.value_and_grad(lambda params, c=column: plain_loss(p, params, c, 24)))
        _, ours_from_there, _ = scipy.optimize.fmin_l_bfgs_b(
            lambda x, f=value_and_grad: tuple(np.asarray(y) for y in f(x)), np.asarray(p.critics[column]), maxiter=300
        )
        # Both run into local minima of a small network; ours must not be clearly worse.
        assert float(loss[column]) < 1.1 * ours_from_there + 1e-3


def test_lbfgs_solves_a_quadratic_exactly(x64):
    scales = jnp.array([1.0, 10.0, 100.0])
    centre = jnp.array([[1.0, -2.0, 3.0], [0.0, 5.0, 1.0]])

    def quadratic(x):
        return 0.5 * jnp.sum(scales * (x - centre) ** 2, axis=-1), scales * (x - centre)

    x, loss = critic.fit_lbfgs(quadratic, jnp.zeros((2, 3)), num_iterations=40)
    chex.assert_trees_all_close(x, centre, atol=1e-5)
    assert float(loss.max()) < 1e-8


def test_lbfgs_never_increases_the_loss_and_each_critic_is_fitted_on_its_own():
    p = make_problem(24)
    start, _ = loss_fn(p)(p.critics)
    losses = [critic.fit_lbfgs(loss_fn(p), p.critics, num_iterations=n)[1] for n in (1, 5, 20)]
    for earlier, later in zip([start, *losses], losses, strict=False):
        assert (later <= earlier).all()
    alone = p._replace(advantage=p.advantage[..., 1:])
    expected, _ = critic.fit_lbfgs(loss_fn(alone), p.critics[1:], num_iterations=3)
    together, _ = critic.fit_lbfgs(loss_fn(p), p.critics, num_iterations=3)
    chex.assert_trees_all_close(together[1:], expected, rtol=1e-3, atol=1e-4)


def test_lbfgs_stays_where_nothing_is_finite_or_nothing_descends():
    nothing = lambda x: (jnp.full(1, jnp.nan), jnp.full_like(x, jnp.nan))  # noqa: E731
    stationary = lambda x: (jnp.ones(1), jnp.zeros_like(x))  # noqa: E731
    for fn in (nothing, stationary):
        x, _ = critic.fit_lbfgs(fn, jnp.ones((1, 3)), num_iterations=3)
        chex.assert_trees_all_equal(x, jnp.ones((1, 3)))


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
