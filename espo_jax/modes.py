"""The three modes of ESPO (raise reward, lower cost, balance both) and the schedules of their slacks."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

# Mode of an iteration as recorded in the metrics; names in MODE_NAMES.
REWARD, COST, ALIGNED, CONFLICT = range(4)
MODE_NAMES = ("reward", "cost", "aligned", "conflict")


class ModeChoice(NamedTuple):
    """Which objectives an iteration follows.

    Args:
      balance: [] bool, the cost is in the band.
      active: [1 + K] bool, the objectives that are followed: the reward, then each constraint.
      weight: [1 + K] weights of the objectives; they sum to 1, and are 0 for objectives that are not active.
    """

    balance: jax.Array
    active: jax.Array
    weight: jax.Array


def choose_mode(
    episode_cost: jax.Array,
    cost_limit: jax.Array,
    slack_positive: jax.Array,
    slack_negative: jax.Array,
    reward_weight: jax.Array | float,
    warmup: jax.Array | bool = False,
) -> ModeChoice:
    """Choose one of the three modes: compare the cost of an episode with its limit and slack.

        cost only    if V_c > b + h+ for some constraint: the one most violated relative to its limit
        balance      else if V_c >= b + h- for some: x_r on the reward, the rest shared by those constraints
        reward only  else, and always during the warm-up

    Args:
      episode_cost: [K] V_c, undiscounted cost of an episode.
      cost_limit: [K] b.
      slack_positive: [K] h+ in [0, inf].
      slack_negative: [K] h- in [-inf, 0].
      reward_weight: x_r in [0, 1].
      warmup: [] bool, whether the warm-up still runs.

    Returns:
      ModeChoice.

    >>> limit, slack = jnp.array([25.0]), jnp.array([9.0])
    >>> for cost in (10.0, 20.0, 40.0):
    ...     print(choose_mode(jnp.array([cost]), limit, slack, -slack, reward_weight=0.5).weight)
    [1. 0.]
    [0.5 0.5]
    [0. 1.]

    Reference: ESPO, arXiv:2405.20860, section 4.1 (Algorithm 1 swaps its references to the two balance rules).
    """
    episode_cost = jnp.asarray(episode_cost)
    chex.assert_rank(episode_cost, 1)
    num_constraints = episode_cost.shape[0]
    above = episode_cost > cost_limit + slack_positive
    in_band = episode_cost >= cost_limit + slack_negative
    cost_only = jnp.any(above) & ~jnp.asarray(warmup)
    balance = jnp.any(in_band) & ~cost_only & ~jnp.asarray(warmup)

    # A limit of 0 makes every violation infinitely large relative to it; the floor keeps their order.
    violation = (episode_cost - cost_limit) / jnp.maximum(cost_limit, 1e-6)
    worst = jnp.arange(num_constraints) == jnp.argmax(jnp.where(above, violation, -jnp.inf))
    share = jnp.where(in_band, (1 - reward_weight) / jnp.maximum(jnp.sum(in_band), 1), 0.0)
    cost_weight = jnp.where(cost_only, worst.astype(share.dtype), jnp.where(balance, share, 0.0))
    weight = jnp.where(cost_only, 0.0, jnp.where(balance, reward_weight, 1.0))
    active = jnp.concatenate([~cost_only[None], jnp.where(cost_only, worst, balance & in_band)])
    weights = jnp.concatenate([weight[None], cost_weight]).astype(episode_cost.dtype)
    return ModeChoice(balance, active, weights)


def only(objective: int | jax.Array, num_constraints: int) -> ModeChoice:
    """The choice that follows one objective: 0 is the reward, k is the k-th constraint."""
    active = jnp.arange(1 + num_constraints) == objective
    return ModeChoice(jnp.array(False), active, active.astype(jnp.result_type(float)))


def mode_of(active: jax.Array, conflicting: jax.Array) -> jax.Array:
    """Mode of an iteration that follows the active objectives [1 + K]: [] int32, see MODE_NAMES.

    Args:
      active: [1 + K] bool, the objectives that are followed.
      conflicting: [] bool, whether two of them conflict.
    """
    balanced = jnp.where(conflicting, CONFLICT, ALIGNED)
    mode = jnp.where(active[0], jnp.where(jnp.any(active[1:]), balanced, REWARD), COST)
    return mode.astype(jnp.int32)


def anneal(
    value: jax.Array | float, iteration: jax.Array | int, num_iterations: jax.Array | float, enabled: jax.Array | bool
) -> jax.Array:
    """A slack or zeta at an iteration: x <- x - x/T once per iteration, if enabled; infinite values stay.

    Args:
      value: initial h or zeta, any shape.
      iteration: [] iterations finished before this one (0 at the first, which anneals too).
      num_iterations: T.
      enabled: [] bool (or 0/1), whether the quantity is annealed.

    Returns:
      like value: value (1 - 1/T)^(iteration + 1).

    Reference: ESPO, arXiv:2405.20860, Algorithm 1, line 1.
    """
    value = jnp.asarray(value, jnp.result_type(float) if isinstance(value, float | int) else None)
    factor = (1 - 1 / jnp.asarray(num_iterations, value.dtype)) ** (iteration + 1)
    annealed = jnp.where(jnp.isinf(value), value, jnp.where(jnp.isinf(value), 0.0, value) * factor)
    return jnp.where(jnp.asarray(enabled, bool), annealed, value)
