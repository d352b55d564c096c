"""Importance-weighted objectives and their gradients g_r, g_c."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from espo_jax import policy
from espo_jax.blocks import Blocks

ApplyFn = Callable[[Any, jax.Array], policy.Gaussian]


def surrogate(
    distribution: policy.Gaussian,
    action: jax.Array,
    old_log_prob: jax.Array,
    advantage: jax.Array,
    mask: jax.Array,
) -> jax.Array:
    """Summed importance-weighted advantages of every objective.

        L_i = sum_t mask_t pi(a_t|s_t) / pi_old(a_t|s_t) A_i,t

    Divided by the number of samples it estimates how much objective i gains over the old policy (to first order).

    Args:
      distribution: of the new policy, [..., A].
      action: [..., A] actions taken.
      old_log_prob: [...] their log density under the policy that took them.
      advantage: [..., M] of M objectives, signed so that more is better (costs enter as -A_c).
      mask: [...] bool, False where a sample does not count.

    Returns:
      [M] sums.

    Reference: Schulman et al. 2015, arXiv:1502.05477, eq. 14; ESPO, section 4.1.
    """
    chex.assert_equal_shape([old_log_prob, mask, advantage[..., 0]])
    # Masked before the exponential too: an overflow there would reach the gradient as 0 * inf.
    ratio = jnp.exp(jnp.where(mask, policy.log_prob(distribution, action) - old_log_prob, 0.0))
    weighted = jnp.where(mask[..., None], ratio[..., None] * advantage, 0.0)
    return jnp.sum(weighted, axis=tuple(range(weighted.ndim - 1)))


def surrogate_gradients(
    apply_fn: ApplyFn,
    params: jax.Array,
    observation: jax.Array,
    action: jax.Array,
    old_log_prob: jax.Array,
    advantage: jax.Array,
    mask: jax.Array,
    blocks: Blocks,
) -> jax.Array:
    """Gradients of the mean surrogate of every objective: g_r first, then g_c = -grad V_c of each constraint.

    Args:
      apply_fn: (flat params [P], observation) to the policy's Gaussian.
      params: [P] flat parameters.
      observation: [T, N, O].
      action: [T, N, A].
      old_log_prob: [T, N].
      advantage: [T, N, M], signed so that more is better.
      mask: [T, N] bool.
      blocks: the part of [T] in use.

    Returns:
      [M, P] gradients.
    """

    def block_gradients(block: tuple) -> jax.Array:
        observation, *rest = block
        _, pullback = jax.vjp(lambda p: surrogate(apply_fn(p, observation), *rest), params)
        return jax.vmap(lambda cotangent: pullback(cotangent)[0])(jnp.eye(advantage.shape[-1], dtype=params.dtype))

    total = blocks.sum(block_gradients, (observation, action, old_log_prob, advantage, mask))
    return total / jnp.maximum(jnp.sum(mask), 1)
