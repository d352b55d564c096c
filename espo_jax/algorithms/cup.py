"""CUP: a clipped improvement of the reward, then a projection that lowers the cost near the improved policy.

`multiplier_max` caps the multiplier. By default it is infinite; in the presets it is 2, as in Omnisafe.

Reference: Yang et al. 2022, arXiv:2209.07089, algorithm 1 and its GAE version in section 4.
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
from espo_jax.surrogate import clipped_surrogate, surrogate


def update(problem: Problem, state: FirstOrderState) -> Update:
    """The improvement, then the projection; the projection is left out if all multipliers are 0."""
    multiplier, nu = update_multiplier(problem, state.multiplier)
    improve_key, project_key = jax.random.split(problem.key)
    scaled = nu * projection_coefficient(problem)

    improved, optimizer_state, passes = descend(
        problem,
        lambda new, samples: improvement_loss(new, samples, problem.hyperparams.clip_ratio),
        problem.params,
        state.optimizer_state,
        improve_key,
        problem.batch.distribution,
    )
    half = problem.batch.blocks.map(lambda o: problem.networks.policy(improved, o), problem.batch.observation)
    params, optimizer_state, _ = descend(
        problem,
        lambda new, samples: projection_loss(new, samples, scaled),
        improved,
        optimizer_state,
        project_key,
        half,
        needed=jnp.any(nu > 0),
    )
    weight = jnp.concatenate([jnp.ones(1), scaled])
    return first_order_update(problem, params, passes, weight, nu, FirstOrderState(optimizer_state, multiplier))


def improvement_loss(new: policy.Gaussian, samples: Batch, clip_ratio: jax.Array | float) -> jax.Array:
    """(i) Minus the clipped surrogate of the reward, summed."""
    return -clipped_surrogate(
        new, samples.action, samples.log_prob, samples.advantage[..., 0], samples.mask, clip_ratio=clip_ratio
    )


def projection_loss(new: policy.Gaussian, samples: Batch, scaled_multiplier: jax.Array) -> jax.Array:
    """(ii) KL(pi, pi_half) + sum_k nu_k (1 - gamma lambda) / (1 - gamma) ratio A_c,k, summed.

    Args:
      new: pi, the new policy.
      samples: the samples, with pi_half as `distribution`.
      scaled_multiplier: [K] nu (1 - gamma lambda) / (1 - gamma).
    """
    kl = jnp.sum(jnp.where(samples.mask, policy.kl_divergence(new, samples.distribution), 0.0))
    gain = surrogate(new, samples.action, samples.log_prob, samples.advantage, samples.mask)
    return kl - jnp.sum(scaled_multiplier * gain[1:])  # the gain is that of minus the cost


def projection_coefficient(problem: Problem) -> jax.Array:
    """(1 - gamma lambda) / (1 - gamma) of the cost; the horizon 1 / (1 - gamma) is at most the length of an episode."""
    hp = problem.hyperparams
    horizon = 1 / jnp.maximum(1 - hp.cost_discount, 1 / problem.episode.length)
    return (1 - hp.cost_discount * hp.cost_gae_lambda) * horizon


RULE = UpdateRule("cup", update, init_first_order, first_order=True, unused=(*OF_NATURAL_STEPS, *OF_BALANCE, *OF_CRPO))
