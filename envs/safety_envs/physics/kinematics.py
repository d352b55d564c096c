"""Gymnasium's quantities as functions of (q, qd).

They are computed by MJX's kinematics on Gymnasium's model, so that they are the same functions of (q, qd) on every
backend that runs Brax's model, and independent of how Brax fuses links.
"""

import copy

import jax
import jax.numpy as jnp
import mujoco
from brax.base import System
from mujoco import mjx

from safety_envs.physics.models import gymnasium_model, on_this_host
from safety_envs.task import Readings, Task


class Kinematics:
    """Gymnasium's quantities as functions of (q, qd), by MJX on Gymnasium's model."""

    def __init__(self, task: Task):
        """Puts Gymnasium's model of the task on the device, if the task reads more than (q, qd)."""
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
        """The readings at q [nq], qd [nv]; velocity and forces are not among them."""
        task = self._task
        if self._mjx_model is None:
            return Readings(q=q, qd=qd, point=q[:1], velocity=jnp.zeros(1))
        data = mjx.make_data(self._mjx_model).replace(qpos=q, qvel=qd)
        data = mjx.kinematics(self._mjx_model, data)
        fields = {}
        if {"com_inertia", "com_velocity"} & set(task.fields):
            data = mjx.com_vel(self._mjx_model, mjx.com_pos(self._mjx_model, data))
            fields = {"com_inertia": impl_field(data, "cinert"), "com_velocity": data.cvel}
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


def impl_field(data: mjx.Data, name: str) -> jax.Array:
    """A field that MJX has moved between `Data` and its implementation part."""
    return getattr(data, name) if hasattr(data, name) else getattr(data._impl, name)
