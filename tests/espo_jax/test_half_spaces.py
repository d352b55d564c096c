import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from espo_jax import half_spaces

pytestmark = [pytest.mark.usefixtures("strict_ranks"), pytest.mark.usefixtures("x64")]


def problem(num, seed, size=7):
    rng = np.random.default_rng(seed)
    root = rng.normal(size=(size, size))
    metric = root @ root.T + 0.5 * np.eye(size)
    normal = rng.normal(size=(num, size)) * rng.uniform(0.1, 10.0, size=(num, 1))
    return rng.normal(size=size), normal, rng.normal(size=num), metric


def project(x, normal, offset, metric):
    direction = np.linalg.solve(metric, normal.T).T
    step, multiplier = jax.jit(half_spaces.project)(*map(jnp.asarray, (x, normal, offset, direction)))
    return np.asarray(step), np.asarray(multiplier)


@pytest.mark.parametrize("num", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("seed", range(5))
def test_nearest_feasible_point(num, seed):
    x, normal, offset, metric = problem(num, seed)
    y, multiplier = project(x, normal, offset, metric)
    assert (multiplier >= 0).all()
    assert (normal @ y + offset <= 1e-4 * np.linalg.norm(normal, axis=1)).all()
    # As non-negative least squares in coordinates in which the metric is Euclidean.
    columns = np.linalg.solve(np.linalg.cholesky(metric), normal.T)
    target = columns @ np.linalg.solve(columns.T @ columns, normal @ x + offset)
    np.testing.assert_allclose(multiplier, scipy.optimize.nnls(columns, target)[0], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("num", [1, 4, 6])
def test_points_inside_stay(num):
    x, normal, _, metric = problem(num, 0)
    y, multiplier = project(x, normal, -np.abs(normal @ x) - 1.0, metric)
    np.testing.assert_array_equal(y, x)
    assert not multiplier.any()


@pytest.mark.parametrize("copies", [2, 3, 4, 6])
def test_repeated_constraints_count_once(copies):
    x, normal, offset, metric = problem(1, 3)
    offset = 1.0 - normal @ x
    once, _ = project(x, normal, offset, metric)
    often, _ = project(x, np.repeat(normal, copies, axis=0), np.repeat(offset, copies), metric)
    np.testing.assert_allclose(often, once, rtol=1e-4, atol=1e-5)


def test_constraint_without_gradient_is_left_out():
    x, normal, _, metric = problem(2, 1)
    normal[1] = 0.0
    y, multiplier = project(x, normal, np.array([1.0 - normal[0] @ x, 5.0]), metric)
    assert np.isfinite(y).all()
    assert multiplier[0] > 0
    assert multiplier[1] == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("num", [2, 6])
def test_half_spaces_that_exclude_each_other_leave_the_farthest(num, dtype):
    x, normal, _, metric = problem(1, 2)
    normal = np.concatenate([normal, *[-normal] * (num - 1)])
    offset = np.array([9.0] + [5.0] * (num - 1))
    with jax.enable_x64(dtype == np.float64):
        y, multiplier = project(*(a.astype(dtype) for a in (0 * x, normal, offset, metric)))
        alone, _ = project(*(a.astype(dtype) for a in (0 * x, normal[:1], offset[:1], metric)))
    np.testing.assert_allclose(y, alone, rtol=1e-4, atol=1e-5)
    assert (multiplier > 0).sum() == 1
