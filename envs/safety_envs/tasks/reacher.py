"""SafetyReacher: bring a two-joint arm's fingertip to a target with little effort."""

import jax
import jax.numpy as jnp

from safety_envs.task import BraxModel, Readings, Task, sum_of_squares

_TARGET_RADIUS = 0.2  # metres


def safety_reacher() -> Task:
    """Gymnasium's Reacher-v4, which never terminates, with the effort as its cost.

        observation = (cos q, sin q, target_xy, qd, fingertip - target), [11]; q, qd of the two joints
        reward      = -||fingertip - target||, before the physics step; "step" adds -sum a^2
        cost        = sum a^2

    Reference: Safety-MuJoCo (SafeRL-Lab); docs/paper.md, section 10.
    """
    return Task(
        name="safety_reacher",
        model="reacher.xml",
        frame_skip=2,
        brax=BraxModel(
            file="reacher.xml",
            changes={b: (4, {"opt.timestep": 0.005, "actuator.gear": (25.0, 25.0)}) for b in ("spring", "positional")},
        ),
        bodies=("fingertip", "target"),
        initial=_initial,
        observe=_observe,
        reward=lambda before, action, after: -_distance(before),
        step_reward=lambda before, action, after: -_distance(before) - sum_of_squares(action),
        cost=lambda before, action, after: sum_of_squares(action),
        cost_formula="sum a^2",
        cost_limit=40.0,
    )


def _initial(key: jax.Array, q0: jax.Array, nv: int) -> tuple[jax.Array, jax.Array]:
    """Joints near zero, almost at rest; the target at rest, uniform on a disk's area."""
    del nv
    uniform = jax.random.uniform(key, (6,))  # one draw, as each is slow to compile
    joints = q0[:2] + 0.1 * (2 * uniform[:2] - 1)
    velocity = 0.005 * (2 * uniform[2:4] - 1)
    radius, angle = _TARGET_RADIUS * jnp.sqrt(uniform[4]), 2 * jnp.pi * uniform[5]
    target = radius * jnp.stack([jnp.cos(angle), jnp.sin(angle)])
    return jnp.concatenate([joints, target]), jnp.concatenate([velocity, jnp.zeros(2)])


def _observe(readings: Readings) -> jax.Array:
    q, qd = readings.q, readings.qd
    return jnp.concatenate([jnp.cos(q[:2]), jnp.sin(q[:2]), q[2:], qd[:2], _fingertip_from_target(readings)])


def _fingertip_from_target(readings: Readings) -> jax.Array:
    fingertip, target = readings.bodies
    return fingertip - target


def _distance(readings: Readings) -> jax.Array:
    return jnp.linalg.norm(_fingertip_from_target(readings))
