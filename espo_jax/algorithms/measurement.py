"""What an iteration reports: its metrics, and which quantities were nan or infinite."""

import jax
import jax.numpy as jnp

from espo_jax import conflict, policy
from espo_jax.algorithms.types import Metrics, Problem, TrainState, Update
from espo_jax.rollout import Rollout


def find_nonfinite(
    rollout: Rollout, target: jax.Array, learned: TrainState, critic_loss: jax.Array, update: Update
) -> jax.Array:
    """Which of NONFINITE_QUANTITIES are nan or infinite among the samples in use: [] int32 bits."""
    mask = rollout.mask[..., None]
    samples = (rollout.next_observation, rollout.action, rollout.reward[..., None], rollout.cost, target)
    outcome = jnp.concatenate([jnp.stack([update.kl, update.cg_residual]), update.gram.ravel(), update.multiplier])
    parameters = (learned.policy, learned.critics)
    size = jnp.where(learned.sample_size > 0, 0.0, jnp.nan)
    quantities = (*(jnp.where(mask, x, 0.0) for x in samples), *parameters, critic_loss, outcome, size)
    bits = [(~jnp.all(jnp.isfinite(q))).astype(jnp.int32) << i for i, q in enumerate(quantities)]
    return jnp.sum(jnp.stack(bits))


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
