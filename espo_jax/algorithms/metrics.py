"""The metrics of an iteration, and which quantities were nan or infinite."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from espo_jax import conflict, policy
from espo_jax.algorithms.types import Problem, TrainState, Update
from espo_jax.rollout import Rollout

# Bits of Metrics.nonfinite, and the quantity each one names.
NONFINITE_QUANTITIES = (
    "observation",
    "action",
    "reward",
    "cost",
    "advantage",
    "policy parameters",
    "critic parameters",
    "critic loss",
    "policy update",
    "sample size",
)


class Metrics(NamedTuple):
    """Measurements of one iteration; scalars unless noted.

    Args:
      iteration: number of the iteration; 1 is the first.
      env_steps: number of samples so far, this iteration's included, in 64 bits (see `fetch`).
      sample_size: number of samples of this iteration.
      mode: place of the mode in modes.MODE_NAMES.
      conflict_angle: largest angle between two of the objectives, in degrees.
      episode_reward: V_r, undiscounted reward of an episode under the current policy.
      episode_cost: [K] V_c, undiscounted costs of an episode under the current policy.
      episode_length: length of an episode in agent steps.
      episodes_finished: number of whole episodes that ended within this iteration.
      cost_limit: [K] b.
      slack_positive, slack_negative: [K] h+ and h-, as annealed.
      kl: mean KL divergence of the new policy from the old one, in nats.
      entropy: mean entropy of the old policy, in nats.
      step_fraction: share of the step that the line search accepted; 0 if no share was acceptable.
      failed_line_searches: number of compared objectives whose own natural step found no acceptable share. If
        the metric of the conflict is "natural", the conflict is then that of the metric "fisher".
      cg_residual: largest relative residual of the conjugate gradients.
      multiplier: [K] nu, the Lagrange multipliers; 0 for algorithms without them.
      critic_loss: [1 + K] mean squared errors plus L2.
      mode_counts: [4] number of iterations so far in each mode.
      nonfinite: bits of the NONFINITE_QUANTITIES that are not finite. If it is not 0, nothing was learned.
      negative_costs: number of costs below 0 that the environment reported; a cost is what a limit bounds from above.
    """

    iteration: jax.Array
    env_steps: Any
    sample_size: jax.Array
    mode: jax.Array
    conflict_angle: jax.Array
    episode_reward: jax.Array
    episode_cost: jax.Array
    episode_length: jax.Array
    episodes_finished: jax.Array
    cost_limit: jax.Array
    slack_positive: jax.Array
    slack_negative: jax.Array
    kl: jax.Array
    entropy: jax.Array
    step_fraction: jax.Array
    failed_line_searches: jax.Array
    cg_residual: jax.Array
    multiplier: jax.Array
    critic_loss: jax.Array
    mode_counts: jax.Array
    nonfinite: jax.Array
    negative_costs: jax.Array


def fetch(metrics: Metrics) -> Metrics:
    """Metrics as NumPy arrays on the host, env_steps as int64."""
    return jax.device_get(metrics._replace(env_steps=()))._replace(
        env_steps=metrics.env_steps.to_numpy().astype(np.int64)
    )


def find_nonfinite(
    rollout: Rollout, target: jax.Array, learned: TrainState, critic_loss: jax.Array, update: Update
) -> jax.Array:
    """Which of NONFINITE_QUANTITIES are nan or infinite among the samples in use: [] int32 bits."""
    mask = rollout.mask[..., None]
    outcome = jnp.concatenate([jnp.stack([update.kl, update.cg_residual]), update.gram.ravel(), update.multiplier])
    quantities = {
        "observation": jnp.where(rollout.mask & ~rollout.finite, jnp.nan, 0.0),
        "action": jnp.where(mask, rollout.action, 0.0),
        "reward": jnp.where(mask, rollout.reward[..., None], 0.0),
        "cost": jnp.where(mask, rollout.cost, 0.0),
        "advantage": jnp.where(mask, target, 0.0),
        "policy parameters": learned.policy,
        "critic parameters": learned.critics,
        "critic loss": critic_loss,
        "policy update": outcome,
        "sample size": jnp.where(learned.sample_size > 0, 0.0, jnp.nan),
    }
    bad = [~jnp.all(jnp.isfinite(quantities[name])) for name in NONFINITE_QUANTITIES]
    return jnp.sum(jnp.stack([b.astype(jnp.int32) << i for i, b in enumerate(bad)]))


def measure(
    next_state: TrainState,
    problem: Problem,
    update: Update,
    mode: jax.Array,
    rollout: Rollout,
    critic_loss: jax.Array,
    nonfinite: jax.Array,
) -> Metrics:
    """Metrics of the iteration that led to next_state."""
    batch, choice = problem.batch, problem.choice
    samples = jnp.sum(batch.mask)
    compared = choice.active | ~choice.balance  # outside of the band the angle is only reported
    return Metrics(
        iteration=next_state.iteration,
        env_steps=next_state.env_steps,
        sample_size=samples.astype(jnp.int32),
        mode=mode,
        conflict_angle=jnp.degrees(conflict.conflict_angle(update.gram, compared)),
        episode_reward=next_state.episode.reward,
        episode_cost=next_state.episode.cost,
        episode_length=next_state.episode.length,
        episodes_finished=rollout.episodes_finished,
        cost_limit=problem.hyperparams.cost_limit,
        slack_positive=problem.slack_positive,
        slack_negative=problem.slack_negative,
        kl=update.kl,
        entropy=jnp.sum(jnp.where(batch.mask, policy.entropy(batch.distribution), 0.0)) / samples,
        step_fraction=update.step_fraction,
        failed_line_searches=jnp.asarray(update.failed_line_searches, jnp.int32),
        cg_residual=update.cg_residual,
        multiplier=update.multiplier,
        critic_loss=critic_loss,
        mode_counts=next_state.mode_counts,
        nonfinite=nonfinite,
        negative_costs=jnp.sum(rollout.cost < 0),
    )
