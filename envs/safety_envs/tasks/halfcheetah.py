"""HalfCheetah: a planar runner that cannot fall over."""

import dataclasses

import jax
import jax.numpy as jnp

from safety_envs.task import BraxModel, Readings, Task, noisy_start, speed_above, sum_of_squares


def safety_halfcheetah(goal_velocity: float = 0.3) -> Task:
    """Gymnasium's HalfCheetah-v4; keep a goal velocity with the root near its reference height.

        observation = (q without x, qd), [17]
        reward      = -|x velocity - goal|; "step" adds -0.1 sum a^2
        cost        = |observation[0]|, the root's height

    Args:
      goal_velocity: m/s, finite.

    Raises:
      ValueError: goal_velocity is not finite.

    Reference: Safety-MuJoCo (SafeRL-Lab); docs/paper.md, section 10, which gives no limit; 40 is ours.
    """
    if not abs(goal_velocity) < float("inf"):
        raise ValueError(f"goal_velocity is {goal_velocity}; it must be finite")

    def reward(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
        return -jnp.abs(after.velocity[0] - goal_velocity)

    gears = (120.0, 90.0, 60.0, 120.0, 100.0, 100.0)
    approximate = (16, {"opt.timestep": 0.003125, "actuator.gear": gears})
    return Task(
        name="safety_halfcheetah",
        model="half_cheetah.xml",
        frame_skip=5,
        brax=BraxModel(file="half_cheetah.xml", changes={"spring": approximate, "positional": approximate}),
        initial=noisy_start(0.1, 0.1, normal_velocity=True),
        observe=lambda readings: jnp.concatenate([readings.q[1:], readings.qd]),
        reward=reward,
        step_reward=lambda before, action, after: reward(before, action, after) - 0.1 * sum_of_squares(action),
        cost=lambda before, action, after: jnp.abs(after.q[1]),
        cost_formula="|root height|",
        cost_limit=40.0,
    )


def safety_halfcheetah_velocity() -> Task:
    """HalfCheetah-v4 as it is, with a limit on the speed.

        reward = x velocity - 0.1 sum a^2
        cost   = 1[x velocity > 3.2096 m/s]

    Reference: Safety-Gymnasium; docs/paper.md, section 10.
    """

    def reward(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
        return after.velocity[0] - 0.1 * sum_of_squares(action)

    return dataclasses.replace(
        safety_halfcheetah(),
        name="safety_halfcheetah_velocity",
        reward=reward,
        step_reward=reward,
        cost=speed_above(3.2096),
        cost_formula="1[x speed > 3.2096]",
        cost_limit=25.0,
    )
