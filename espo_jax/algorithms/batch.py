"""What update rules get of a rollout: the Batch, with distributions and advantages, and the Problem that it poses."""

from typing import Any

import jax
import jax.numpy as jnp

from espo_jax import modes, normalize
from espo_jax.algorithms.types import Batch, Problem, TrainState
from espo_jax.blocks import Blocks
from espo_jax.config import Config
from espo_jax.episode_estimate import EpisodeEstimate
from espo_jax.gae import ADVANTAGE_SCALINGS, TIME_LIMITS, gae, next_values, standardize
from espo_jax.hyperparams import Hyperparams
from espo_jax.networks import Networks
from espo_jax.rollout import Rollout


def whiten(config: Config, normalizer: Any, observation: jax.Array) -> jax.Array:
    """Observations [..., O] as the networks see them."""
    if not config.normalize_observations:
        return observation
    return normalize.normalize(normalizer, observation, config.observation_clip)


@jax.named_scope("prepare_batch")
def prepare_batch(
    networks: Networks, config: Config, state: TrainState, rollout: Rollout, hyperparams: Hyperparams
) -> tuple[Batch, jax.Array]:
    """Evaluate policy and critics on a rollout and estimate its advantages.

    Args:
      networks: networks with the whitening of the rollout.
      config: static settings.
      state: the policy and critics of the rollout.
      rollout: samples.
      hyperparams: hyperparameters.

    Returns:
      The Batch, and the targets of the critics [T, N, 1 + K].
    """
    hp, num_constraints = hyperparams, networks.num_constraints
    terminated, truncated = TIME_LIMITS[config.time_limit](rollout.terminated, rollout.truncated)
    blocks = Blocks.covering(rollout.num_steps, config.steps_per_block)
    values = jax.vmap(networks.critic, in_axes=(0, None), out_axes=-1)

    def evaluate(observation: jax.Array) -> tuple:
        return networks.policy(state.policy, observation), values(state.critics, observation)

    distribution, value = blocks.map(evaluate, rollout.observation)
    next_value = jax.vmap(next_values, in_axes=(-1, -1, None, None), out_axes=-1)(
        value, values(state.critics, rollout.final_observation), rollout.truncated, rollout.mask
    )

    def advantages(signal: jax.Array, value: jax.Array, next_value: jax.Array, discount: jax.Array, lam: jax.Array):
        def one_env(*args: jax.Array) -> jax.Array:
            return gae(*args, discount=discount, gae_lambda=lam)

        columns = (signal, value, next_value, terminated, truncated, rollout.mask)
        return jax.vmap(one_env, in_axes=1, out_axes=1)(*columns)

    signals = jnp.concatenate([rollout.reward[..., None], rollout.cost], axis=-1)
    per_signal = lambda reward, cost: jnp.concatenate([reward[None], jnp.full(num_constraints, cost)])  # noqa: E731
    advantage = jax.vmap(advantages, in_axes=(-1, -1, -1, 0, 0), out_axes=-1)(
        signals, value, next_value,
        per_signal(hp.discount, hp.cost_discount), per_signal(hp.gae_lambda, hp.cost_gae_lambda),
    )  # fmt: skip
    target = advantage + value
    advantage, scale = _scaled(config, advantage, rollout.mask)
    more_is_better = jnp.array([1.0] + [-1.0] * num_constraints)
    batch = Batch(
        observation=rollout.observation,
        action=rollout.action,
        log_prob=rollout.log_prob,
        distribution=distribution,
        advantage=more_is_better * advantage,
        advantage_scale=scale,
        mask=rollout.mask,
        blocks=blocks,
    )
    return batch, target


def _scaled(config: Config, advantage: jax.Array, mask: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Advantages [T, N, 1 + K] of the reward and the costs, scaled as the config says, and their scales [1 + K]."""
    if not config.standardize_advantages:
        return advantage, jnp.ones(advantage.shape[-1])
    reward, reward_scale = standardize(advantage[..., 0], mask)
    scale_costs = jax.vmap(ADVANTAGE_SCALINGS[config.cost_advantages], in_axes=(-1, None), out_axes=(-1, 0))
    costs, cost_scale = scale_costs(advantage[..., 1:], mask)
    scaled = jnp.concatenate([reward[..., None], costs], axis=-1)
    return scaled, jnp.concatenate([reward_scale[None], cost_scale])


def pose(
    networks: Networks,
    config: Config,
    state: TrainState,
    batch: Batch,
    episode: EpisodeEstimate,
    key: jax.Array,
    hyperparams: Hyperparams,
) -> Problem:
    """Build the input of the update rule: the batch, and the mode by V_c (Algorithm 1, lines 1 and 2)."""
    hp, iteration = hyperparams, state.iteration
    slack_positive = modes.anneal(hp.slack_positive, iteration, hp.num_iterations, hp.anneal_slack_positive)
    slack_negative = modes.anneal(hp.slack_negative, iteration, hp.num_iterations, hp.anneal_slack_negative)
    warmup = iteration < hp.warmup_iterations
    return Problem(
        networks=networks,
        params=state.policy,
        batch=batch,
        episode=episode,
        iteration=iteration,
        warmup=warmup,
        slack_positive=slack_positive,
        slack_negative=slack_negative,
        choice=modes.choose_mode(episode.cost, hp.cost_limit, slack_positive, slack_negative, hp.reward_weight, warmup),
        key=key,
        config=config,
        hyperparams=hp,
    )
