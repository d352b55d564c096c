"""ESPO: three modes by the cost, conflict resolved by projection, sample size by conflict.

Reference: Gu et al. 2024, arXiv:2405.20860, Algorithm 1.
"""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp

from espo_jax import conflict, modes, natural_gradient, policy, surrogate
from espo_jax.algorithms import core
from espo_jax.algorithms.types import Algorithm, Batch, Update
from espo_jax.blocks import Blocks
from espo_jax.config import Config, Hyperparams
from espo_jax.linalg import combine, dot
from espo_jax.networks import Networks
from espo_jax.rollout import EpisodeEstimate

if TYPE_CHECKING:
    from espo_jax.training.loop import TrainResult


def make(env: Any, config: Config | None = None) -> Algorithm:
    """ESPO on an environment: Algorithm(init, step).

    Args:
      env: environment with Brax's reset and step, reporting info["cost"] (`safety_envs.make`, or any through
        `safety_envs.SafetyWrapper`).
      config: static settings.

    Raises:
      ValueError: if the environment reports no cost.
    """
    return core.make(env, config or Config(), update)


def train(environment: Any, **options: Any) -> "TrainResult":
    """Train ESPO on an environment, in the manner of Brax's train functions.

    Args:
      environment: as for `make`, with an episode_length and a cost_limit of its own unless options give them.
      **options: num_timesteps or num_iterations, seed, progress_fn, ..., and any field of Config and Hyperparams;
        `training.loop.train` has them all. `presets.preset("paper", task)` holds the paper's for a task.

    Returns:
      make_inference_fn, params = (normalizer, policy, critics), and the last metrics.

    Raises:
      ValueError: a setting or the environment is not usable; before any compilation.
      NonFiniteError: nan or infinity; its state holds the last good parameters.
    """
    from espo_jax.training import loop  # training is built on the algorithms: imported only to run

    return loop.train(make, environment, **options)


def update(
    networks: Networks,
    params: jax.Array,
    batch: Batch,
    episode: EpisodeEstimate,
    iteration: jax.Array,
    config: Config,
    hyperparams: Hyperparams,
) -> Update:
    """One policy update: mode, natural directions, combination, step (Algorithm 1, lines 2 to 12).

    The metric of the conflict decides which vectors are compared and combined (PAPER.md section 5):
      natural    each objective's own line-searched TRPO step, in the Euclidean product
      euclidean  the raw gradients; their combination is preconditioned after
      fisher     the natural directions F^-1 g, in the Fisher product <F^-1 g_i, F^-1 g_j>_F = g_i^T F^-1 g_j
    Preconditioning is linear, so all three only differ in the Gram matrix and in what the coefficients multiply.
    """
    hp = hyperparams
    slack_positive = modes.anneal(hp.slack_positive, iteration, hp.num_iterations, hp.anneal_slack_positive)
    slack_negative = modes.anneal(hp.slack_negative, iteration, hp.num_iterations, hp.anneal_slack_negative)
    choice = modes.choose_mode(
        episode.cost,
        hp.cost_limit,
        slack_positive,
        slack_negative,
        hp.reward_weight,
        iteration < hp.warmup_iterations,
    )

    gradient = surrogate.surrogate_gradients(
        networks.policy, params, batch.observation, batch.action, batch.log_prob, batch.advantage, batch.mask,
        batch.blocks,
    )  # fmt: skip
    fisher = natural_gradient.fisher_product(
        networks.policy, params, *every_nth_step(batch, config.fisher_stride), damping=hp.cg_damping
    )
    direction = natural_gradient.conjugate_gradient(fisher, gradient, num_iterations=config.cg_iterations)
    image = fisher(direction)
    residual = jnp.linalg.norm(gradient - image, axis=-1) / jnp.maximum(jnp.linalg.norm(gradient, axis=-1), 1e-30)

    def trust_region(direction: jax.Array, image: jax.Array, weight: jax.Array) -> tuple:
        """KL-scaled, line-searched steps [C, P] along directions; candidate c improves weight[c] of the objectives."""
        step = natural_gradient.kl_scaled_step(direction, dot(direction, image), hp.target_kl)
        search = natural_gradient.line_search(
            lambda change: improvement_and_kl(networks, params, change, weight, batch),
            step,
            dot(combine(weight, gradient), step),
            max_kl=hp.kl_margin * hp.target_kl,
            accept_ratio=hp.accept_ratio,
            num_steps=config.line_search_steps,
        )
        accepted = search.fraction[:, None]
        return jnp.where(accepted > 0, accepted * step, 0.0), search

    if config.conflict_metric == "natural":
        vectors, search = trust_region(direction, image, jnp.eye(gradient.shape[0]))
        gram = conflict.gram(vectors)
        step = combine(conflict.projection(gram, choice.weight, choice.active), vectors)
        _, kl = improvement_and_kl(networks, params, step[None], choice.weight[None], batch)
        fraction = jnp.min(jnp.where(choice.active, search.fraction, 1.0))
    else:
        gram = conflict.gram(gradient) if config.conflict_metric == "euclidean" else conflict.gram(gradient, direction)
        coefficients = conflict.projection(gram, choice.weight, choice.active)[None]
        steps, search = trust_region(combine(coefficients, direction), combine(coefficients, image), coefficients)
        step, kl, fraction = steps[0], search.kl, search.fraction[0]

    conflicting = choice.balance & conflict.in_conflict(gram, choice.active)
    compared = choice.active | ~choice.balance  # outside of the band the angle is only reported
    return Update(
        step=step,
        mode=jnp.where(conflicting, modes.CONFLICT, choice.mode).astype(jnp.int32),
        conflict_angle=conflict.conflict_angle(gram, compared),
        kl=kl[0],
        step_fraction=fraction,
        cg_residual=jnp.max(residual),
        slack_positive=slack_positive,
        slack_negative=slack_negative,
    )


def every_nth_step(batch: Batch, stride: int) -> tuple[jax.Array, jax.Array, Blocks]:
    """Observations [T', N, O] and mask [T', N] of every stride-th time step, with the blocks they fill."""
    size = batch.blocks.size
    rows = -(-batch.mask.shape[0] // stride)
    padding = -rows % size

    def thin(x: jax.Array) -> jax.Array:
        return jnp.pad(x[::stride], ((0, padding), *[(0, 0)] * (x.ndim - 1)))

    mask = thin(batch.mask)
    return thin(batch.observation), mask, Blocks.covering(jnp.sum(mask[:, 0]), size)


def improvement_and_kl(
    networks: Networks, params: jax.Array, change: jax.Array, weight: jax.Array, batch: Batch
) -> tuple[jax.Array, jax.Array]:
    """Gain of weighted surrogates over the old policy, and mean KL from it, of C candidates.

    Args:
      networks: the policy.
      params: [P] old parameters.
      change: [C, P] candidates' changes.
      weight: [C, M] of the objectives, for each candidate.
      batch: samples.

    Returns:
      improvement [C], KL [C] in nats.
    """

    def block_fn(block: tuple) -> tuple[jax.Array, jax.Array]:
        observation, old, action, log_prob, advantage, mask = block

        def one(change: jax.Array) -> tuple[jax.Array, jax.Array]:
            new = networks.policy(params + change, observation)
            kl = jnp.sum(jnp.where(mask, policy.kl_divergence(old, new), 0.0))
            return surrogate.surrogate(new, action, log_prob, advantage, mask), kl

        return jax.vmap(one)(change)

    data = (batch.observation, batch.distribution, batch.action, batch.log_prob, batch.advantage, batch.mask)
    total, kl = batch.blocks.sum(block_fn, data)
    count = jnp.maximum(jnp.sum(batch.mask), 1)
    before = jnp.sum(jnp.where(batch.mask[..., None], batch.advantage, 0.0), axis=(0, 1))
    return jnp.sum(weight * (total - before), axis=-1) / count, kl / count
