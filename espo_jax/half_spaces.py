"""Projection onto an intersection of half-spaces in the metric of a matrix H, by its small dual problem."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np

from espo_jax.linalg import combine, dot

_LARGEST_EXACT = 4
_TOLERANCE = 1e-2  # share of the largest violation that may be left


def project(x: jax.Array, normal: jax.Array, offset: jax.Array, direction: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The nearest point to x, in the norm of H, at which every normal_k.y + offset_k <= 0.

        y = x - sum_k lambda_k H^-1 a_k,   lambda >= 0 minimal of 1/2 l^T S l - l^T (A x + c),   S = A H^-1 A^T

    For one constraint this is PCPO's max(0, (a.x + c) / (a^T H^-1 a)) H^-1 a.

    Args:
      x: [P] point to project.
      normal: [K, P] a_k; a constraint whose a_k is 0 is left out.
      offset: [K] c_k, value of each constraint at the origin.
      direction: [K, P] H^-1 a_k, in which a constraint is corrected.

    Returns:
      y [P], lambda [K].

    Reference: Yang et al. 2020, arXiv:2010.03152, theorem 3.1.
    """
    gram = dot(normal[:, None], direction[None, :])
    multiplier = dual((gram + gram.T) / 2, dot(normal, x) + offset)
    return x - combine(multiplier, direction), multiplier


def dual(gram: jax.Array, violation: jax.Array) -> jax.Array:
    """The minimum over l >= 0 of 1/2 l^T S l - l^T v: [K].

    For up to four constraints every set of active ones is tried, which is exact. For more, it is coordinate descent
    (Hildreth). If half-spaces exclude each other there is no minimum, and only the farthest one is kept to.

    Args:
      gram: [K, K] S, positive semi-definite.
      violation: [K] v.
    """
    num_constraints = violation.shape[0]
    diagonal = jnp.diagonal(gram)
    usable = diagonal > jnp.finfo(gram.dtype).tiny
    scale = jnp.where(usable, jnp.sqrt(jnp.where(usable, diagonal, 1.0)), 1.0)
    # Unit diagonal; the ridge keeps constraints that (nearly) repeat each other solvable.
    unit = gram / (scale[:, None] * scale[None, :])
    gram = unit + 1e-6 * jnp.eye(num_constraints, dtype=gram.dtype)
    violation = jnp.where(usable, violation / scale, -1.0)
    if num_constraints <= _LARGEST_EXACT:
        solution = _by_active_sets(gram, violation)
    else:
        solution = _by_coordinates(gram, violation)
    farthest = jnp.arange(num_constraints) == jnp.argmax(violation)
    left = violation - jnp.einsum("ij,j->i", unit, solution, precision=jax.lax.Precision.HIGHEST)
    exclusive = jnp.max(left) > _TOLERANCE * jnp.maximum(jnp.max(violation), 0.0)
    solution = jnp.where(exclusive, jnp.where(farthest, jnp.maximum(violation, 0.0), 0.0), solution)
    return jnp.where(usable, solution / scale, 0.0)


def _by_active_sets(gram: jax.Array, violation: jax.Array) -> jax.Array:
    """The best of the stationary points with l >= 0 of every subset of the constraints: one of them is the minimum."""
    num_constraints = violation.shape[0]
    subsets = np.array(list(itertools.product([False, True], repeat=num_constraints)))

    def solve(member: jax.Array) -> tuple[jax.Array, jax.Array]:
        both = member[:, None] & member[None, :]
        system = jnp.where(both, gram, jnp.eye(num_constraints, dtype=gram.dtype))
        point = jnp.linalg.solve(system, jnp.where(member, violation, 0.0))
        image = jnp.einsum("ij,j->i", gram, point, precision=jax.lax.Precision.HIGHEST)
        value = 0.5 * dot(point, image) - dot(point, violation)
        allowed = jnp.all(point >= 0) & jnp.isfinite(value)
        return point, jnp.where(allowed, value, jnp.inf)

    points, values = jax.vmap(solve)(jnp.asarray(subsets))
    return points[jnp.argmin(values)]


def _by_coordinates(gram: jax.Array, violation: jax.Array) -> jax.Array:
    num_constraints = violation.shape[0]

    def one(index: jax.Array, point: jax.Array) -> jax.Array:
        k = index % num_constraints
        left = violation[k] - dot(gram[k], point)
        return point.at[k].set(jnp.maximum(point[k] + left / gram[k, k], 0.0))

    return jax.lax.fori_loop(0, 200 * num_constraints, one, jnp.zeros_like(violation))
