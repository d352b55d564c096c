"""Evaluation: whole fresh episodes under a policy, apart from the training rollouts."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import safety_envs

MOST_EPISODES = 100_000  # of one evaluation; they run side by side
# How a policy acts: as it was trained, or by its mean.
STOCHASTIC, DETERMINISTIC = POLICIES = ("stochastic", "deterministic")


class Episodes(NamedTuple):
    """Totals of E whole episodes.

    Args:
      reward: [E] undiscounted sum of the rewards.
      cost: [E, K] undiscounted sums of the costs.
      length: [E] number of control steps.
    """

    reward: jax.Array
    cost: jax.Array
    length: jax.Array


class Evaluation(NamedTuple):
    """Means and standard deviations over episodes.

    Args:
      reward, reward_std: undiscounted sum of an episode.
      cost, cost_std: [K] undiscounted sums of an episode.
      length, length_std: control steps.
    """

    reward: jax.Array
    reward_std: jax.Array
    cost: jax.Array
    cost_std: jax.Array
    length: jax.Array
    length_std: jax.Array


def evaluator(*args: Any, **kwargs: Any) -> Callable[..., Evaluation]:
    """Like `episode_runner`, but the function returns means and standard deviations, an Evaluation."""
    run = episode_runner(*args, **kwargs)

    def evaluate(params: Any, key: jax.Array, deterministic: jax.Array | bool = True) -> Evaluation:
        reward, cost, length = run(params, key, deterministic)
        return Evaluation(
            reward=jnp.mean(reward),
            reward_std=jnp.std(reward),
            cost=jnp.mean(cost, axis=0),
            cost_std=jnp.std(cost, axis=0),
            length=jnp.mean(length),
            length_std=jnp.std(length),
        )

    return evaluate


def episode_runner(
    env: Any,
    make_inference_fn: Callable[..., Callable],
    *,
    num_episodes: int,
    episode_length: int | None = None,
    action_repeat: int = 1,
) -> Callable[..., Episodes]:
    """Build a function that runs episodes of a policy; compile it with jit.

    Args:
      env: one instance, not vectorised, that reports info["cost"]; it need not be the one that was trained on.
      make_inference_fn: (params, deterministic) -> policy(obs, key) -> (action, extras).
      num_episodes: number of episodes, which run side by side; each begins with a reset and ends at its first end.
      episode_length: time limit in control steps; None stands for the environment's own.
      action_repeat: number of control steps for which an action is held.

    Returns:
      (params, key, deterministic=True) -> Episodes; deterministic, which may be traced, says whether actions are the
      policy's mean instead of samples, so that both share one compiled program.

    Raises:
      ValueError: num_episodes is not positive, or a length is out of its range.
    """
    if not 1 <= num_episodes <= MOST_EPISODES:
        raise ValueError(f"num_episodes is {num_episodes}: it must lie in [1, {MOST_EPISODES}]")
    length = env.episode_length if episode_length is None else episode_length
    episodes = safety_envs.EpisodeWrapper(safety_envs.vectorize(env), length, action_repeat)

    def run(params: Any, key: jax.Array, deterministic: jax.Array | bool = True) -> Episodes:
        mean, sample = make_inference_fn(params, True), make_inference_fn(params, False)
        reset_key, action_key = jax.random.split(key)
        state = episodes.reset(jax.random.split(reset_key, num_episodes))

        def unfinished(carry: tuple) -> jax.Array:
            return ~jnp.all(carry[1])

        def step(carry: tuple) -> tuple:
            state, finished, totals, key = carry
            key, policy_key = jax.random.split(key)
            action = jnp.where(deterministic, mean(state.obs, policy_key)[0], sample(state.obs, policy_key)[0])
            state = episodes.step(state, action)
            done = state.done.astype(bool)
            # An episode that is over is stepped on with the others, but no longer read.
            totals = jax.tree.map(
                lambda new, old: jnp.where(_like(done & ~finished, new), new, old),
                state.info["episode_metrics"],
                totals,
            )
            return state, finished | done, totals, key

        carry = (state, jnp.zeros(num_episodes, bool), state.info["episode_metrics"], action_key)
        totals = jax.lax.while_loop(unfinished, step, carry)[2]
        cost = totals["cost"].reshape(num_episodes, -1)
        return Episodes(totals["sum_reward"], cost, totals["length"])

    return run


def _like(mask: jax.Array, x: jax.Array) -> jax.Array:
    """The mask [N] with as many axes as x."""
    return mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim))
