"""Walker2d: two legs in a plane."""

import dataclasses

import jax
import jax.numpy as jnp

from safety_envs.task import BraxModel, Readings, Task, noisy_start, speed_above, sum_of_squares


def safety_walker2d() -> Task:
    """Gymnasium's Walker2d-v4 without termination; its cost is effort.

        observation = (q without x, qd clipped to +-10), [17]
        reward      = x velocity + 1[0.8 < z < 2] + 1[-1 < angle < 1]; "step" the same
        cost        = sqrt(1e-3 sum a^2)

    Reference: Safety-MuJoCo (SafeRL-Lab); docs/paper.md, sections 6 and 10.
    """

    def reward(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
        conditions = jnp.stack(_health_conditions(after))
        return after.velocity[0] + jnp.sum(conditions.astype(jnp.float32))

    return Task(
        name="safety_walker2d",
        model="walker2d.xml",
        frame_skip=4,
        brax=BraxModel(file="walker2d.xml", q_offset={1: 1.25}),
        initial=noisy_start(5e-3, 5e-3),
        observe=lambda readings: jnp.concatenate([readings.q[1:], jnp.clip(readings.qd, -10.0, 10.0)]),
        reward=reward,
        step_reward=reward,
        cost=lambda before, action, after: jnp.sqrt(1e-3 * sum_of_squares(action)),
        cost_formula="sqrt(1e-3 sum a^2)",
        cost_limit=40.0,
    )


def safety_walker2d_velocity() -> Task:
    """Walker2d-v4 as it is, ending when unhealthy, with a limit on the speed.

        reward = x velocity + 1 - 1e-3 sum a^2
        cost   = 1[x velocity > 2.3415 m/s]

    Reference: Safety-Gymnasium; docs/paper.md, section 10.
    """

    def reward(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
        return after.velocity[0] + 1.0 - 1e-3 * sum_of_squares(action)

    def healthy(readings: Readings) -> jax.Array:
        height, angle = _health_conditions(readings)
        return height & angle

    return dataclasses.replace(
        safety_walker2d(),
        name="safety_walker2d_velocity",
        reward=reward,
        step_reward=reward,
        cost=speed_above(2.3415),
        cost_formula="1[x speed > 2.3415]",
        healthy=healthy,
        cost_limit=25.0,
    )


def _health_conditions(readings: Readings) -> tuple[jax.Array, jax.Array]:
    height, angle = readings.q[1], readings.q[2]
    return (height > 0.8) & (height < 2.0), (angle > -1.0) & (angle < 1.0)
