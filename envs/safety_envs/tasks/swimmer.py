"""Swimmer: three links in a viscous plane."""

import jax
import jax.numpy as jnp

from safety_envs.task import BraxModel, Readings, Task, noisy_start, speed_above, sum_of_squares

_NO_FLUID = "its fluid forces fail in the installed Brax"


def safety_swimmer_velocity() -> Task:
    """Gymnasium's Swimmer-v4, which never terminates, with a limit on the speed.

        observation = (q without x and y, qd), [8]
        reward      = x velocity - 1e-4 sum a^2
        cost        = 1[x velocity > 0.2282 m/s]

    Reference: Safety-Gymnasium; docs/paper.md, section 10.
    """

    def reward(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
        return after.velocity[0] - 1e-4 * sum_of_squares(action)

    return Task(
        name="safety_swimmer_velocity",
        model="swimmer.xml",
        frame_skip=4,
        brax=BraxModel(file="swimmer.xml"),
        initial=noisy_start(0.1, 0.1),
        observe=lambda readings: jnp.concatenate([readings.q[2:], readings.qd]),
        reward=reward,
        step_reward=reward,
        cost=speed_above(0.2282),
        cost_formula="1[x speed > 0.2282]",
        cost_limit=25.0,
        refused={"generalized": _NO_FLUID, "spring": "it has no fluid forces", "positional": "it has no fluid forces"},
    )
