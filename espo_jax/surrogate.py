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
      distribution: distribution of the new policy, [..., A].
      action: [..., A] actions taken.
      old_log_prob: [...] log density of the actions under the policy that took them.
      advantage: [..., M] advantages of M objectives, signed so that more is better (costs enter as -A_c).
      mask: [...] bool, False where a sample does not count.

    Returns:
      [M] sums.

    Reference: Schulman et al. 2015, arXiv:1502.05477, eq. 14; ESPO, section 4.1.
    """
    chex.assert_equal_shape([old_log_prob, mask, advantage[..., 0]])
    # The mask is applied before the exponential too: an overflow there would reach the gradient as 0 * inf.
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


def block_gradients(
    apply_fn: ApplyFn,
    params: jax.Array,
    observation: jax.Array,
    action: jax.Array,
    old_log_prob: jax.Array,
    advantage: jax.Array,
    mask: jax.Array,
    blocks: Blocks,
) -> tuple[jax.Array, jax.Array]:
    """Gradient of the mean surrogate of one objective in each block of samples, to estimate its variance.

    Args: as for `surrogate_gradients`, but
      advantage: [T, N], signed so that more is better.

    Returns:
      [B, P] gradients and [B] number of samples of each block; zeros for blocks that are not in use.
    """

    def block_gradient(block: tuple) -> tuple[jax.Array, jax.Array]:
        observation, action, log_prob, advantage, mask = block

        def total(p: jax.Array) -> jax.Array:
            return surrogate(apply_fn(p, observation), action, log_prob, advantage[..., None], mask)[0]

        return jax.grad(total)(params), jnp.sum(mask)

    gradients, count = blocks.sums(block_gradient, (observation, action, old_log_prob, advantage, mask))
    return gradients / jnp.maximum(count, 1)[:, None], count


def clipped_surrogate(
    distribution: policy.Gaussian,
    action: jax.Array,
    old_log_prob: jax.Array,
    advantage: jax.Array,
    mask: jax.Array,
    *,
    clip_ratio: jax.Array | float,
) -> jax.Array:
    """Summed clipped surrogate of one objective, PPO's pessimistic bound on the gain.

        sum_t mask_t min(rho_t A_t, clip(rho_t, 1 - epsilon, 1 + epsilon) A_t),   rho_t = pi(a_t|s_t) / pi_old(a_t|s_t)

    Args:
      distribution: distribution of the new policy, [..., A].
      action: [..., A] actions taken.
      old_log_prob: [...] log density of the actions under the policy that took them.
      advantage: [...] signed so that more is better.
      mask: [...] bool.
      clip_ratio: epsilon.

    Returns:
      [] sum.

    Reference: Schulman et al. 2017, arXiv:1707.06347, eq. 7.
    """
    chex.assert_equal_shape([old_log_prob, mask, advantage])
    ratio = jnp.exp(jnp.where(mask, policy.log_prob(distribution, action) - old_log_prob, 0.0))
    clipped = jnp.clip(ratio, 1 - clip_ratio, 1 + clip_ratio)
    return jnp.sum(jnp.where(mask, jnp.minimum(ratio * advantage, clipped * advantage), 0.0))
