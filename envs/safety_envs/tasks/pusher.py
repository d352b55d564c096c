"""SafetyPusher: push an object to a goal with little effort."""

import jax
import jax.numpy as jnp

from safety_envs.task import BraxModel, Readings, Task, sum_of_squares

_CLEARANCE = 0.17  # metres between object and goal at the start


def safety_pusher() -> Task:
    """Gymnasium's Pusher-v4, which never terminates, with the effort as its cost.

        observation = (q, qd of the arm, fingertip, object, goal), [23]
        reward      = -||object - goal|| - 0.5 ||object - fingertip||, before the physics step;
                      "step" adds -0.1 sum a^2
        cost        = 0.1 sum a^2

    Reference: Safety-MuJoCo (SafeRL-Lab); docs/paper.md, section 10, which gives no limit; 40 is ours.
    """
    approximate = (50, {"opt.timestep": 0.001, "actuator.gear": (20.0,) * 7})
    return Task(
        name="safety_pusher",
        # Gymnasium's v4 refuses today's MuJoCo, where its model's object has almost no mass; v5's is mended.
        model="pusher_v5.xml",
        frame_skip=5,
        brax=BraxModel(file="pusher.xml", changes={"spring": approximate, "positional": approximate}),
        bodies=("tips_arm", "object", "goal"),
        initial=_initial,
        observe=lambda readings: jnp.concatenate([readings.q[:7], readings.qd[:7], jnp.ravel(readings.bodies)]),
        reward=_closeness,
        step_reward=lambda before, action, after: _closeness(before, action, after) - 0.1 * sum_of_squares(action),
        cost=lambda before, action, after: 0.1 * sum_of_squares(action),
        cost_formula="0.1 sum a^2",
        cost_limit=40.0,
    )


def _initial(key: jax.Array, q0: jax.Array, nv: int) -> tuple[jax.Array, jax.Array]:
    """The arm at its reference, almost at rest; the object anywhere in a box that is clear of the goal.

    Gymnasium draws the object again until it is clear. Here the part of the box that is not clear, the half disk
    around the goal, is left out by drawing y first, with the density that leaves, and then x given y.
    """
    velocity_key, x_key, y_key = jax.random.split(key, 3)
    # |y| <= 0.2, and x in [-0.3, -edge(y)]: the density of y is proportional to 0.3 - edge(y).
    grid = jnp.linspace(-0.2, 0.2, 401)
    edge = jnp.sqrt(jnp.maximum(_CLEARANCE**2 - grid**2, 0.0))
    density = 0.3 - edge
    area = jnp.concatenate([jnp.zeros(1), jnp.cumsum((density[1:] + density[:-1]) / 2)])
    y = jnp.interp(jax.random.uniform(y_key), area / area[-1], grid)
    edge_at_y = jnp.sqrt(jnp.maximum(_CLEARANCE**2 - y**2, 0.0))
    x = -edge_at_y - jax.random.uniform(x_key) * (0.3 - edge_at_y)
    q = jnp.concatenate([q0[:-4], jnp.stack([x, y]), jnp.zeros(2)])
    velocity = jax.random.uniform(velocity_key, (nv,), minval=-0.005, maxval=0.005)
    return q, velocity.at[-4:].set(0.0)


def _closeness(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
    del action, after
    fingertip, thing, goal = before.bodies
    return -jnp.linalg.norm(thing - goal) - 0.5 * jnp.linalg.norm(thing - fingertip)
