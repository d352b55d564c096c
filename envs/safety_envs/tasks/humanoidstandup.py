"""SafetyHumanoidStandup: get up from the floor without much effort or impact."""

import jax
import jax.numpy as jnp

from safety_envs.task import BraxModel, Readings, Task, noisy_start, sum_of_squares
from safety_envs.tasks.humanoid import HUMANOID_CHANGES, HUMANOID_FIELDS, observe_humanoid

_PHYSICS_STEP = 0.003  # seconds; of Gymnasium's model, on every backend


def safety_humanoidstandup() -> Task:
    """Gymnasium's HumanoidStandup-v4, which never terminates, with effort and impact as its cost.

        observation = (q without x and y, qd, cinert, cvel, qfrc_actuator, cfrc_ext), [376]
        reward      = z / 0.003 s; "step" adds 1 - cost
        cost        = 0.1 sum a^2 + min(0.5e-6 sum cfrc_ext^2, 10)

    Reference: Safety-MuJoCo (SafeRL-Lab); docs/paper.md, sections 6 and 10.
    """

    def reward(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
        return after.q[2] / _PHYSICS_STEP

    def cost(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
        impact = 0.5e-6 * sum_of_squares(after.contact_force)
        return 0.1 * sum_of_squares(action) + jnp.minimum(impact, 10.0)

    return Task(
        name="safety_humanoidstandup",
        model="humanoidstandup.xml",
        frame_skip=5,
        brax=BraxModel(file="humanoidstandup.xml", changes=HUMANOID_CHANGES),
        fields=HUMANOID_FIELDS,
        initial=noisy_start(1e-2, 1e-2),
        observe=observe_humanoid,
        reward=reward,
        step_reward=lambda before, action, after: reward(before, action, after) - cost(before, action, after) + 1.0,
        cost=cost,
        cost_formula="0.1 sum a^2 + impact",
        cost_limit=1400.0,
    )
