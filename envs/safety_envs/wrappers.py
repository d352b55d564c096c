"""Costs, vectorising, time limits and automatic resets for any Brax environment.

`wrap` composes them: cost -> vectorise -> time limit -> automatic reset. No wrapper mutates its input.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from brax import base
from brax.envs.base import Env, State, Wrapper
from brax.envs.wrappers.training import DomainRandomizationVmapWrapper, VmapWrapper

from safety_envs.auto_reset import AutoResetWrapper
from safety_envs.base import strongly_typed, where_env

CostFn = Callable[[State, jax.Array, State], jax.Array]
RandomizationFn = Callable[[base.System], tuple[base.System, base.System]]


def wrap(
    env: Env,
    *,
    episode_length: int | None = None,
    action_repeat: int = 1,
    randomization_fn: RandomizationFn | None = None,
    pool_size: int = 4,
) -> Env:
    """An environment ready for training: vectorised, with a time limit and automatic resets.

        state = wrapped.reset(keys)            # keys: [N]
        state = wrapped.step(state, action)    # action: [N, A]

    Args:
      env: a Brax environment, not vectorised, whose states carry `info["cost"]`, a scalar or [K].
      episode_length: time limit in steps of `env`; None: `env.episode_length`.
      action_repeat: steps of `env` per step, >= 1; divides episode_length.
      randomization_fn: Brax's domain randomisation: system -> (batched system, in_axes).
      pool_size: resets drawn ahead for each environment, >= 1.

    Returns:
      An `AutoResetWrapper` around an `EpisodeWrapper`; the two list what they put into `info`.

    Raises:
      ValueError: the environment reports no cost (found by tracing, before any compile), or a size is out of
        its range.
    """
    _check_cost(env)
    if episode_length is None:
        episode_length = getattr(env, "episode_length", None)
    if episode_length is None:
        raise ValueError("the environment has no episode_length of its own; pass episode_length")
    env = EpisodeWrapper(vectorize(env, randomization_fn), episode_length, action_repeat)
    return AutoResetWrapper(env, pool_size)


def vectorize(env: Env, randomization_fn: RandomizationFn | None = None) -> Env:
    """Maps `reset` and `step` over a leading axis N of keys, states and actions.

    Args:
      env: a Brax environment, not vectorised.
      randomization_fn: Brax's domain randomisation: system -> (batched system, in_axes).

    Returns:
      The vectorised environment.
    """
    return VmapWrapper(env) if randomization_fn is None else _RandomizedVmapWrapper(env, randomization_fn)


class SafetyWrapper(Wrapper):
    """Makes any Brax environment report a cost, in `info["cost"]` and `metrics["cost"]`."""

    def __init__(self, env: Env, cost_fn: CostFn, *, cost_limit: Any = None, episode_length: int | None = None):
        """Wraps an environment that is not vectorised.

        Args:
          env: the environment.
          cost_fn: (state before the step, raw action [A], next state) -> cost >= 0, a scalar or [K].
          cost_limit: limit on an episode's summed cost; None: the environment's own, if any.
          episode_length: time limit in steps; None: the environment's own, if any.
        """
        super().__init__(env)
        self._cost_fn = cost_fn
        if cost_limit is not None:
            self.cost_limit = cost_limit
        if episode_length is not None:
            self.episode_length = episode_length

    def reset(self, key: jax.Array) -> State:
        """The environment's reset, with zero cost."""
        state = self.env.reset(key)
        action = jax.ShapeDtypeStruct((self.env.action_size,), jnp.result_type(float))
        cost = jax.eval_shape(self._cost_fn, state, action, state)
        return _with_cost(state, jnp.zeros(cost.shape, cost.dtype))

    def step(self, state: State, action: jax.Array) -> State:
        """The environment's step, with its cost."""
        # Brax's own environments write into the dicts of the state they are given: let them have a copy.
        next_state = self.env.step(jax.tree.map(lambda x: x, state), action)
        return _with_cost(next_state, jnp.asarray(self._cost_fn(state, action, next_state)))


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


class _RandomizedVmapWrapper(DomainRandomizationVmapWrapper):
    """Brax's domain randomisation, but of the environment with its wrappers, so that the cost stays."""

    @contextlib.contextmanager
    def v_env_fn(self, new_sys: base.System):
        with super().v_env_fn(new_sys):
            yield self.env


def _with_float_cost(state: State) -> State:
    """Costs as floats: summing the indicators of a bool cost would be a logical or."""
    return state.replace(info={**state.info, "cost": state.info["cost"].astype(jnp.result_type(float))})


def _with_cost(state: State, cost: jax.Array) -> State:
    cost = cost.astype(jnp.result_type(float))
    return state.replace(metrics={**state.metrics, "cost": cost}, info={**state.info, "cost": cost})


def _check_cost(env: Env) -> None:
    reset_state = jax.eval_shape(env.reset, jax.random.PRNGKey(0))
    action = jax.ShapeDtypeStruct((env.action_size,), jnp.result_type(float))
    step_state = jax.eval_shape(env.step, reset_state, action)
    for name, state in (("reset", reset_state), ("step", step_state)):
        if "cost" not in state.info:
            env_name = type(env.unwrapped).__name__
            raise ValueError(f'{env_name}.{name} reports no info["cost"]; use SafetyWrapper(env, cost_fn)')
