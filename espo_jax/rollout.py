"""The masked fixed-capacity rollout: one buffer, one compile, any number of steps up to its capacity."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from espo_jax.blocks import lanes_max, select_running


class Rollout(NamedTuple):
    """Transitions of N environments in a buffer of T time steps, of which the first are in use.

    Args:
      observation: [T, N, O] acted on.
      action: [T, N, A] raw, before any clamping.
      log_prob: [T, N] of the action under the policy that took it.
      reward: [T, N].
      cost: [T, N, K].
      next_observation: [T, N, O] that the step led to, before any reset.
      terminated: [T, N] bool, the task ended.
      truncated: [T, N] bool, the time limit cut the episode.
      mask: [T, N] bool, True for the leading time steps in use; elsewhere all fields are 0.
    """

    observation: jax.Array
    action: jax.Array
    log_prob: jax.Array
    reward: jax.Array
    cost: jax.Array
    next_observation: jax.Array
    terminated: jax.Array
    truncated: jax.Array
    mask: jax.Array

    @property
    def num_steps(self) -> jax.Array:
        """[] int32 time steps in use."""
        return jnp.sum(self.mask[:, 0])


class EpisodeTotals(NamedTuple):
    """Sums over the episodes that finished within a rollout (started at a reset, not staggered in).

    Args:
      episodes: [] float32, how many.
      reward: [] summed undiscounted rewards.
      cost: [K] summed undiscounted costs.
      length: [] summed lengths in control steps.
    """

    episodes: jax.Array
    reward: jax.Array
    cost: jax.Array
    length: jax.Array


Policy = Callable[[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]


def collect(
    env: Any, policy: Policy, env_state: Any, key: jax.Array, num_steps: jax.Array, capacity: int
) -> tuple[Any, Rollout, EpisodeTotals]:
    """Step N environments num_steps times into a buffer of `capacity` time steps.

    Stepping costs in proportion to num_steps (under vmap: to the largest num_steps among the lanes); shapes do not
    depend on it.

    Args:
      env: vectorised, automatically resetting environment as from `safety_envs.wrap`: info has "cost",
        "truncation", "final_observation", "episode_metrics" and "whole_episode", and `hold` undoes a step.
      policy: (observation [N, O], key) -> (action [N, A], log_prob [N]).
      env_state: its state.
      key: for the actions.
      num_steps: [] int32 in [0, capacity].
      capacity: T.

    Returns:
      the environments' state after num_steps, the Rollout, and the EpisodeTotals of episodes finished in it.
    """

    def step(state: Any, time: jax.Array) -> tuple[Any, Rollout]:
        action, log_prob = policy(state.obs, jax.random.fold_in(key, time))
        next_state = env.step(state, action)
        truncated = next_state.info["truncation"] > 0
        transition = Rollout(
            observation=state.obs,
            action=action,
            log_prob=log_prob,
            reward=next_state.reward,
            cost=_per_constraint(next_state.info["cost"], next_state.reward),
            next_observation=next_state.info["final_observation"],
            terminated=(next_state.done > 0) & ~truncated,
            truncated=truncated,
            mask=jnp.ones_like(truncated),
        )
        return next_state, transition

    def body(carry: tuple) -> tuple:
        time, state, buffer, totals = carry
        next_state, transition = step(state, time)
        # Lanes that need fewer steps than the longest one stand still and write zeros.
        running = time < num_steps
        transition = jax.tree.map(lambda x: jnp.where(running, x, jnp.zeros_like(x)), transition)
        buffer = jax.tree.map(lambda b, x: jax.lax.dynamic_update_index_in_dim(b, x, time, 0), buffer, transition)
        next_totals = jax.tree.map(jnp.add, totals, _finished(next_state))
        state, totals = select_running(running, (next_state, next_totals), (env.hold(state, next_state), totals))
        return time + 1, state, buffer, totals

    shapes = jax.eval_shape(step, env_state, jnp.int32(0))[1]
    buffer = jax.tree.map(lambda s: jnp.zeros((capacity, *s.shape), s.dtype), shapes)
    totals = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), jax.eval_shape(_finished, env_state))
    last = lanes_max(num_steps)
    _, env_state, buffer, totals = jax.lax.while_loop(
        lambda carry: carry[0] < last, body, (jnp.int32(0), env_state, buffer, totals)
    )
    return env_state, buffer, totals


def _per_constraint(cost: jax.Array, reward: jax.Array) -> jax.Array:
    """Costs as [N, K] whether the task reports a scalar or a vector."""
    return cost.reshape(*reward.shape, -1)


def _finished(env_state: Any) -> EpisodeTotals:
    """Totals of the episodes that ended with the last step."""
    episode = env_state.info["episode_metrics"]
    ended = (env_state.done > 0) & env_state.info["whole_episode"]
    cost = _per_constraint(episode["cost"], env_state.reward)
    return EpisodeTotals(
        episodes=jnp.sum(ended).astype(jnp.float32),
        reward=jnp.sum(jnp.where(ended, episode["sum_reward"], 0.0)),
        cost=jnp.sum(jnp.where(ended[:, None], cost, 0.0), axis=0),
        length=jnp.sum(jnp.where(ended, episode["length"], 0.0)).astype(jnp.float32),
    )


class EpisodeEstimate(NamedTuple):
    """Current estimates per episode: reward [] (V_r), cost [K] (V_c), length [] in control steps."""

    reward: jax.Array
    cost: jax.Array
    length: jax.Array


def estimate_episodes(rollout: Rollout, totals: EpisodeTotals, previous: EpisodeEstimate) -> EpisodeEstimate:
    """V_r, V_c and episode length: means over the episodes finished in the rollout.

    Where none finished, reward and cost per step in the rollout times the last known episode length (at first the
    time limit). This follows the current policy, unlike the last finished episodes, and is unbiased for tasks that
    never terminate as long as the environments are spread evenly over their episodes.

    Args:
      rollout: the samples.
      totals: of the episodes finished in it.
      previous: the estimate of the iteration before.

    Returns:
      EpisodeEstimate.
    """
    any_finished = totals.episodes > 0
    episodes = jnp.maximum(totals.episodes, 1.0)
    samples = jnp.maximum(jnp.sum(rollout.mask), 1)
    reward = jnp.sum(jnp.where(rollout.mask, rollout.reward, 0.0)) / samples
    cost = jnp.sum(jnp.where(rollout.mask[..., None], rollout.cost, 0.0), axis=(0, 1)) / samples
    return EpisodeEstimate(
        reward=jnp.where(any_finished, totals.reward / episodes, reward * previous.length),
        cost=jnp.where(any_finished, totals.cost / episodes, cost * previous.length),
        length=jnp.where(any_finished, totals.length / episodes, previous.length),
    )
