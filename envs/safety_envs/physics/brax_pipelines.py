"""Brax's pipelines as `Physics`: generalized, spring, positional and mjx.

What a pipeline lacks of Gymnasium's quantities is computed from its (q, qd) by MJX's kinematics on Gymnasium's model,
so that it is the same function of (q, qd) on every backend, and independent of how Brax fuses links.
"""

import copy
import dataclasses
import importlib

import jax
import jax.numpy as jnp
import mujoco
from brax import actuator
from brax.base import System
from mujoco import mjx

from safety_envs.physics.models import brax_model, gymnasium_model, on_this_host
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
        self._kinematics = _Kinematics(task)
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


class _Kinematics:
    """Gymnasium's quantities as functions of (q, qd), by MJX on Gymnasium's model."""

    def __init__(self, task: Task):
        model = copy.copy(gymnasium_model(task.model))
        # Neither matters for kinematics, and MJX refuses some solvers.
        model.opt.solver = mujoco.mjtSolver.mjSOL_NEWTON
        model.opt.integrator = mujoco.mjtIntegrator.mjINT_EULER
        self._model = model
        self._task = task
        self._bodies = [model.body(name).id for name in task.bodies]
        self.num_bodies = model.nbody
        needed = task.bodies or task.point != "x" or {"com_inertia", "com_velocity"} & set(task.fields)
        with on_this_host():
            self._mjx_model = mjx.put_model(model, impl="jax") if needed else None

    def __call__(self, q: jax.Array, qd: jax.Array) -> Readings:
        task = self._task
        if self._mjx_model is None:
            return Readings(q=q, qd=qd, point=q[:1], velocity=jnp.zeros(1))
        data = mjx.make_data(self._mjx_model).replace(qpos=q, qvel=qd)
        data = mjx.kinematics(self._mjx_model, data)
        fields = {}
        if {"com_inertia", "com_velocity"} & set(task.fields):
            data = mjx.com_vel(self._mjx_model, mjx.com_pos(self._mjx_model, data))
            fields = {"com_inertia": _impl(data, "cinert"), "com_velocity": data.cvel}
        if task.bodies:
            fields["bodies"] = data.xpos[jnp.array(self._bodies)]
        if task.point == "x":
            point = q[:1]
        elif task.point == "center_of_mass":
            mass = jnp.asarray(self._model.body_mass, jnp.float32)
            point = (mass @ data.xipos)[:2] / jnp.sum(mass)
        else:
            point = data.xpos[self._model.body(task.point).id, :2]
        return Readings(q=q, qd=qd, point=point, velocity=jnp.zeros_like(point), **fields)

    def rows_of(self, system: System) -> jax.Array:
        """Gymnasium's number of each body of a Brax model, which lacks those that it fused with their parents."""
        bodies = system.mj_model.nbody
        return jnp.array([self._model.body(system.mj_model.body(i).name).id for i in range(bodies)])


def _contact_force(system: System, engine) -> jax.Array:
    """MJX's cfrc_ext of the last physics step, by Brax's bodies."""
    return _impl(mjx.rne_postconstraint(system, engine), "cfrc_ext")


def _impl(data: mjx.Data, name: str) -> jax.Array:
    """A field that MJX has moved between `Data` and its implementation part."""
    return getattr(data, name) if hasattr(data, name) else getattr(data._impl, name)
