"""The time limit of episodes, and the totals of their rewards and costs."""

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper

from safety_envs.base import strongly_typed, where_env


class EpisodeWrapper(Wrapper):
    """Ends episodes at a time limit, kept apart from termination, and totals reward and cost.

    A step after `done` starts a new episode; what its physics starts from is up to `AutoResetWrapper`.
    With action repeat, reward and cost are summed up to a termination, where the state stays.

    `info` gains

    - steps: [N] int, steps of the running episode, counted in steps of the wrapped environment.
    - truncation: [N] float, 1 where the time limit ended the episode and the environment did not.
    - episode_metrics: sum_reward [N], cost [N] or [N, K] and length [N], in steps of this wrapper, of the running
      episode, or of the finished one where `done` is 1.
    - whole_episode: [N] bool, whether the episode that these metrics total was seen from its beginning.
    """

    def __init__(self, env: Env, episode_length: int, action_repeat: int = 1):
        """Wraps a vectorised environment.

        Args:
          env: vectorised environment with `info["cost"]`.
          episode_length: time limit in steps of `env`, >= 1.
          action_repeat: steps of `env` per step, >= 1; divides episode_length.

        Raises:
          ValueError: a size is out of its range.
        """
        super().__init__(env)
        if episode_length < 1:
            raise ValueError(f"episode_length is {episode_length}; it must be at least 1")
        if action_repeat < 1 or episode_length % action_repeat:
            raise ValueError(f"action_repeat is {action_repeat}; it must divide episode_length {episode_length}")
        self.episode_length = episode_length
        self.action_repeat = action_repeat

    def reset(self, key: jax.Array) -> State:
        """Initial states of N environments; key: [N]."""
        state = _with_float_cost(strongly_typed(self.env.reset(key)))
        totals = {
            "sum_reward": jnp.zeros_like(state.reward),
            "cost": jnp.zeros_like(state.info["cost"]),
            "length": jnp.zeros_like(state.reward),
        }
        info = {
            **state.info,
            "steps": jnp.zeros(state.done.shape, jnp.int32),
            "truncation": jnp.zeros_like(state.done),
            "episode_metrics": totals,
            "whole_episode": jnp.ones(state.done.shape, bool),
        }
        metrics = {**state.metrics, "cost": jnp.zeros_like(state.info["cost"])}
        return state.replace(metrics=metrics, info=info)

    def step(self, state: State, action: jax.Array) -> State:
        """Steps N environments, `action_repeat` times each; action: [N, A]."""
        ended = state.done.astype(bool)
        steps = (self.age(state) + 1) * self.action_repeat
        previous = jax.tree.map(lambda x: where_env(ended, jnp.zeros_like(x), x), state.info["episode_metrics"])
        next_state, sums = self._repeat(state.replace(done=jnp.zeros_like(state.done)), action)
        totals = {**sums, "length": jnp.ones_like(state.reward)}

        terminated = next_state.done.astype(bool)
        at_limit = steps >= self.episode_length
        info = {
            **next_state.info,
            "cost": totals["cost"],
            "steps": steps,
            "truncation": (at_limit & ~terminated).astype(state.done.dtype),
            "episode_metrics": jax.tree.map(jnp.add, previous, totals),
            "whole_episode": ended | state.info["whole_episode"],
        }
        return next_state.replace(
            reward=totals["sum_reward"],
            done=(at_limit | terminated).astype(state.done.dtype),
            metrics={**next_state.metrics, "cost": totals["cost"]},
            info=info,
        )

    def age(self, state: State) -> jax.Array:
        """Steps of this wrapper that the episode has behind it before the next one: [N] int, 0 where one begins."""
        return jnp.where(state.done.astype(bool), 0, state.info["steps"]) // self.action_repeat

    def stagger(self, state: State) -> State:
        """Spreads the episodes' ages evenly, so that environments without termination do not end all at once.

        Environment i of N gets age i * episode_length // N, rounded down to a multiple of action_repeat. Its
        first episode ends that much earlier and is not whole (`info["whole_episode"]`) unless the age is 0.

        Args:
          state: the state just returned by `reset`.

        Returns:
          The same state with other `steps` and `whole_episode`.
        """
        num_envs = state.done.shape[-1]
        ages = [i * self.episode_length // num_envs for i in range(num_envs)]
        steps = jnp.asarray(ages, jnp.int32) // self.action_repeat * self.action_repeat
        steps = jnp.broadcast_to(steps, state.done.shape)
        return state.replace(info={**state.info, "steps": steps, "whole_episode": steps == 0})

    def _repeat(self, state: State, action: jax.Array) -> tuple[State, dict[str, jax.Array]]:
        """Steps until the repeat is over or the environment terminates; totals over the steps made."""

        def once(state, _):
            alive = ~state.done.astype(bool)
            next_state = _with_float_cost(strongly_typed(self.env.step(state, action)))
            totals = {"sum_reward": next_state.reward, "cost": next_state.info["cost"]}
            if self.action_repeat > 1:
                next_state = jax.tree.map(lambda new, old: where_env(alive, new, old), next_state, state)
                totals = jax.tree.map(lambda x: where_env(alive, x, jnp.zeros_like(x)), totals)
            return next_state, totals

        if self.action_repeat == 1:
            return once(state, None)
        state, totals = jax.lax.scan(once, state, length=self.action_repeat)
        return state, jax.tree.map(lambda x: jnp.sum(x, axis=0), totals)


def _with_float_cost(state: State) -> State:
    """Costs as floats: summing the indicators of a bool cost would be a logical or."""
    return state.replace(info={**state.info, "cost": state.info["cost"].astype(jnp.result_type(float))})
