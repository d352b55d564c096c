"""Humanoid: a biped of seventeen joints; its observation is shared with HumanoidStandup."""

import dataclasses

import jax
import jax.numpy as jnp

from safety_envs.task import BraxModel, Readings, Task, noisy_start, speed_above, sum_of_squares

HUMANOID_FIELDS = ("com_inertia", "com_velocity", "actuator_force", "contact_force")
# Brax's own settings of its approximate pipelines.
_APPROXIMATE = (10, {"opt.timestep": 0.0015, "actuator.gear": (350.0,) * 11 + (100.0,) * 6})
HUMANOID_CHANGES = {"spring": _APPROXIMATE, "positional": _APPROXIMATE}


def safety_humanoid() -> Task:
    """Gymnasium's Humanoid-v4 without termination; its cost is effort and being unhealthy.

        observation = (q without x and y, qd, cinert, cvel, qfrc_actuator, cfrc_ext), [376]
        reward      = 1.25 x velocity of the centre of mass; "step" adds 5 1[healthy] - 0.1 sum a^2
        cost        = 0.1 sum a^2 + 1[not 1 < z < 2]

    Reference: Safety-MuJoCo (SafeRL-Lab); docs/paper.md, section 10, which gives no limit; 400 is ours.
    """
    return Task(
        name="safety_humanoid",
        model="humanoid.xml",
        frame_skip=5,
        brax=BraxModel(file="humanoid.xml", changes=HUMANOID_CHANGES),
        point="center_of_mass",
        fields=HUMANOID_FIELDS,
        initial=noisy_start(1e-2, 1e-2),
        observe=observe_humanoid,
        reward=lambda before, action, after: 1.25 * after.velocity[0],
        step_reward=lambda before, action, after: (
            1.25 * after.velocity[0] + 5.0 * _healthy(after).astype(jnp.float32) - 0.1 * sum_of_squares(action)
        ),
        cost=lambda before, action, after: 0.1 * sum_of_squares(action) + 1.0 - _healthy(after).astype(jnp.float32),
        cost_formula="0.1 sum a^2 + 1[unhealthy]",
        cost_limit=400.0,
    )


def safety_humanoid_velocity() -> Task:
    """Humanoid-v4 as it is, ending when unhealthy, with a limit on the planar speed.

        reward = 1.25 x velocity of the centre of mass + 5 - 0.1 sum a^2
        cost   = 1[||(x, y) velocity|| > 1.4149 m/s]

    Reference: Safety-Gymnasium; docs/paper.md, section 10.
    """

    def reward(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
        return 1.25 * after.velocity[0] + 5.0 - 0.1 * sum_of_squares(action)

    return dataclasses.replace(
        safety_humanoid(),
        name="safety_humanoid_velocity",
        reward=reward,
        step_reward=reward,
        cost=speed_above(1.4149),
        cost_formula="1[speed > 1.4149]",
        healthy=_healthy,
        cost_limit=25.0,
    )


def observe_humanoid(readings: Readings) -> jax.Array:
    """The 376 numbers of Humanoid-v4 and HumanoidStandup-v4."""
    parts = [getattr(readings, name) for name in HUMANOID_FIELDS]
    return jnp.concatenate([readings.q[2:], readings.qd, *(jnp.ravel(part) for part in parts)])


def _healthy(readings: Readings) -> jax.Array:
    return (readings.q[2] > 1.0) & (readings.q[2] < 2.0)
