import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from espo_jax import natural_gradient as ng
from espo_jax import policy
from tests import references
from tests.problems import dense_fisher, make_problem

pytestmark = pytest.mark.usefixtures("strict_ranks")


def product(p, damping=0.0):
    @jax.jit
    def apply(params, observation, mask, blocks, v):
        return ng.fisher_product(p.networks.policy, params, observation, mask, blocks, damping=damping)(v)

    return lambda v: apply(p.params, p.observation, p.mask, p.blocks, v)


@pytest.mark.parametrize("used", [5, 24])
def test_products_equal_the_dense_fisher(x64, used):
    p = make_problem(used)
    vectors = jax.random.normal(jax.random.key(1), (3, p.params.size))
    fisher = dense_fisher(p, used)
    chex.assert_trees_all_close(product(p)(vectors), vectors @ fisher, rtol=1e-8, atol=1e-12)
    chex.assert_trees_all_close(product(p)(vectors[0]), fisher @ vectors[0], rtol=1e-8, atol=1e-12)
    chex.assert_trees_all_close(product(p, damping=0.1)(vectors), vectors @ fisher + 0.1 * vectors, rtol=1e-8)


def test_products_equal_the_hessian_of_the_mean_kl(x64):
    p = make_problem(24)
    old = p.networks.policy(p.params, p.observation)

    def mean_kl(q):
        return jnp.mean(policy.kl_divergence(old, p.networks.policy(q, p.observation)))

    v = jax.random.normal(jax.random.key(1), p.params.shape)
    _, expected = jax.jvp(jax.grad(mean_kl), (p.params,), (v,))
    chex.assert_trees_all_close(product(p)(v), expected, rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize("used", [1, 9, 24])
def test_masked_equals_sliced(used):
    vectors = jax.random.normal(jax.random.key(1), (2, make_problem(1).params.size))
    masked = product(make_problem(used))(vectors)
    sliced = product(make_problem(used, capacity=used, block_size=used))(vectors)
    chex.assert_trees_all_close(masked, sliced, rtol=1e-5, atol=1e-5)


def test_masked_equals_sliced_in_double_precision(x64):
    vectors = jax.random.normal(jax.random.key(1), (2, make_problem(1).params.size))
    masked = product(make_problem(9))(vectors)
    sliced = product(make_problem(9, capacity=9, block_size=9))(vectors)
    chex.assert_trees_all_close(masked, sliced, rtol=1e-10, atol=1e-13)


def spd(seed, size=12):
    a = np.random.default_rng(seed).normal(size=(size, size))
    return a @ a.T + 0.5 * np.eye(size)


def test_conjugate_gradient_equals_a_dense_solve(x64):
    matrix = spd(0)
    b = np.random.default_rng(1).normal(size=(3, 12))
    solve = lambda rhs: ng.conjugate_gradient(lambda x: x @ matrix, rhs, num_iterations=30, tolerance=1e-28)  # noqa: E731
    expected = np.linalg.solve(matrix, b.T).T
    chex.assert_trees_all_close(solve(jnp.asarray(b)), expected, rtol=1e-8)
    chex.assert_trees_all_close(solve(jnp.asarray(b[0])), expected[0], rtol=1e-8)


def test_conjugate_gradient_after_k_iterations_is_best_in_the_krylov_space(x64):
    matrix, b = spd(0), np.random.default_rng(1).normal(size=12)
    x = ng.conjugate_gradient(lambda v: v @ matrix, jnp.asarray(b), num_iterations=4)
    krylov = np.stack([np.linalg.matrix_power(matrix, i) @ b for i in range(4)], axis=1)
    best = krylov @ np.linalg.solve(krylov.T @ matrix @ krylov, krylov.T @ b)
    chex.assert_trees_all_close(x, best, rtol=1e-6)


def test_conjugate_gradient_of_zero_singular_and_indefinite_systems_is_finite():
    zero = ng.conjugate_gradient(lambda x: x, jnp.zeros((2, 5)), num_iterations=10)
    assert not zero.any()
    singular = jnp.diag(jnp.array([1.0, 2.0, 0.0]))
    inside = ng.conjugate_gradient(lambda x: x @ singular, jnp.array([1.0, 1.0, 0.0]), num_iterations=10)
    chex.assert_trees_all_close(inside, jnp.array([1.0, 0.5, 0.0]), atol=1e-6)
    for matrix in (singular, -jnp.eye(3), jnp.zeros((3, 3))):
        x = ng.conjugate_gradient(lambda x, m=matrix: x @ m, jnp.ones(3), num_iterations=10)
        assert jnp.isfinite(x).all()


def test_kl_scaled_step_reaches_the_radius(x64):
    matrix, gradient = spd(0), np.random.default_rng(2).normal(size=12)
    direction = np.linalg.solve(matrix, gradient)
    step = ng.kl_scaled_step(jnp.asarray(direction), direction @ matrix @ direction, 0.05)
    chex.assert_trees_all_close(step, references.trpo_step(gradient, matrix, 0.05), rtol=1e-10)
    assert float(0.5 * step @ matrix @ step) == pytest.approx(0.05)
    assert not ng.kl_scaled_step(jnp.zeros(12), jnp.float32(0), 0.05).any()


def quadratic_search(step, curvature, **changes):
    """Objectives g.x - curvature/2 |x|^2 with unit gradients and KL |x|^2 / 2; one per candidate."""
    settings = {"max_kl": jnp.inf, "accept_ratio": 0.1, "num_steps": 10, **changes}

    def evaluate(x):
        gain = x[:, 0] - 0.5 * jnp.asarray(curvature) * jnp.sum(x**2, axis=-1)
        return gain, 0.5 * jnp.sum(x**2, axis=-1)

    return ng.line_search(evaluate, step, step[:, 0], **settings)


def test_line_search_halves_each_candidate_on_its_own():
    step = jnp.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    result = quadratic_search(step, [0.0, 2.0, 10.0])
    # gain at share s: s - c s^2 / 2 must reach 0.1 s, so s <= 1.8 / c
    chex.assert_trees_all_close(result.fraction, jnp.array([1.0, 0.5, 0.125]))
    chex.assert_trees_all_close(result.kl, 0.5 * result.fraction**2)


def test_line_search_keeps_within_the_kl():
    assert float(quadratic_search(jnp.array([[1.0, 0.0]]), [0.0], max_kl=0.1).fraction[0]) == 0.25


@pytest.mark.parametrize("curvature", [1e9, jnp.nan])
def test_line_search_without_an_acceptable_step_stays(curvature):
    result = quadratic_search(jnp.array([[1.0, 0.0], [1.0, 0.0]]), [curvature, 0.0])
    chex.assert_trees_all_equal(
        result, ng.LineSearch(jnp.array([0.0, 1.0]), jnp.array([0.0, 1.0]), jnp.array([0.0, 0.5]))
    )


def test_line_search_of_a_zero_step_stays():
    assert float(quadratic_search(jnp.zeros((1, 2)), [0.0]).fraction[0]) == 0.0
