"""Brax's pipelines as `Physics`: generalized, spring, positional and mjx.

What a pipeline lacks of Gymnasium's quantities is computed from its (q, qd) by `Kinematics`.
"""

import dataclasses
import importlib

import jax
import jax.numpy as jnp
from brax import actuator
from brax.base import System
from mujoco import mjx

from safety_envs.physics.kinematics import Kinematics, impl_field
from safety_envs.physics.models import brax_model
from safety_envs.physics.types import PhysicsState
from safety_envs.task import Readings, Task

PIPELINES = ("generalized", "spring", "positional", "mjx")


class BraxPipeline:
    """`Physics` of one of Brax's pipelines, with Brax's own model of the task."""

    def __init__(self, task: Task, backend: str):
        """Loads the model and changes it as the task says for this backend."""
        system = brax_model(task.brax_model.file)
        frame_skip, changes = task.brax_model.changes.get(backend, (task.frame_skip, {}))
        self.system = system.tree_replace({name: jnp.asarray(value) for name, value in changes.items()})
        self._frame_skip = frame_skip
        self._pipeline = importlib.import_module(f"brax.{backend}.pipeline")
        self._kinematics = Kinematics(task)
        self._contact_force = "contact_force" in task.fields
        self._mjx = backend == "mjx"
        self._actuator_force = "actuator_force" in task.fields

        offset = jnp.zeros_like(system.init_q)
        for joint, value in task.brax_model.q_offset.items():
            offset = offset.at[joint].set(value)
        self._offset = offset if task.brax_model.q_offset else None
        self.q0 = self._from_brax(system.init_q)
        self.nv = system.qd_size()
        self.action_size = system.act_size()
        self.action_range = system.actuator.ctrl_range
        self.dt = float(self.system.opt.timestep) * frame_skip

    def init(self, system: System, q: jax.Array, qd: jax.Array) -> PhysicsState:
        """The pipeline's state at q [nq], qd [nv]."""
        brax_q = q if self._offset is None else q - self._offset
        engine = self._pipeline.init(system, brax_q, qd)
        action = jnp.zeros(self.action_size)
        readings = self._readings(system, engine, action, at_reset=True)
        return PhysicsState(
            engine=engine, readings=dataclasses.replace(readings, velocity=jnp.zeros_like(readings.point))
        )

    def step(self, system: System, state: PhysicsState, action: jax.Array) -> PhysicsState:
        """One control step under `action` [A]."""

        def once(engine, _):
            return self._pipeline.step(system, engine, action), None

        engine, _ = jax.lax.scan(once, state.engine, length=self._frame_skip)
        readings = self._readings(system, engine, action, at_reset=False)
        velocity = (readings.point - state.readings.point) / self.dt
        return PhysicsState(engine=engine, readings=dataclasses.replace(readings, velocity=velocity))

    def _from_brax(self, q: jax.Array) -> jax.Array:
        return q if self._offset is None else q + self._offset

    def _readings(self, system: System, engine, action: jax.Array, at_reset: bool) -> Readings:
        q, qd = self._from_brax(engine.q), engine.qd
        readings = self._kinematics(q, qd)
        if self._actuator_force:
            readings = dataclasses.replace(
                readings, actuator_force=actuator.to_tau(system, action, engine.q, engine.qd)
            )
        if self._contact_force:
            rows = jnp.zeros((self._kinematics.num_bodies, 6))
            if self._mjx and not at_reset:
                rows = rows.at[self._kinematics.rows_of(system)].set(_contact_force(system, engine))
            readings = dataclasses.replace(readings, contact_force=rows)
        return readings


def _contact_force(system: System, engine) -> jax.Array:
    """MJX's cfrc_ext of the last physics step, by Brax's bodies."""
    return impl_field(mjx.rne_postconstraint(system, engine), "cfrc_ext")
