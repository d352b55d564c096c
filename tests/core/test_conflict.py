import chex
import jax.numpy as jnp
import numpy as np
import pytest

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
