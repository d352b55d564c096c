"""PPO-Lagrangian: the clipped surrogate of the reward minus weighted costs; the weights ascend with the violation.

Reference: Ray, Achiam & Amodei 2019, "Benchmarking safe exploration in deep reinforcement learning".
"""

import jax
import jax.numpy as jnp

from espo_jax import policy
from espo_jax.algorithms.first_order import (
    FirstOrderState,
    descend,
    first_order_update,
    init_first_order,
    update_multiplier,
)
from espo_jax.algorithms.types import OF_BALANCE, OF_CRPO, OF_NATURAL_STEPS, Batch, Problem, Update, UpdateRule
from espo_jax.surrogate import clipped_surrogate


def update(problem: Problem, state: FirstOrderState) -> Update:
    """Minibatch ascent on the clipped surrogate of (A_r - sum_k nu_k A_c,k) / (1 + sum_k nu_k)."""
    multiplier, nu = update_multiplier(problem, state.multiplier)
    weight = mixture(nu)

    params, optimizer_state, passes = descend(
        problem,
        lambda new, samples: lagrangian_loss(new, samples, weight, problem.hyperparams.clip_ratio),
        problem.params,
        state.optimizer_state,
        problem.key,
        problem.batch.distribution,
    )
    return first_order_update(problem, params, passes, weight, nu, FirstOrderState(optimizer_state, multiplier))


def lagrangian_loss(
    new: policy.Gaussian, samples: Batch, weight: jax.Array, clip_ratio: jax.Array | float
) -> jax.Array:
    """Minus the clipped surrogate of the weighted advantages, summed; weight [1 + K] is that of `mixture`."""
    advantage = jnp.sum(weight * samples.advantage, axis=-1)
    return -clipped_surrogate(new, samples.action, samples.log_prob, advantage, samples.mask, clip_ratio=clip_ratio)


def mixture(multiplier: jax.Array) -> jax.Array:
    """(1, nu_1, ..., nu_K) / (1 + sum_k nu_k): weights [1 + K] of the reward and of each cost's decrease."""
    return jnp.concatenate([jnp.ones(1), multiplier]) / (1 + jnp.sum(multiplier))


RULE = UpdateRule(
    "ppo_lagrangian", update, init_first_order, first_order=True, unused=(*OF_NATURAL_STEPS, *OF_BALANCE, *OF_CRPO)
)
