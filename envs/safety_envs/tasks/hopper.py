"""Hopper: one leg."""

import dataclasses

import jax
import jax.numpy as jnp

from safety_envs.task import BraxModel, Readings, Task, noisy_start, speed_above, sum_of_squares


def safety_hopper() -> Task:
    """Gymnasium's Hopper-v4 without termination; its cost is effort and being unhealthy.

        observation = (q without x, qd clipped to +-10), [11]
        reward      = x velocity; "step" adds 1[healthy] - 1e-3 sum a^2
        cost        = 0.5 sum a^2 + 1[unhealthy]

    Reference: Safety-MuJoCo (SafeRL-Lab); docs/paper.md, section 10, which gives no limit; 400 is ours.
    """
    return Task(
        name="safety_hopper",
        model="hopper.xml",
        frame_skip=4,
        brax=BraxModel(file="hopper.xml", q_offset={1: 1.25}),
        initial=noisy_start(5e-3, 5e-3),
        observe=lambda readings: jnp.concatenate([readings.q[1:], jnp.clip(readings.qd, -10.0, 10.0)]),
        reward=lambda before, action, after: after.velocity[0],
        step_reward=lambda before, action, after: (
            after.velocity[0] + _healthy(after).astype(jnp.float32) - 1e-3 * sum_of_squares(action)
        ),
        cost=lambda before, action, after: 0.5 * sum_of_squares(action) + 1.0 - _healthy(after).astype(jnp.float32),
        cost_formula="0.5 sum a^2 + 1[unhealthy]",
        cost_limit=400.0,
    )


def safety_hopper_velocity() -> Task:
    """Hopper-v4 as it is, ending when unhealthy, with a limit on the speed.

        reward = x velocity + 1 - 1e-3 sum a^2
        cost   = 1[x velocity > 0.7402 m/s]

    Reference: Safety-Gymnasium; docs/paper.md, sections 6 and 10.
    """

    def reward(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
        return after.velocity[0] + 1.0 - 1e-3 * sum_of_squares(action)

    return dataclasses.replace(
        safety_hopper(),
        name="safety_hopper_velocity",
        reward=reward,
        step_reward=reward,
        cost=speed_above(0.7402),
        cost_formula="1[x speed > 0.7402]",
        healthy=_healthy,
        cost_limit=25.0,
    )


def _healthy(readings: Readings) -> jax.Array:
    """z > 0.7 m, angle within 0.2 rad, and everything but x and z within 100; False for NaN."""
    height, angle = readings.q[1], readings.q[2]
    rest = jnp.concatenate([readings.q[2:], readings.qd])
    return jnp.all(jnp.abs(rest) < 100.0) & (height > 0.7) & (jnp.abs(angle) < 0.2)
