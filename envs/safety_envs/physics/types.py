"""What an environment needs of a physics, whichever it is."""

from typing import Any, Protocol

import flax.struct
import jax

from safety_envs.task import Readings


@flax.struct.dataclass
class PhysicsState:
    """Full state of a physics between control steps.

    Attributes:
      engine: what the physics goes on from: a Brax pipeline's state, or `EngineState` of the MuJoCo engine.
      readings: what the task may read.
    """

    engine: Any
    readings: Readings

    @property
    def q(self) -> jax.Array:
        """[nq] generalised positions as in Gymnasium's `qpos`."""
        return self.readings.q

    @property
    def qd(self) -> jax.Array:
        """[nv] generalised velocities as in Gymnasium's `qvel`."""
        return self.readings.qd


class Physics(Protocol):
    """A task's physics: pure functions of the system and the state.

    Attributes:
      system: pytree of what domain randomisation may change.
      q0: [nq] reference position, as in Gymnasium's `qpos`.
      nv: number of degrees of freedom.
      action_size: A.
      action_range: [A, 2] what the physics clamps actions to.
      dt: seconds per control step.
    """

    system: Any
    q0: jax.Array
    nv: int
    action_size: int
    action_range: Any
    dt: float

    def init(self, system: Any, q: jax.Array, qd: jax.Array) -> PhysicsState:
        """The state at q [nq], qd [nv], before any step."""

    def step(self, system: Any, state: PhysicsState, action: jax.Array) -> PhysicsState:
        """One control step under `action` [A]."""
