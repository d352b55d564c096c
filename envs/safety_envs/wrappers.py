"""Costs and vectorising for any Brax environment, and all that training needs around one.

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
from safety_envs.episode import EpisodeWrapper
from safety_envs.usable import require_usable

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
      ValueError: the environment has another interface or is wrapped already, it reports no cost (found by tracing,
        before any compile), or a size is out of its range.
    """
    require_usable(env)
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


class _RandomizedVmapWrapper(DomainRandomizationVmapWrapper):
    """Brax's domain randomisation, but of the environment with its wrappers, so that the cost stays."""

    @contextlib.contextmanager
    def v_env_fn(self, new_sys: base.System):
        with super().v_env_fn(new_sys):
            yield self.env


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
