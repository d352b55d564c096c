"""How many samples next: the rules that set the sample size of the following iteration."""

import jax
import jax.numpy as jnp


def fixed(base: jax.Array | int) -> jax.Array:
    """Always the base size X: [] float32 samples."""
    return jnp.asarray(base, jnp.float32)


def gradient_conflict(
    base: jax.Array | int,
    conflict: jax.Array,
    zeta_positive: jax.Array | float,
    zeta_negative: jax.Array | float,
) -> jax.Array:
    """X(1 + zeta+) after a conflict in the band, X(1 + zeta-) in every other case; never compounding.

    Args:
      base: X, samples.
      conflict: [] bool, the iteration balanced reward and cost whose gradients conflict.
      zeta_positive: zeta+ >= 0.
      zeta_negative: zeta- in (-1, 0].

    Returns:
      [] float32 samples of the next iteration, before rounding to whole time steps.

    Reference: ESPO, arXiv:2405.20860, section 4.2.
    """
    return jnp.asarray(base, jnp.float32) * (1 + jnp.where(conflict, zeta_positive, zeta_negative))


def whole_steps(sample_size: jax.Array, num_envs: int, max_steps: int) -> jax.Array:
    """Time steps of num_envs environments nearest to a sample size, between 1 and the capacity: [] int32."""
    return jnp.clip(jnp.round(sample_size / num_envs), 1, max_steps).astype(jnp.int32)
