"""Conflict between gradients: their angle, and the projection that removes what conflicts.

Everything here works on the Gram matrix of the vectors to combine, G_ij = <v_i, v_j>, and returns coefficients on
those vectors. So the choice of vectors and inner product (the metric of the conflict) is made in one place.
"""

import jax
import jax.numpy as jnp

from espo_jax.linalg import dot


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
    """Cosine of the angle between each pair, [M, M]; 0 (neither agreeing nor conflicting) with a zero vector."""
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
    wrong sign and swap r and c here). The result then harms neither to first order. With more than two vectors the
    projections follow one another, j = 0, 1, ..., and a later one may bring back some conflict with an earlier vector.

    Args:
      gram_matrix: [M, M].
      weight: [M] x_i >= 0, 0 where not active.
      active: [M] bool, the vectors that take part, if only as what others are projected off; None for all.

    Returns:
      [M] coefficients y on the vectors v.

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
