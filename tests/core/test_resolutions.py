"""The other ways to combine what conflicts: each by its defining property."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from espo_jax import conflict
from espo_jax.linalg import combine

pytestmark = [pytest.mark.usefixtures("strict_ranks"), pytest.mark.usefixtures("x64")]


def vectors(num, seed, opposed=True):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num, 4)) * rng.uniform(0.2, 3.0, size=(num, 1))
    if opposed and num > 1:
        x[1] = -0.8 * x[0] + 0.7 * x[1]
    return x


def on_the_simplex(objective, num):
    """The minimum by SciPy, from several starts."""
    constraint = {"type": "eq", "fun": lambda w: w.sum() - 1}
    starts = [np.full(num, 1 / num), *(0.9 * np.eye(num) + 0.1 / num)]
    options = {"ftol": 1e-15, "maxiter": 500}
    found = (
        scipy.optimize.minimize(
            objective, w, bounds=[(0, 1)] * num, constraints=[constraint], method="SLSQP", options=options
        )
        for w in starts
    )
    return min(result.fun for result in found)


@pytest.mark.parametrize("num", [1, 2, 3, 5])
@pytest.mark.parametrize("seed", range(4))
def test_min_norm_is_the_shortest_of_the_convex_hull(num, seed):
    x = vectors(num, seed)
    weight = np.asarray(jax.jit(conflict.min_norm)(conflict.gram(jnp.asarray(x))))
    assert (weight >= 0).all()
    assert weight.sum() == pytest.approx(1.0)
    shortest = weight @ x
    assert shortest @ shortest == pytest.approx(on_the_simplex(lambda w: np.sum((w @ x) ** 2), num), rel=1e-5, abs=1e-9)
    assert (x @ shortest >= shortest @ shortest - 1e-4).all(), "it harms none"


@pytest.mark.parametrize("seed", range(6))
def test_min_norm_of_two_is_the_closed_form(seed):
    a, b = vectors(2, seed, opposed=seed % 2 == 0)
    first = np.clip(b @ (b - a) / np.sum((a - b) ** 2), 0, 1)
    weight = conflict.min_norm(conflict.gram(jnp.asarray(np.stack([a, b]))))
    np.testing.assert_allclose(weight, [first, 1 - first], atol=1e-12)


@pytest.mark.parametrize("radius", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("num", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_cagrad_is_in_its_ball_and_best_there_for_the_worst_off(radius, num, seed):
    x = vectors(num, seed)
    weight = np.random.default_rng(seed).dirichlet(np.ones(num))
    coefficients = conflict.cagrad(conflict.gram(jnp.asarray(x)), jnp.asarray(weight), radius=radius)
    direction, start = np.asarray(coefficients) @ x, weight @ x
    reach = radius * np.linalg.norm(start)
    assert np.linalg.norm(direction - start) <= reach * (1 + 1e-6) + 1e-12
    worst = (x @ direction).min()
    # max_d min_i <v_i, d> = min_w g_w.g_0 + c |g_0| |g_w|, and no point of the ball does better.
    best = on_the_simplex(lambda w: w @ x @ start + reach * np.linalg.norm(w @ x), num)
    assert worst == pytest.approx(best, rel=1e-3, abs=1e-4)
    rng = np.random.default_rng(1)
    for _ in range(300):
        other = rng.normal(size=4)
        other = start + reach * other / np.linalg.norm(other) * rng.random() ** 0.25
        assert (x @ other).min() <= worst + 1e-3


@pytest.mark.parametrize("name", ["projection", "min_norm"])
@pytest.mark.parametrize("seed", range(4))
def test_two_vectors_are_harmed_by_neither(name, seed):
    x = jnp.asarray(vectors(2, seed))
    gram = conflict.gram(x)
    both, half = jnp.ones(2, bool), jnp.full(2, 0.5)
    step = combine(conflict.resolve(name, gram, half, both, cagrad_radius=0.5), x)
    assert (x @ step >= -1e-9).all()


@pytest.mark.parametrize("name", ["projection", "weighted", "min_norm", "cagrad"])
def test_vectors_that_are_not_active_take_no_part(name):
    x = jnp.asarray(vectors(3, 5))
    active, weight = jnp.array([True, True, False]), jnp.array([0.5, 0.5, 0.0])
    three = conflict.resolve(name, conflict.gram(x), weight, active, cagrad_radius=0.5)
    two = conflict.resolve(name, conflict.gram(x[:2]), weight[:2], active[:2], cagrad_radius=0.5)
    np.testing.assert_allclose(three, [*two, 0.0], atol=1e-5)


def test_weighted_never_projects():
    gram = jnp.array([[1.0, -0.9], [-0.9, 1.0]])
    weight = jnp.array([0.3, 0.7])
    chex.assert_trees_all_equal(
        conflict.resolve("weighted", gram, weight, jnp.ones(2, bool), cagrad_radius=0.5), weight
    )


@pytest.mark.parametrize("name", ["projection", "weighted", "min_norm", "cagrad"])
@pytest.mark.parametrize(
    "x", [np.zeros((2, 3)), np.array([[1.0, 0, 0], [0, 0, 0]]), np.array([[1.0, 0, 0], [-1, 0, 0]])]
)
def test_degenerate_vectors_give_finite_steps(name, x):
    x = jnp.asarray(x)
    both, half = jnp.ones(2, bool), jnp.full(2, 0.5)
    with jax.debug_nans(True):
        step = combine(conflict.resolve(name, conflict.gram(x), half, both, cagrad_radius=0.5), x)
    assert jnp.linalg.norm(step) <= 1.0
