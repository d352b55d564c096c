"""What a task is: one declarative description, read by every physics."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp

REWARDS = ("task", "step")


@flax.struct.dataclass
class Readings:
    """What observations, rewards and costs may read of the physics after a control step; float32.

    Attributes:
      q: [nq] generalised positions, as in Gymnasium's `qpos`.
      qd: [nv] generalised velocities, as in `qvel`; angular velocities of a free joint in its own frame.
      point: [D] metres, position of the task's `point`.
      velocity: [D] m/s, mean velocity of that point over the control step; zero at reset.
      bodies: [len(task.bodies), 3] metres, positions of the bodies that the task names.
      com_inertia: [nbody, 10] `cinert`, inertias about the centre of mass of their kinematic tree.
      com_velocity: [nbody, 6] `cvel`, rotational and translational velocities about the same.
      actuator_force: [nv] `qfrc_actuator`.
      contact_force: [nbody, 6] `cfrc_ext`, external torques and forces; zero at reset.

    The fields from `bodies` on are None unless the task names them.
    """

    q: jax.Array
    qd: jax.Array
    point: jax.Array
    velocity: jax.Array
    bodies: Any = None
    com_inertia: Any = None
    com_velocity: Any = None
    actuator_force: Any = None
    contact_force: Any = None


ReadingsFn = Callable[[Readings], jax.Array]
StepFn = Callable[[Readings, jax.Array, Readings], jax.Array]  # before the step, raw action [A], after it


@dataclasses.dataclass(frozen=True, kw_only=True)
class BraxModel:
    """How a task's model is run by Brax's pipelines.

    Attributes:
      file: name among the assets of the installed Brax, or the path of a file of the user's own.
      q_offset: joint number -> what to add to Brax's q for Gymnasium's, where the models' zeros differ.
      changes: backend -> (frame skip, changes of the system as for Brax's `tree_replace`);
        the others run with the task's frame skip and no changes.
    """

    file: str
    q_offset: Mapping[int, float] = dataclasses.field(default_factory=dict)
    changes: Mapping[str, tuple[int, Mapping[str, Any]]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """A task of docs/paper.md, section 10. The action that reaches rewards and costs is the raw one.

    Only the physics clamps an action to the control range: with a clamped action costs on effort would saturate
    and could not be learnt.

    Attributes:
      name: what `safety_envs.make` calls it.
      model: file among the assets of the installed Gymnasium, or the path of a MuJoCo XML of the user's own, used by
        the `mujoco` backend.
      frame_skip: physics steps per control step of that model.
      brax: the model for Brax's pipelines; None: the same file.
      initial: (key, q0 [nq], nv) -> random initial (q [nq], qd [nv]); q0 is the model's reference position. Without
        one, uniform noise of 0.01 around it, at rest.
      observe: readings -> observation [O], as in Gymnasium v4.
      reward: (before, action, after) -> what the published agents train on (`reward="task"`).
      step_reward: the same, with the healthy and control terms of Gymnasium's step (`reward="step"`); None: there is
        no other reward.
      cost: the same, the step's cost >= 0, a scalar or [K].
      cost_formula: the cost in words or letters, for tables.
      healthy: readings -> bool, False ends the episode; None: no episode terminates.
      point: whose velocity `Readings.velocity` is: "x" (the coordinate qpos[0], D = 1), a body's name or
        "center_of_mass" (horizontal, D = 2).
      bodies: names of the bodies whose positions are read.
      fields: other optional fields of `Readings` that are read.
      cost_limit: published limit on an episode's summed cost, or this project's where none is published; one for each
        constraint.
      episode_length: published episode length in control steps.
      refused: backend -> why it cannot run this task.
      max_contacts: number of contacts of an environment for which backend `warp` has room, >= 1, shared among all that
        are stepped together; None: all that the model's geoms can have at once. With more contacts the state is nan.
    """

    name: str
    model: str
    frame_skip: int
    observe: ReadingsFn
    reward: StepFn
    cost: StepFn
    cost_limit: float | tuple[float, ...]
    brax: BraxModel | None = None
    initial: Callable[[jax.Array, jax.Array, int], tuple[jax.Array, jax.Array]] | None = None
    step_reward: StepFn | None = None
    cost_formula: str = ""
    healthy: ReadingsFn | None = None
    point: str = "x"
    bodies: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()
    episode_length: int = 1000
    refused: Mapping[str, str] = dataclasses.field(default_factory=dict)
    max_contacts: int | None = None

    @property
    def brax_model(self) -> BraxModel:
        """The model for Brax's pipelines."""
        return self.brax or BraxModel(file=self.model)


def sum_of_squares(x: jax.Array) -> jax.Array:
    """Sum of squares of all entries."""
    return jnp.sum(jnp.square(x))


def speed_above(threshold: float) -> StepFn:
    """Cost of the velocity tasks: 1 where the point's speed is above the threshold in m/s.

    The speed is signed along x where the task reads one coordinate, a planar norm where it reads two.
    """

    def cost(before: Readings, action: jax.Array, after: Readings) -> jax.Array:
        del before, action
        velocity = after.velocity
        speed = velocity[0] if velocity.shape == (1,) else jnp.linalg.norm(velocity)
        return jnp.where(speed > threshold, 1.0, 0.0)

    return cost


def noisy_start(q_noise: float, qd_noise: float, normal_velocity: bool = False):
    """Initial states around the reference position at rest, the reset of most of Gymnasium's tasks.

    Args:
      q_noise: half width of the uniform noise on every entry of q.
      qd_noise: half width of the uniform noise on every entry of qd, or standard deviation of the normal noise.
      normal_velocity: whether the velocity's noise is normal.
    """

    def initial(key: jax.Array, q0: jax.Array, nv: int) -> tuple[jax.Array, jax.Array]:
        q_key, qd_key = jax.random.split(key)
        q = q0 + jax.random.uniform(q_key, q0.shape, minval=-q_noise, maxval=q_noise)
        if normal_velocity:
            return q, qd_noise * jax.random.normal(qd_key, (nv,))
        return q, jax.random.uniform(qd_key, (nv,), minval=-qd_noise, maxval=qd_noise)

    return initial
