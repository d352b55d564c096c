"""Conflict between objectives, and the ways to combine what conflicts: each by its defining property."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from espo_jax import conflict
from espo_jax.linalg import combine
from tests import references

pytestmark = pytest.mark.usefixtures("strict_ranks")

BOTH = jnp.array([True, True])


def pair(angle_degrees, norm_r=2.0, norm_c=0.5):
    """Two vectors of 5 numbers at a given angle."""
    angle = np.radians(angle_degrees)
    basis, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 2)))
    return norm_r * basis[:, 0], norm_c * (np.cos(angle) * basis[:, 0] + np.sin(angle) * basis[:, 1])


def combined(g_r, g_c, weight, active=None):
    vectors = jnp.asarray(np.stack([g_r, g_c]))
    active = jnp.ones(2, bool) if active is None else jnp.asarray(active)
    coefficients = conflict.projection(conflict.gram(vectors), jnp.asarray(weight, vectors.dtype), active)
    return coefficients, combine(coefficients, vectors)


@pytest.mark.parametrize("angle", [0.0, 30.0, 89.0, 91.0, 120.0, 180.0])
def test_angle_is_that_of_the_vectors(x64, angle):
    gram = conflict.gram(jnp.asarray(np.stack(pair(angle))))
    assert float(jnp.degrees(conflict.conflict_angle(gram, BOTH))) == pytest.approx(angle, abs=1e-5)
    assert bool(conflict.in_conflict(gram, BOTH)) == (angle > 90)
    assert not bool(conflict.in_conflict(gram, jnp.array([True, False])))


def test_angle_with_a_zero_vector_is_a_right_angle():
    gram = conflict.gram(jnp.array([[1.0, 2.0], [0.0, 0.0]]))
    assert float(jnp.degrees(conflict.conflict_angle(gram, BOTH))) == pytest.approx(90)
    assert not bool(conflict.in_conflict(gram, BOTH))
    chex.assert_trees_all_equal(conflict.projection(gram, jnp.array([0.5, 0.5]), BOTH), jnp.array([0.5, 0.5]))


@pytest.mark.parametrize("angle", [10.0, 90.0, 91.0, 135.0, 179.0])
@pytest.mark.parametrize("x_r", [0.5, 0.2, 0.9, 0.0, 1.0])
def test_projection_equals_the_paper(x64, angle, x_r):
    g_r, g_c = pair(angle)
    coefficients, ours = combined(g_r, g_c, [x_r, 1 - x_r])
    expected, _ = references.espo_direction("balance", g_r, g_c, x_r)
    chex.assert_trees_all_close(ours, expected, atol=1e-12)
    if angle > 90:  # the closed form of docs/paper.md, section 4
        dot = g_r @ g_c
        closed = jnp.array([x_r - (1 - x_r) * dot / (g_r @ g_r), (1 - x_r) - x_r * dot / (g_c @ g_c)])
        chex.assert_trees_all_close(coefficients, closed, rtol=1e-10)
        assert (coefficients >= jnp.array([x_r, 1 - x_r])).all()


@pytest.mark.parametrize("angle", [0.0, 60.0, 90.0, 100.0, 150.0, 179.9])
def test_projection_harms_neither_to_first_order(x64, angle):
    g_r, g_c = pair(angle)
    _, direction = combined(g_r, g_c, [0.5, 0.5])
    assert g_r @ direction >= -1e-12
    assert g_c @ direction >= -1e-12


def test_an_inactive_vector_takes_no_part():
    g_r, g_c = pair(150.0)
    chex.assert_trees_all_equal(combined(g_r, g_c, [1.0, 0.0], [True, False])[0], jnp.array([1.0, 0.0]))
    chex.assert_trees_all_equal(combined(g_r, g_c, [0.0, 1.0], [False, True])[0], jnp.array([0.0, 1.0]))


def test_fisher_gram_is_the_fisher_inner_product(x64):
    rng = np.random.default_rng(0)
    a = rng.normal(size=(4, 4))
    fisher = a @ a.T + np.eye(4)
    gradients = rng.normal(size=(3, 4))
    directions = np.linalg.solve(fisher, gradients.T).T
    gram = conflict.gram(jnp.asarray(gradients), jnp.asarray(directions))
    chex.assert_trees_all_close(gram, directions @ fisher @ directions.T, rtol=1e-10)


def test_projection_in_the_fisher_product_harms_neither_objective(x64):
    """g_i^T step >= 0 for both: natural steps that do not hurt each other to first order."""
    rng = np.random.default_rng(3)
    a = rng.normal(size=(6, 6))
    fisher = a @ a.T + 0.1 * np.eye(6)
    g_r = rng.normal(size=6)
    g_c = -g_r + 0.3 * rng.normal(size=6)
    gradients = np.stack([g_r, g_c])
    directions = jnp.asarray(np.linalg.solve(fisher, gradients.T).T)
    coefficients = conflict.projection(conflict.gram(jnp.asarray(gradients), directions), jnp.array([0.5, 0.5]), BOTH)
    step = combine(coefficients, directions)
    assert (gradients @ step >= -1e-10).all()


def test_duplicated_constraint_changes_nothing(x64):
    g_r, g_c = pair(130.0)
    one = combined(g_r, g_c, [0.5, 0.5])[1]
    vectors = jnp.asarray(np.stack([g_r, g_c, g_c]))
    coefficients = conflict.projection(conflict.gram(vectors), jnp.array([0.5, 0.25, 0.25]), jnp.ones(3, bool))
    chex.assert_trees_all_close(combine(coefficients, vectors), one, rtol=1e-10)


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
def test_min_norm_is_the_shortest_of_the_convex_hull(x64, num, seed):
    x = vectors(num, seed)
    weight = np.asarray(jax.jit(conflict.min_norm)(conflict.gram(jnp.asarray(x))))
    assert (weight >= 0).all()
    assert weight.sum() == pytest.approx(1.0)
    shortest = weight @ x
    assert shortest @ shortest == pytest.approx(on_the_simplex(lambda w: np.sum((w @ x) ** 2), num), rel=1e-5, abs=1e-9)
    assert (x @ shortest >= shortest @ shortest - 1e-4).all(), "it harms none"


@pytest.mark.parametrize("seed", range(6))
def test_min_norm_of_two_is_the_closed_form(x64, seed):
    a, b = vectors(2, seed, opposed=seed % 2 == 0)
    first = np.clip(b @ (b - a) / np.sum((a - b) ** 2), 0, 1)
    weight = conflict.min_norm(conflict.gram(jnp.asarray(np.stack([a, b]))))
    np.testing.assert_allclose(weight, [first, 1 - first], atol=1e-12)


@pytest.mark.parametrize("radius", [0.0, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("num", [2, 3, 4])
@pytest.mark.parametrize("seed", range(3))
def test_cagrad_is_in_its_ball_and_best_there_for_the_worst_off(x64, radius, num, seed):
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
def test_two_vectors_are_harmed_by_neither(x64, name, seed):
    x = jnp.asarray(vectors(2, seed))
    gram = conflict.gram(x)
    both, half = jnp.ones(2, bool), jnp.full(2, 0.5)
    step = combine(conflict.resolve(name, gram, half, both, cagrad_radius=0.5), x)
    assert (x @ step >= -1e-9).all()


@pytest.mark.parametrize("name", ["projection", "weighted", "min_norm", "cagrad"])
def test_vectors_that_are_not_active_take_no_part(x64, name):
    x = jnp.asarray(vectors(3, 5))
    active, weight = jnp.array([True, True, False]), jnp.array([0.5, 0.5, 0.0])
    three = conflict.resolve(name, conflict.gram(x), weight, active, cagrad_radius=0.5)
    two = conflict.resolve(name, conflict.gram(x[:2]), weight[:2], active[:2], cagrad_radius=0.5)
    np.testing.assert_allclose(three, [*two, 0.0], atol=1e-5)


def test_weighted_never_projects(x64):
    gram = jnp.array([[1.0, -0.9], [-0.9, 1.0]])
    weight = jnp.array([0.3, 0.7])
    chex.assert_trees_all_equal(
        conflict.resolve("weighted", gram, weight, jnp.ones(2, bool), cagrad_radius=0.5), weight
    )


@pytest.mark.parametrize("name", ["projection", "weighted", "min_norm", "cagrad"])
@pytest.mark.parametrize(
    "x", [np.zeros((2, 3)), np.array([[1.0, 0, 0], [0, 0, 0]]), np.array([[1.0, 0, 0], [-1, 0, 0]])]
)
def test_degenerate_vectors_give_finite_steps(x64, name, x):
    x = jnp.asarray(x)
    both, half = jnp.ones(2, bool), jnp.full(2, 0.5)
    with jax.debug_nans(True):
        step = combine(conflict.resolve(name, conflict.gram(x), half, both, cagrad_radius=0.5), x)
    assert jnp.linalg.norm(step) <= 1.0
