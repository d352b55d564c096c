import chex
import jax
import jax.numpy as jnp
import numpy as np
import scipy.optimize

from espo_jax.lbfgs import _OPTIMIZER, _direction, fit_lbfgs
from tests.problems import make_problem


def loss_of_one(p):
    """Mean squared error of a critic with a penalty on its parameters: (params [P], target [T, N]) -> []."""
    return lambda params, target: (
        jnp.mean((p.networks.critic(params, p.observation) - target) ** 2) + 1e-3 * jnp.sum(params**2)
    )


def loss_fn(p):
    return lambda params: jax.vmap(jax.value_and_grad(loss_of_one(p)), in_axes=(0, -1))(params, p.advantage)


def test_lbfgs_reaches_what_scipy_reaches(x64):
    p = make_problem(24)
    _, loss = jax.jit(lambda params: fit_lbfgs(loss_fn(p), params, num_iterations=300))(p.critics)
    for column in range(2):
        value_and_grad = jax.jit(
            jax.value_and_grad(lambda params, c=column: loss_of_one(p)(params, p.advantage[..., c]))
        )
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

    x, loss = fit_lbfgs(quadratic, jnp.zeros((2, 3)), num_iterations=40)
    chex.assert_trees_all_close(x, centre, atol=1e-5)
    assert float(loss.max()) < 1e-8


def test_a_direction_that_does_not_descend_starts_again_as_optax_does():
    rng = np.random.default_rng(0)
    before, slope, change = (jnp.asarray(rng.normal(size=(2, 5)), jnp.float32) for _ in range(3))
    fresh = jax.vmap(_OPTIMIZER.init)(before)
    _, memory = jax.vmap(_OPTIMIZER.update)(slope, fresh, before)
    params, gradient = before + change, slope - change  # a curvature of -1
    uphill, _ = jax.vmap(_OPTIMIZER.update)(gradient, memory, params)
    assert (jnp.sum(gradient * uphill, axis=-1) < 0).all()
    expected = jax.vmap(_OPTIMIZER.update)(gradient, fresh, params)
    chex.assert_trees_all_close(_direction(params, gradient, memory), expected, rtol=1e-6)


def test_lbfgs_never_increases_the_loss_and_each_critic_is_fitted_on_its_own():
    p = make_problem(24)
    fit = jax.jit(lambda params, n: fit_lbfgs(loss_fn(p), params, num_iterations=n))
    start, _ = loss_fn(p)(p.critics)
    losses = [fit(p.critics, n)[1] for n in (1, 5, 20)]
    for earlier, later in zip([start, *losses], losses, strict=False):
        assert (later <= earlier).all()
    alone = p._replace(advantage=p.advantage[..., 1:])
    expected, _ = jax.jit(lambda params: fit_lbfgs(loss_fn(alone), params, num_iterations=3))(p.critics[1:])
    together, _ = fit(p.critics, 3)
    chex.assert_trees_all_close(together[1:], expected, rtol=1e-3, atol=1e-4)


def test_lbfgs_stays_where_nothing_is_finite_or_nothing_descends():
    nothing = lambda x: (jnp.full(1, jnp.nan), jnp.full_like(x, jnp.nan))  # noqa: E731
    stationary = lambda x: (jnp.ones(1), jnp.zeros_like(x))  # noqa: E731
    for fn in (nothing, stationary):
        x, _ = fit_lbfgs(fn, jnp.ones((1, 3)), num_iterations=3)
        chex.assert_trees_all_equal(x, jnp.ones((1, 3)))
