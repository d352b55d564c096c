"""The environment that runs a task on a physics: a Brax `Env` whose steps report a cost."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
from brax.envs.base import Env, State

from safety_envs.physics import BACKENDS, load_physics
from safety_envs.task import REWARDS, Task, noisy_start


class SafetyEnv(Env):
    """One task on one physics, not vectorised.

    `state.pipeline_state` is a `PhysicsState`; `info["cost"]` and `metrics["cost"]` the step's cost.

    Attributes:
      task: the description.
      physics: the `Physics`.
      sys: what domain randomisation may change, given to the physics at every call.
      cost_limit: published limit b on an episode's summed cost; one for each constraint.
      episode_length: published episode length in control steps.
      made_from: task, reward and options (env) from which `make` makes it again; absent if it was made otherwise.
    """

    made_from: Mapping[str, Any]

    def __init__(self, task: Task, backend: str | None = None, reward: str = "task"):
        """Loads the model for one physics.

        Args:
          task: the description.
          backend: one of `BACKENDS`; None: `default_backend(task)`.
          reward: "task", what the published agents train on, or "step", with the healthy and control terms of
            Gymnasium's step.

        Raises:
          ValueError: an unknown backend or reward, or a backend that cannot run the task.
        """
        if reward not in REWARDS:
            raise ValueError(f"unknown reward {reward!r}; known rewards: {', '.join(REWARDS)}")
        reward_fn = task.reward if reward == "task" else task.step_reward
        if reward_fn is None:
            raise ValueError(f"reward is {reward!r}: {task.name} has one reward only")
        self.task = task
        self._backend = default_backend(task) if backend is None else backend
        self.physics = load_physics(task, self._backend)
        self.sys = self.physics.system
        self.cost_limit = task.cost_limit
        self.episode_length = task.episode_length
        self._reward_fn = reward_fn

    @functools.cached_property
    def observation_size(self) -> int:
        """O, found once by tracing a reset, not by running it."""
        return jax.eval_shape(self.reset, jax.random.key(0)).obs.shape[-1]

    @property
    def action_size(self) -> int:
        """A."""
        return self.physics.action_size

    @property
    def backend(self) -> str:
        """Name of the physics."""
        return self._backend

    @property
    def dt(self) -> float:
        """Seconds per control step."""
        return self.physics.dt

    def reset(self, key: jax.Array) -> State:
        """A random initial state, with no cost yet."""
        initial = self.task.initial or noisy_start(0.01, 0.0)
        q, qd = initial(key, self.physics.q0, self.physics.nv)
        physics_state = self.physics.init(self.sys, q, qd)
        readings = physics_state.readings
        action = jax.ShapeDtypeStruct((self.action_size,), jnp.float32)
        cost = jax.eval_shape(self.task.cost, readings, action, readings)
        state = State(
            pipeline_state=physics_state,
            obs=self.task.observe(readings),
            reward=jnp.zeros(()),
            done=jnp.zeros(()),
            metrics={"cost": jnp.zeros(cost.shape)},
            info={"cost": jnp.zeros(cost.shape)},
        )
        return strongly_typed(state)

    def step(self, state: State, action: jax.Array) -> State:
        """One control step under `action` [A], raw: only the physics clamps it."""
        physics_state = self.physics.step(self.sys, state.pipeline_state, action)
        before, after = state.pipeline_state.readings, physics_state.readings
        cost = self.task.cost(before, action, after)
        done = state.done if self.task.healthy is None else 1.0 - self.task.healthy(after).astype(jnp.float32)
        next_state = state.replace(
            pipeline_state=physics_state,
            obs=self.task.observe(after),
            reward=self._reward_fn(before, action, after),
            done=done,
            metrics={**state.metrics, "cost": cost},
            info={**state.info, "cost": cost},
        )
        return strongly_typed(next_state)


def default_backend(task: Task) -> str:
    """`mujoco` on a CPU; on an accelerator exact physics that run there, `generalized` where it can."""
    if jax.default_backend() == "cpu":
        return "mujoco"
    return next(b for b in BACKENDS if b in ("generalized", "mjx", "mujoco") and b not in task.refused)


def strongly_typed(tree):
    """The same pytree with every array's weak type removed.

    Resets tend to be weakly typed (Python scalars) where steps are not; jit would compile once for each.
    """

    def strong(x):
        is_key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)
        return x if is_key else jnp.asarray(x, dtype=x.dtype)

    return jax.tree.map(strong, tree)


def where_env(mask: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
    """Selects whole environments: mask [N], x and y [N, ...]."""
    return jnp.where(mask.reshape(mask.shape + (1,) * (x.ndim - mask.ndim)), x, y)
