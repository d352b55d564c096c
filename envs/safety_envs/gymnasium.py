"""The tasks as Gymnasium environments, for libraries that want NumPy: one (`make`) or a vector of them (`make_vec`).

envs = safety_envs.gymnasium.make_vec("safety_hopper_velocity", num_envs=64)
observations, infos = envs.reset(seed=0)
observations, rewards, terminations, truncations, infos = envs.step(actions)   # infos["cost"]: [64]
"""

from collections.abc import Sequence
from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import error, spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from safety_envs.base import SafetyEnv
from safety_envs.registry import make as make_task
from safety_envs.wrappers import wrap


def make(name: str, *, episode_length: int | None = None, **options: Any) -> "SafetyGymnasiumEnv":
    """One environment with Gymnasium's interface; resets are the caller's.

    Args:
      name: one of `safety_envs.task_names()`.
      episode_length: time limit in control steps, >= 1; None: the task's own.
      **options: those of `safety_envs.make`: backend, reward, the task's own.

    Raises:
      ValueError: an unknown name or option, or a value out of its range.
    """
    return SafetyGymnasiumEnv(make_task(name, **options), episode_length)


def make_vec(name: str, num_envs: int, *, episode_length: int | None = None, **options: Any) -> "SafetyVectorEnv":
    """A vector environment with Gymnasium's interface, which resets each environment in the step that ends its episode.

    Args:
      name: one of `safety_envs.task_names()`.
      num_envs: N, >= 1.
      episode_length: time limit in control steps, >= 1; None: the task's own.
      **options: those of `safety_envs.make`: backend, reward, the task's own.

    Raises:
      ValueError: an unknown name or option, or a value out of its range.
    """
    return SafetyVectorEnv(make_task(name, **options), num_envs, episode_length)


class SafetyGymnasiumEnv(gymnasium.Env):
    """One task; `info["cost"]` is the step's cost.

    Environment i of a vector that was reset with seed s steps through the same episodes as this one with seed s + i.
    """

    def __init__(self, env: SafetyEnv, episode_length: int | None = None):
        """Wraps an environment that is not vectorised; `episode_length` None is its own."""
        self.metadata = {"render_modes": []}
        self.env = env
        self.observation_space, self.action_space = _spaces(env)
        self._episode_length = _checked_length(env, episode_length)
        self._reset_fn, self._step_fn = jax.jit(env.reset), jax.jit(env.step)
        self._state: Any = None
        self._key: Any = None
        self._episode = self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None):
        """A new episode: (observation [O] float32, info). A seed fixes this episode and those that follow it."""
        super().reset(seed=seed)
        _no_options(options)
        if seed is not None or self._key is None:
            self._key = jax.random.key(_seed(seed, self.np_random))
            self._episode = 0
        else:
            self._episode += 1
        self._steps = 0
        self._state = self._reset_fn(jax.random.fold_in(self._key, self._episode))
        return np.array(self._state.obs), {}

    def step(self, action):
        """(observation, reward, terminated, truncated, info) of one control step under the raw action [A].

        Raises:
          gymnasium.error.ResetNeeded: there is no running episode.
          gymnasium.error.InvalidAction: the action's shape is wrong, or it is not finite.
        """
        if self._state is None:
            raise error.ResetNeeded("no episode is running; call reset")
        self._state = self._step_fn(self._state, _checked_actions(action, self.action_space.shape))
        self._steps += 1
        state = self._state
        terminated = bool(state.done)
        truncated = self._steps >= self._episode_length and not terminated
        if terminated or truncated:
            self._state = None
        return (
            np.array(state.obs),
            float(state.reward),
            terminated,
            truncated,
            {"cost": np.array(state.info["cost"])[()]},
        )


class SafetyVectorEnv(VectorEnv):
    """N environments of one task, stepped by one jitted program.

    A step returns arrays that are the caller's own: observations [N, O] float32, rewards [N] float64, terminations and
    truncations [N] bool, and infos:

      cost: [N] or [N, K], the step's cost, also where the step ended an episode.
      final_obs: [N] objects, where an episode ended the observation [O] that the step led to; None elsewhere.
      episode_totals: reward, cost, length: [N] of the episodes that ended; zero elsewhere. Not "episode", which
        Gymnasium's RecordEpisodeStatistics wants for itself.

    Each comes with a mask [N] of the environments it says something about (`_cost`, `_final_obs`, `_episode_totals`).
    """

    def __init__(self, env: SafetyEnv, num_envs: int, episode_length: int | None = None):
        """Vectorises an environment; `episode_length` None is its own."""
        if isinstance(num_envs, bool) or not isinstance(num_envs, int) or num_envs < 1:
            raise ValueError(f"num_envs is {num_envs!r}; it must be a positive integer")
        self.num_envs = num_envs
        self.metadata = {"render_modes": [], "autoreset_mode": AutoresetMode.SAME_STEP}
        self.single_observation_space, self.single_action_space = _spaces(env)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        wrapped = wrap(env, episode_length=_checked_length(env, episode_length))
        self._reset_fn, self._step_fn = jax.jit(wrapped.reset), jax.jit(wrapped.step)
        self._state: Any = None

    def reset(self, *, seed: int | Sequence[int] | None = None, options: dict[str, Any] | None = None):
        """New episodes everywhere: (observations [N, O], infos); seed is one number, or one for each environment."""
        if self.closed:
            raise error.ClosedEnvironmentError("this vector environment is closed; make another")
        _no_options(options)
        if seed is None or isinstance(seed, int | np.integer):
            super().reset(seed=None if seed is None else int(seed))
            seeds = _seed(seed, self.np_random) + np.arange(self.num_envs)
        else:
            seeds = np.asarray(seed)
            if seeds.shape != (self.num_envs,):
                raise ValueError(
                    f"seed has shape {seeds.shape}; it must be one number or one for each of {self.num_envs}"
                )
            if seeds.dtype.kind not in "iu" or seeds.min() < 0 or seeds.max() >= 2**32:
                raise ValueError(f"seed is {seed!r}; it must hold integers in [0, 2^32)")
            # So that later resets without a seed follow from these too.
            super().reset(seed=int(np.random.SeedSequence(seeds.tolist()).generate_state(1)[0]))
        self._state = self._reset_fn(jax.vmap(jax.random.key)(jnp.asarray(seeds, jnp.uint32)))
        return np.array(self._state.obs), {}

    def step(self, actions):
        """(observations, rewards, terminations, truncations, infos) under raw actions [N, A].

        Raises:
          gymnasium.error.ResetNeeded: before the first reset.
          gymnasium.error.ClosedEnvironmentError: after close.
          gymnasium.error.InvalidAction: the actions' shape is wrong, or one is not finite.
        """
        if self.closed:
            raise error.ClosedEnvironmentError("this vector environment is closed; make another")
        if self._state is None:
            raise error.ResetNeeded("no episode is running; call reset")
        actions = _checked_actions(actions, self.action_space.shape)
        self._state = state = self._step_fn(self._state, actions)
        ended = np.array(state.done, bool)
        truncations = np.array(state.info["truncation"], bool)
        infos: dict[str, Any] = {"cost": np.array(state.info["cost"]), "_cost": np.ones(self.num_envs, bool)}
        if ended.any():
            final = np.array(state.info["final_observation"])
            totals = {k: np.asarray(v, np.float64) for k, v in state.info["episode_metrics"].items()}
            infos["final_obs"] = np.full(self.num_envs, None, dtype=object)
            for i in np.flatnonzero(ended):
                infos["final_obs"][i] = final[i]
            names = {"reward": "sum_reward", "cost": "cost", "length": "length"}
            infos["episode_totals"] = {name: (totals[key].T * ended).T for name, key in names.items()}
            infos["_final_obs"], infos["_episode_totals"] = ended, ended.copy()
        rewards = np.array(state.reward, np.float64)
        return np.array(state.obs), rewards, ended & ~truncations, truncations, infos


def _spaces(env: SafetyEnv) -> tuple[spaces.Box, spaces.Box]:
    low, high = np.asarray(env.physics.action_range, np.float32).T
    observation = spaces.Box(-np.inf, np.inf, (env.observation_size,), np.float32)
    return observation, spaces.Box(low, high, dtype=np.float32)


def _checked_length(env: SafetyEnv, episode_length: int | None) -> int:
    length = env.episode_length if episode_length is None else episode_length
    if isinstance(length, bool) or not isinstance(length, int) or length < 1:
        raise ValueError(f"episode_length is {length!r}; it must be a positive integer")
    return length


def _checked_actions(actions: Any, shape: tuple[int, ...] | None) -> np.ndarray:
    actions = np.asarray(actions, np.float32)
    if actions.shape != shape:
        raise error.InvalidAction(f"actions have shape {actions.shape}; it must be {shape}")
    if not np.isfinite(actions).all():
        raise error.InvalidAction("actions hold nan or infinity; they must be finite")
    return actions


def _no_options(options: dict[str, Any] | None) -> None:
    if options:
        raise ValueError(f"reset has no options, not {', '.join(map(repr, options))}")


def _seed(seed: Any, generator: np.random.Generator) -> int:
    if seed is None:
        return int(generator.integers(2**31))
    if not 0 <= seed < 2**32:
        raise ValueError(f"seed is {seed}; it must be in [0, 2^32)")
    return int(seed)
