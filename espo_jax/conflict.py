"""Conflict between gradients: their angle, and the projection that removes what conflicts.

Everything here works on the Gram matrix of the vectors to combine, G_ij = <v_i, v_j>, and returns coefficients on
those vectors. So the choice of vectors and inner product (the metric of the conflict) is made in one place.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from espo_jax.linalg import dot
from espo_jax.settings import choose


def gram(x: jax.Array, y: jax.Array | None = None) -> jax.Array:
    """Inner products of M vectors.

    Args:
      x: [M, P] vectors.
      y: [M, P] the same vectors mapped by the metric (F x for the Fisher inner product); None for the Euclidean.

    Returns:
      [M, M] symmetric.
    """
    products = dot(x[:, None], (x if y is None else y)[None, :])
    return (products + products.T) / 2


def cosines(gram_matrix: jax.Array) -> jax.Array:
    """Cosine of the angle between each pair, [M, M]; it is 0 (neither agreement nor conflict) for a zero vector."""
    norms = jnp.sqrt(jnp.maximum(jnp.diagonal(gram_matrix), 0.0))
    scale = norms[:, None] * norms[None, :]
    return jnp.where(scale > 0, jnp.clip(gram_matrix / jnp.where(scale > 0, scale, 1.0), -1.0, 1.0), 0.0)


def conflict_angle(gram_matrix: jax.Array, active: jax.Array) -> jax.Array:
    """Largest angle theta between two of the active vectors: [] radians, in [0, pi].

    Args:
      gram_matrix: [M, M].
      active: [M] bool.
    """
    pairs = active[:, None] & active[None, :] & ~jnp.eye(gram_matrix.shape[0], dtype=bool)
    return jnp.arccos(jnp.min(jnp.where(pairs, cosines(gram_matrix), 1.0)))


def in_conflict(gram_matrix: jax.Array, active: jax.Array) -> jax.Array:
    """Whether any two active vectors are more than 90 degrees apart: [] bool.

    Args:
      gram_matrix: [M, M].
      active: [M] bool.
    """
    return jnp.any((gram_matrix < 0) & active[:, None] & active[None, :])


def projection(gram_matrix: jax.Array, weight: jax.Array, active: jax.Array | None = None) -> jax.Array:
    """Coefficients of the weighted sum of vectors, each projected off those it conflicts with.

        sum_i x_i v_i',   v_i' = v_i - (v_i.v_j / v_j.v_j) v_j   for each j with v_i.v_j < 0

    For reward and one cost this gives ESPO's balance in closed form, y_r = x_r - x_c (g_c.g_r)/|g_r|^2 and
    y_c = x_c - x_r (g_r.g_c)/|g_c|^2 under conflict, and y = x without (the paper's equations 32 and 33 have the
    wrong sign and swap r and c here). The result then lowers neither objective to first order. With more than two
    vectors the projections follow one another, j = 0, 1, ..., and a later one may bring back some conflict with an
    earlier vector.

    Args:
      gram_matrix: [M, M].
      weight: [M] x_i >= 0, 0 where not active.
      active: [M] bool, the vectors that others are projected off, even if their weight is 0; None for all.

    Returns:
      [M] coefficients y on the vectors v.

    >>> g_r, g_c = jnp.array([1.0, 0.0]), jnp.array([-1.0, 1.0])
    >>> y = projection(gram(jnp.stack([g_r, g_c])), jnp.array([0.5, 0.5]))
    >>> step = y[0] * g_r + y[1] * g_c
    >>> bool(g_r @ step >= 0), bool(g_c @ step >= 0)
    (True, True)

    Reference: ESPO, arXiv:2405.20860, section 4.1; Yu et al. 2020, arXiv:2001.06782, algorithm 1.
    """
    num_vectors = gram_matrix.shape[0]
    active = jnp.ones(num_vectors, bool) if active is None else active
    coefficients = jnp.eye(num_vectors, dtype=gram_matrix.dtype)  # row i: v_i' in terms of the v_j
    for j in range(num_vectors):
        overlap = jnp.einsum("ik,k->i", coefficients, gram_matrix[:, j], precision=jax.lax.Precision.HIGHEST)
        conflicts = active & active[j] & (overlap < 0) & (jnp.arange(num_vectors) != j)
        # overlap < 0 implies that v_j is not 0, unless its square underflows.
        square = jnp.maximum(gram_matrix[j, j], jnp.finfo(gram_matrix.dtype).tiny)
        coefficients = coefficients.at[:, j].add(jnp.where(conflicts, -overlap / square, 0.0))
    return jnp.einsum("i,ij->j", weight, coefficients, precision=jax.lax.Precision.HIGHEST)


def min_norm(gram_matrix: jax.Array, active: jax.Array | None = None) -> jax.Array:
    """Coefficients of the shortest vector in the convex hull of the active vectors (MGDA).

        min_w |sum_i w_i v_i|^2   over w >= 0, sum w = 1

    No active objective is lowered: each vector has an inner product of at least the minimum's squared length with it.
    For two vectors one step of the search below is the closed form w_1 = clip(v_2.(v_2 - v_1) / |v_1 - v_2|^2, 0, 1).

    Args:
      gram_matrix: [M, M].
      active: [M] bool; None for all.

    Returns:
      [M] coefficients, 0 where not active.

    Reference: Desideri 2012, C. R. Acad. Sci. Paris 350; Sener & Koltun 2018, arXiv:1810.04650, algorithm 2.
    """

    def best_step(weight: jax.Array, direction: jax.Array, longest: jax.Array) -> jax.Array:
        image = _product(gram_matrix, direction)
        curvature, slope = dot(direction, image), dot(weight, image)
        return jnp.where(curvature > 0, jnp.clip(-slope / jnp.where(curvature > 0, curvature, 1.0), 0.0, longest), 0.0)

    return _minimize_on_simplex(lambda weight: _product(gram_matrix, weight), best_step, gram_matrix, active)


def cagrad(
    gram_matrix: jax.Array, weight: jax.Array, active: jax.Array | None = None, *, radius: jax.Array | float
) -> jax.Array:
    """Coefficients of the direction that is best for the worst-off vector, near the weighted sum g_0.

        max_d min_i <v_i, d>   subject to |d - g_0| <= c |g_0|,   g_0 = sum_i x_i v_i

    By duality d = g_0 + c |g_0| g_w / |g_w| with g_w = sum_i w_i v_i and w the minimum over the simplex of
    g_w.g_0 + c |g_0| |g_w|. Where g_w vanishes nothing is best for all, and d = g_0.

    Args:
      gram_matrix: [M, M].
      weight: [M] x_i >= 0.
      active: [M] bool; None for all.
      radius: c in [0, 1).

    Returns:
      [M] coefficients, 0 where neither active nor weighted.

    Reference: Liu et al. 2021, arXiv:2110.14048, section 3 (their rescaling of d is left out).
    """
    towards = _product(gram_matrix, weight)  # v_i.g_0
    reach = radius * _length(gram_matrix, weight)

    def value(simplex: jax.Array) -> jax.Array:
        return dot(simplex, towards) + reach * _length(gram_matrix, simplex)

    def slope(simplex: jax.Array) -> jax.Array:
        length = jnp.maximum(_length(gram_matrix, simplex), jnp.finfo(gram_matrix.dtype).tiny)
        return towards + reach * _product(gram_matrix, simplex) / length

    def best_step(simplex: jax.Array, direction: jax.Array, longest: jax.Array) -> jax.Array:
        def narrow(_: int, bracket: tuple) -> tuple:
            low, high = bracket
            third = (high - low) / 3
            left, right = low + third, high - third
            lower_left = value(simplex + left * direction) <= value(simplex + right * direction)
            return jnp.where(lower_left, low, left), jnp.where(lower_left, right, high)

        low, high = jax.lax.fori_loop(0, 50, narrow, (jnp.zeros_like(longest), longest))
        inner = (low + high) / 2
        # If the whole way is best, take it exactly, so that the vertex that is left has no weight at all.
        step = jnp.where(value(simplex + longest * direction) <= value(simplex + inner * direction), longest, inner)
        return jnp.where(value(simplex + step * direction) < value(simplex), step, 0.0)

    simplex = _minimize_on_simplex(slope, best_step, gram_matrix, active)
    length = _length(gram_matrix, simplex)
    significant = length > jnp.sqrt(jnp.finfo(gram_matrix.dtype).eps) * jnp.sqrt(jnp.max(jnp.diagonal(gram_matrix)))
    return weight + jnp.where(significant, reach / jnp.where(significant, length, 1.0), 0.0) * simplex


class Metric(NamedTuple):
    """The inner product in which objectives are compared, and the vectors that are combined.

    Preconditioning is linear, so metrics only differ in the Gram matrix and in what the coefficients multiply.

    Args:
      gram: (gradients g [M, P], natural directions F^-1 g [M, P], own TRPO steps [M, P]) -> inner products [M, M].
      of_steps: whether the coefficients multiply the objectives' own steps; else they multiply the gradients, whose
        combination is preconditioned after.
    """

    gram: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    of_steps: bool = False


# Metrics of the conflict (docs/paper.md, section 5):
#   natural    each objective's own line-searched TRPO step, in the Euclidean product
#   euclidean  the raw gradients, in the Euclidean product
#   fisher     the natural directions F^-1 g, in the Fisher product <F^-1 g_i, F^-1 g_j>_F = g_i^T F^-1 g_j
METRICS = {
    "natural": Metric(lambda gradient, direction, step: gram(step), of_steps=True),
    "euclidean": Metric(lambda gradient, direction, step: gram(gradient)),
    "fisher": Metric(lambda gradient, direction, step: gram(gradient, direction)),
}

# How the balance mode combines vectors: (Gram matrix [M, M], weight [M], active [M], cagrad's radius) -> [M].
RESOLUTIONS: dict[str, Callable[..., jax.Array]] = {
    "projection": lambda gram_matrix, weight, active, radius: projection(gram_matrix, weight, active),
    "weighted": lambda gram_matrix, weight, active, radius: weight,
    "min_norm": lambda gram_matrix, weight, active, radius: min_norm(gram_matrix, active),
    "cagrad": lambda gram_matrix, weight, active, radius: cagrad(gram_matrix, weight, active, radius=radius),
}


def resolve(
    resolution: str, gram_matrix: jax.Array, weight: jax.Array, active: jax.Array, *, cagrad_radius: jax.Array | float
) -> jax.Array:
    """Coefficients [M] on the vectors, by a resolution with a name of RESOLUTIONS.

    Raises:
      ValueError: the name is not known.
    """
    return choose("conflict_resolution", resolution, RESOLUTIONS)(gram_matrix, weight, active, cagrad_radius)


def _minimize_on_simplex(slope_fn, best_step_fn, gram_matrix: jax.Array, active: jax.Array | None) -> jax.Array:
    """Frank-Wolfe with pairwise steps: weight moves from the steepest vertex in use to the least steep one."""
    num_vectors = gram_matrix.shape[0]
    active = jnp.ones(num_vectors, bool) if active is None else active
    start = active / jnp.maximum(jnp.sum(active), 1).astype(gram_matrix.dtype)
    vertices = jnp.eye(num_vectors, dtype=gram_matrix.dtype)

    def move(_: int, weight: jax.Array) -> jax.Array:
        slope = slope_fn(weight)
        best = jnp.argmin(jnp.where(active, slope, jnp.inf))
        worst = jnp.argmax(jnp.where(active & (weight > 0), slope, -jnp.inf))
        direction = vertices[best] - vertices[worst]
        return jnp.maximum(weight + best_step_fn(weight, direction, weight[worst]) * direction, 0.0)

    # From the middle of an edge one exact step reaches its minimum.
    return jax.lax.fori_loop(0, 1 if num_vectors == 2 else 50 * num_vectors, move, start)


def _product(gram_matrix: jax.Array, weight: jax.Array) -> jax.Array:
    return jnp.einsum("ij,j->i", gram_matrix, weight, precision=jax.lax.Precision.HIGHEST)


def _length(gram_matrix: jax.Array, weight: jax.Array) -> jax.Array:
    """|sum_i w_i v_i|."""
    return jnp.sqrt(jnp.maximum(dot(weight, _product(gram_matrix, weight)), 0.0))
