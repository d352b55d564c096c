"""Automatic resets to fresh states: every reset is drawn once and never replayed."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State, Wrapper

from safety_envs.base import strongly_typed, where_env
from safety_envs.lanes import lanes_max

# What info says about the step just made; all else in info belongs to the episode and is reset with it.
_REPORTS = ("cost", "steps", "truncation", "episode_metrics", "whole_episode")


class ResetPool(NamedTuple):
    """Resets drawn ahead. Environment i's j-th reset is a function of its key and j alone.

    Attributes:
      starts: pytree of [P, N, ...], resets number `first` to `first + P - 1` of every environment.
      used: [N] int in [0, P], how many of them the environment has used.
      first: [N] int, number of the oldest one held.
      key: [N] keys, used for nothing else.
    """

    starts: Any
    used: jax.Array
    first: jax.Array
    key: jax.Array


class AutoResetWrapper(Wrapper):
    """Gives every environment that is done a fresh initial state, which is never used again.

    The state returned has the new episode's physics and observation, and the old one's reward, done, metrics
    and cost. Other entries that the environment itself keeps in `info` are reset with it.

    Resets come from a pool drawn ahead; when one environment needs more than its own, all are topped up together.
    What an environment gets does not depend on when that happens, so neither the other environments nor other
    lanes of a vmap can change it.

    `info` gains:
      final_observation: [N, O], the observation that the step led to, before any reset.
      reset_pool: the `ResetPool`.
    """

    def __init__(self, env: Env, pool_size: int = 4):
        """Wraps a vectorised environment.

        Args:
          env: vectorised environment.
          pool_size: P, resets drawn ahead for each environment, >= 1; takes the memory of P states each.

        Raises:
          ValueError: pool_size is out of its range.
        """
        super().__init__(env)
        if pool_size < 1:
            raise ValueError(f"pool_size is {pool_size}; it must be at least 1")
        self.pool_size = pool_size

    def reset(self, key: jax.Array) -> State:
        """Initial states of N environments and their pools; key: [N]."""
        zeros = jnp.zeros(key.shape[:1], jnp.int32)
        states = self._draw(key, zeros, self.pool_size + 1)
        state, ahead = jax.tree.map(lambda x: x[0], states), jax.tree.map(lambda x: x[1:], states)
        pool = ResetPool(starts=_start_of(ahead), used=zeros, first=jnp.ones_like(zeros), key=key.copy())
        return _with_reset_info(state, jax.tree.map(jnp.copy, state.obs), pool)

    def step(self, state: State, action: jax.Array) -> State:
        """Steps N environments and resets those that are done; action: [N, A]."""
        # The pool's leading axis is not N, so the vectorised environment must not see it.
        info = {k: v for k, v in state.info.items() if k not in ("reset_pool", "final_observation")}
        next_state = strongly_typed(self.env.step(state.replace(info=info), action))

        done = next_state.done.astype(bool)
        # Before it is read: XLA would copy the whole pool at every step if it could change after that.
        pool = self._top_up(state.info["reset_pool"], done)
        environments = jnp.arange(done.shape[0])
        fresh = jax.tree.map(lambda x: x[pool.used, environments], pool.starts)
        start = jax.tree.map(lambda new, old: where_env(done, new, old), fresh, _start_of(next_state))
        restarted = next_state.replace(
            pipeline_state=start["pipeline_state"],
            obs=start["obs"],
            info={**next_state.info, **start["info"]},
        )
        return _with_reset_info(restarted, next_state.obs, pool._replace(used=pool.used + done))

    def hold(self, state: State, next_state: State, held: jax.Array) -> State:
        """Undoes a step in some environments, without a copy of the reset pool: they stand still and lose nothing.

        A top-up that the step made is kept, as it does not change what resets come; only their use is undone.

        Args:
          state: before a step.
          next_state: what the step returned.
          held: [N] bool, the environments that get back their state from before the step.
        """

        def choose(old: Any, new: Any) -> Any:
            return jax.tree.map(lambda o, n: where_env(held, o, n), old, new)

        pool: ResetPool = next_state.info["reset_pool"]
        pool = pool._replace(used=pool.used - (held & next_state.done.astype(bool)))
        old, new = (s.replace(info={k: v for k, v in s.info.items() if k != "reset_pool"}) for s in (state, next_state))
        kept = choose(old, new)
        return kept.replace(info={**kept.info, "reset_pool": pool})

    def env_axes(self, state: State) -> State:
        """The axis of the environments in each array of a state, to spread the environments over devices."""
        axes = jax.tree.map(lambda _: 0, state)
        starts = jax.tree.map(lambda _: 1, state.info["reset_pool"].starts)
        return axes.replace(info={**axes.info, "reset_pool": axes.info["reset_pool"]._replace(starts=starts)})

    def _top_up(self, pool: ResetPool, done: jax.Array) -> ResetPool:
        def redraw(carry):
            _, pool = carry
            first = pool.first + pool.used
            starts = _start_of(self._draw(pool.key, first, self.pool_size))
            pool = pool._replace(starts=starts, used=jnp.zeros_like(pool.used), first=first)
            return jnp.zeros((), bool), pool

        needed = lanes_max(jnp.any(done & (pool.used == self.pool_size)))
        # A loop of no or one turn: a lax.cond would copy the whole pool too.
        with jax.named_scope("draw_resets"):
            return jax.lax.while_loop(lambda carry: carry[0], redraw, (needed, pool))[1]

    def _draw(self, key: jax.Array, first: jax.Array, count: int) -> State:
        """Resets number first to first + count - 1 of every environment: [count, N, ...]."""
        numbers = first[None, :] + jnp.arange(count, dtype=first.dtype)[:, None]
        keys = jax.vmap(jax.vmap(jax.random.fold_in), in_axes=(None, 0))(key, numbers)
        return jax.vmap(lambda keys: strongly_typed(self.env.reset(keys)))(keys)


def _start_of(state: State) -> dict[str, Any]:
    """What a new episode takes from a reset."""
    info = {k: v for k, v in state.info.items() if k not in _REPORTS}
    return {"pipeline_state": state.pipeline_state, "obs": state.obs, "info": info}


def _with_reset_info(state: State, final_observation: Any, pool: ResetPool) -> State:
    return state.replace(info={**state.info, "final_observation": final_observation, "reset_pool": pool})
