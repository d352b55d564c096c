"""Products of parameter vectors, always in full float32: TF32 or bfloat16 would ruin conjugate gradients."""

import jax
import jax.numpy as jnp


def dot(x: jax.Array, y: jax.Array) -> jax.Array:
    """Inner products over the last axis, [..., P] x [..., P] -> [...], without reduced precision."""
    return jnp.einsum("...p,...p->...", x, y, precision=jax.lax.Precision.HIGHEST)


def combine(weight: jax.Array, vectors: jax.Array) -> jax.Array:
    """Weighted sums of M vectors [M, P] with weights [..., M]: [..., P], without reduced precision."""
    return jnp.einsum("...m,mp->...p", weight, vectors, precision=jax.lax.Precision.HIGHEST)
