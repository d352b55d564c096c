"""MuJoCo Warp as `Physics`: MJX's implementation in NVIDIA's Warp, which also runs on a CPU, slowly.

It steps all worlds (environments x lanes) in one call, on one `mjx.Data` whose contact buffers they share. The state
kept between control steps is therefore only what each world has of its own, and `mjx.Data` is made in every step.
"""

import dataclasses
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
from mujoco import mjx

from safety_envs.physics.engine_system import EngineSystem
from safety_envs.physics.kinematics import Kinematics
from safety_envs.physics.models import brax_model, on_this_host
from safety_envs.physics.types import PhysicsState
from safety_envs.physics.warp_support import (
    constraint_room,
    contact_room,
    empty_data,
    overflowed,
    quiet_solver,
    require_warp,
)
from safety_envs.physics.worlds import one_world
from safety_envs.task import Task

# MuJoCo's defaults. Brax's files have 4, for loops of a fixed length; Warp stops as soon as all worlds have converged.
_ITERATIONS, _LS_ITERATIONS = 100, 50


@flax.struct.dataclass
class WarpState:
    """What a world has of its own between control steps.

    Attributes:
      q: [nq] generalised positions, of Brax's model.
      qd: [nv] generalised velocities.
      act: [na] activations of the actuators.
      warmstart: [nv] accelerations from which the contact solver starts.
    """

    q: jax.Array
    qd: jax.Array
    act: jax.Array
    warmstart: jax.Array


class WarpEngine:
    """`Physics` of the `warp` backend, with Brax's model of the task, as the `mjx` backend has it."""

    def __init__(self, task: Task):
        """Loads the model.

        Raises:
          ValueError: Warp is not installed, or does not run on this device, or max_contacts is out of its range.
        """
        require_warp()
        if task.max_contacts is not None and task.max_contacts < 1:  # Warp finds no contacts at all in no room
            raise ValueError(f"max_contacts is {task.max_contacts}; it must be at least 1")
        system = brax_model(task.brax_model.file)
        frame_skip, changes = task.brax_model.changes.get("warp", (task.frame_skip, {}))
        self._frame_skip = frame_skip
        self._mj_model = model = system.mj_model
        self._contact_force = "contact_force" in task.fields
        with on_this_host():
            put = mjx.put_model(model, impl="warp")
        put = put.replace(opt=put.opt.replace(iterations=_ITERATIONS, ls_iterations=_LS_ITERATIONS))
        self._model = quiet_solver(put, run_rne_postconstraint=self._contact_force)
        self._actuator_force = "actuator_force" in task.fields
        self._kinematics = Kinematics(task)
        self._rows = self._kinematics.rows_of(system) if self._contact_force else None
        self._contacts = contact_room(model) if task.max_contacts is None else task.max_contacts
        self._constraints = constraint_room(model, self._contacts)

        offset = jnp.zeros_like(system.init_q)
        for joint, value in task.brax_model.q_offset.items():
            offset = offset.at[joint].set(value)
        self._offset = offset
        self.system = EngineSystem(changes={}, model=model, varying=_varying()).tree_replace(dict(changes))
        self.q0 = system.init_q + offset
        self.nv = model.nv
        self.action_size = model.nu
        self.action_range = system.actuator.ctrl_range
        self.dt = float(model.opt.timestep) * frame_skip

    def init(self, system: EngineSystem, q: jax.Array, qd: jax.Array) -> PhysicsState:
        """The state at q [nq], qd [nv]; nothing is stepped, and the solver starts cold."""
        del system
        readings = self._kinematics(q, qd)
        if self._actuator_force:
            readings = dataclasses.replace(readings, actuator_force=jnp.zeros(self.nv))
        if self._contact_force:
            readings = dataclasses.replace(readings, contact_force=jnp.zeros((self._kinematics.num_bodies, 6)))
        engine = WarpState(q=q - self._offset, qd=qd, act=jnp.zeros(self._mj_model.na), warmstart=jnp.zeros(self.nv))
        return PhysicsState(
            engine=engine, readings=dataclasses.replace(readings, velocity=jnp.zeros_like(readings.point))
        )

    def step(self, system: EngineSystem, state: PhysicsState, action: jax.Array) -> PhysicsState:
        """One control step under `action` [A]. A world that overflows, or whose action is not finite, becomes nan."""
        system.check_shapes()
        fields = tuple(system.changes)
        before: WarpState = state.engine

        def all_worlds(count: int, mapped: tuple[bool, ...], leaves: list[jax.Array]) -> tuple[jax.Array, ...]:
            axes = [0 if each else None for each in mapped]
            advance = jax.vmap(self._advance(fields, count), in_axes=axes, axis_size=count)
            return advance(*leaves)

        changed = [jnp.asarray(system.changes[field], jnp.float32) for field in fields]
        q, qd, act, warmstart, actuator_force, contact_force = one_world(all_worlds)(
            before.q, before.qd, before.act, before.warmstart, action.astype(jnp.float32), *changed
        )
        readings = self._kinematics(q + self._offset, qd)
        if self._actuator_force:
            readings = dataclasses.replace(readings, actuator_force=actuator_force)
        if self._contact_force:
            rows = jnp.zeros((self._kinematics.num_bodies, 6)).at[self._rows].set(contact_force)
            readings = dataclasses.replace(readings, contact_force=rows)
        velocity = (readings.point - state.readings.point) / self.dt
        return PhysicsState(
            engine=WarpState(q=q, qd=qd, act=act, warmstart=warmstart),
            readings=dataclasses.replace(readings, velocity=velocity),
        )

    def _advance(self, fields: tuple[str, ...], count: int) -> Any:
        """A control step of one of `count` worlds, to be vmapped over all of them."""
        empty = empty_data(self._mj_model, count * self._contacts, self._constraints)

        def advance(q, qd, act, warmstart, action, *changed: jax.Array) -> tuple[jax.Array, ...]:
            model = self._model.tree_replace(dict(zip(fields, changed, strict=True)))
            data = empty.replace(qpos=q, qvel=qd, act=act, qacc_warmstart=warmstart, ctrl=action)
            data, _ = jax.lax.scan(lambda d, _: (mjx.step(model, d), None), data, length=self._frame_skip)
            broken = overflowed(data) | ~jnp.all(jnp.isfinite(action))
            inner: Any = data._impl
            results = (data.qpos, data.qvel, data.act, data.qacc_warmstart, data.qfrc_actuator, inner.cfrc_ext)
            return jax.tree.map(lambda x: jnp.where(broken, jnp.nan, x), results)

        return advance


def _varying() -> frozenset[str]:
    """Fields of the model that may differ between Warp's worlds."""
    from mujoco.mjx.warp import types

    return frozenset(name.replace("__", ".") for name, varies in types._BATCH_DIM["Model"].items() if varies)
