"""Ant: four legs, free in space."""

import dataclasses

import jax
import jax.numpy as jnp

from safety_envs.task import BraxModel, Readings, Task, noisy_start, speed_above, sum_of_squares


def safety_ant() -> Task:
    """Gymnasium's Ant-v4 without termination; its cost is effort.

        observation = (q without x and y, qd), [27]; no contact forces, as v4's default
        reward      = x velocity of the torso; "step" adds 1[healthy] - 0.5 sum a^2
        cost        = 0.5 sum a^2

    Reference: Safety-MuJoCo (SafeRL-Lab); docs/paper.md, section 10, which gives no limit; 200 is ours.
    """
    slow = {"opt.timestep": 0.005}
    return Task(
        name="safety_ant",
        model="ant.xml",
        frame_skip=5,
        brax=BraxModel(
            file="ant.xml",
            changes={"spring": (10, slow), "positional": (10, {**slow, "actuator.gear": (200.0,) * 8})},
        ),
        point="torso",
        initial=noisy_start(0.1, 0.1, normal_velocity=True),
        observe=lambda readings: jnp.concatenate([readings.q[2:], readings.qd]),
        reward=lambda before, action, after: after.velocity[0],
        step_reward=lambda before, action, after: (
            after.velocity[0] + _healthy(after).astype(jnp.float32) - 0.5 * sum_of_squares(action)
        ),
        cost=lambda before, action, after: 0.5 * sum_of_squares(action),
        cost_formula="0.5 sum a^2",
        cost_limit=200.0,
    )


def safety_ant_velocity() -> Task:
    """Ant-v4 as it is, ending when unhealthy, with a limit on the torso's planar speed.

        reward = x velocity + 1 - 0.5 sum a^2
        cost   = 1[||(x, y) velocity|| > 2.6222 m/s]

    Reference: Safety-Gymnasium; docs/paper.md, sections 6 and 10: the limit is 25 by convention, 0.5 in the paper.
    """

    def reward(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
        return after.velocity[0] + 1.0 - 0.5 * sum_of_squares(action)

    return dataclasses.replace(
        safety_ant(),
        name="safety_ant_velocity",
        reward=reward,
        step_reward=reward,
        cost=speed_above(2.6222),
        cost_formula="1[speed > 2.6222]",
        healthy=_healthy,
        cost_limit=0.5,
    )


def _healthy(readings: Readings) -> jax.Array:
    """0.2 m <= z <= 1 m and everything finite."""
    height = readings.q[2]
    finite = jnp.all(jnp.isfinite(readings.q)) & jnp.all(jnp.isfinite(readings.qd))
    return finite & (height >= 0.2) & (height <= 1.0)
