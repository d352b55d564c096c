"""One recorded episode of a run's policy: positions, rewards, costs and velocities of every step."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from safety_envs.base import SafetyEnv
from safety_envs.physics.models import gymnasium_model

from espo_jax.algorithms.inference import inference_fn
from espo_jax.config import Config
from espo_jax.networks import Networks


@dataclasses.dataclass(frozen=True)
class Episode:
    """A recorded episode, to its end or for a number of steps.

    Args:
      model: MuJoCo's model of the robot, for kinematics and pictures.
      dt: seconds per control step.
      q: [T + 1, nq] generalised positions; the first is that of the reset.
      reward: [T] rewards.
      cost: [T, K] costs.
      velocity: [T, D] velocity in m/s of the point whose speed the task uses.
      terminated: whether the task ended it.
    """

    model: mujoco.MjModel
    dt: float
    q: np.ndarray
    reward: np.ndarray
    cost: np.ndarray
    velocity: np.ndarray
    terminated: bool

    @property
    def speed(self) -> np.ndarray:
        """Speed [T] in m/s: signed along x for one coordinate, a planar norm for two."""
        return self.velocity[:, 0] if self.velocity.shape[1] == 1 else np.linalg.norm(self.velocity, axis=1)

    def geom_poses(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions [T + 1, G, 3] and axes [T + 1, G, 3] (local z) of all geoms, by MuJoCo's kinematics."""
        data = mujoco.MjData(self.model)
        position = np.empty((len(self.q), self.model.ngeom, 3))
        axis = np.empty_like(position)
        for t, q in enumerate(self.q):
            data.qpos[:] = q
            mujoco.mj_kinematics(self.model, data)
            position[t], axis[t] = data.geom_xpos, data.geom_xmat.reshape(-1, 3, 3)[:, :, 2]
        return position, axis


def record(
    env: Any,
    networks: Networks,
    config: Config,
    params: tuple[Any, Any, Any],
    *,
    seed: int = 0,
    deterministic: bool = True,
    steps: int = 1000,
) -> Episode:
    """Run an episode.

    Args:
      env: one of this project's tasks, not vectorised.
      networks, config, params: from `policies.load`.
      seed: seed of reset and actions.
      deterministic: whether actions are the policy's mean instead of samples.
      steps: largest number of control steps; the time limit and the action repeat of the run hold too.

    Raises:
      ValueError: the environment has no model to show, or steps is not positive.
    """
    if not isinstance(env, SafetyEnv):
        raise ValueError("an environment that is not one of `espo tasks` has no model to show")
    if steps < 1:
        raise ValueError(f"steps is {steps}: it must be a positive integer")
    steps = min(steps, config.episode_length or env.episode_length)
    policy = inference_fn(networks, config)(params, deterministic)
    run = jax.jit(lambda key: _run(env, policy, config.action_repeat, steps, key))
    recorded: Any = jax.device_get(run(jax.random.key(seed)))
    first, (q, reward, cost, velocity, done) = recorded
    ends = np.flatnonzero(done)
    length = int(ends[0]) + 1 if ends.size else steps
    return Episode(
        model=gymnasium_model(env.task.model),
        dt=float(env.dt),
        q=np.concatenate([first[None], q[:length]]).astype(float),
        reward=reward[:length],
        cost=cost[:length],
        velocity=velocity[:length],
        terminated=bool(ends.size),
    )


def _run(env: Any, policy: Callable, action_repeat: int, steps: int, key: jax.Array) -> tuple:
    """First positions, and (positions, reward, cost, velocity, done) of every step."""

    def step(carry: tuple, time: jax.Array) -> tuple:
        state, held, key = carry
        key, action_key = jax.random.split(key)
        action = jnp.where(time % action_repeat == 0, policy(state.obs, action_key)[0], held)
        after = env.step(state, action)
        readings = after.pipeline_state.readings
        seen: tuple = readings.q, after.reward, jnp.atleast_1d(after.info["cost"]), readings.velocity, after.done
        return (after, action, key), seen

    reset_key, key = jax.random.split(key)
    state = env.reset(reset_key)
    carry = (state, jnp.zeros(env.action_size), key)
    return state.pipeline_state.q, jax.lax.scan(step, carry, jnp.arange(steps))[1]
