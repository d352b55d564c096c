"""Simulations of one model on the threads of MuJoCo's batch API: arrays in, arrays out, nothing kept between calls."""

import functools
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
from mujoco.batch import Batch, SimulationError

from safety_envs.task import Task

# The integration state but for what the tasks never set (applied forces, mocap bodies, equality switches).
STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS | mujoco.mjtState.mjSTATE_WARMSTART
_BEHIND_CONTROL = STATE & ~(2 * mujoco.mjtState.mjSTATE_CTRL - 1)
_DATA_FIELDS = {"com_inertia": "cinert", "com_velocity": "cvel", "actuator_force": "qfrc_actuator"}


class EngineBatch:
    """A `mujoco.batch.Batch` and the parts of its arrays that a task needs.

    A row of its states holds the numbers of STATE and the D coordinates of the task's point; a row of its readings
    holds the numbers of `Readings`. Its methods may be called by several threads; one at a time does its work.
    """

    def __init__(
        self, model: mujoco.MjModel, task: Task, slices: Mapping[str, slice], count: int, changed: Sequence[str]
    ):
        """Allocate the simulations.

        Args:
          model: the task's model.
          task: the task.
          slices: field of `Readings` -> its place in a row of the readings.
          count: number of simulations.
          changed: fields of the model that have a value for each simulation.
        """
        self._lock = threading.Lock()
        self._model, self._frame_skip, self._dt = model, task.frame_skip, model.opt.timestep * task.frame_skip
        # Contact forces are not computed by a step but from all that it leaves in the MjData.
        self._post_constraint = "contact_force" in task.fields
        self._data: Any = mujoco.MjData(model) if self._post_constraint else None
        self._batch = batch = Batch(model, count, min(num_threads(), count), persistent=self._post_constraint)
        self._changes = [batch.expand(name) for name in changed]
        self._size = mujoco.mj_stateSize(model, int(STATE))
        # A row of the batch begins with STATE if MuJoCo puts none of it behind the control.
        assert mujoco.mj_stateSize(model, int(_BEHIND_CONTROL)) == 0, task.model
        self._state = batch.state[:, : self._size]
        self._control = batch.state[:, self._size : self._size + model.nu]
        q = mujoco.mj_stateSize(model, int(mujoco.mjtState.mjSTATE_TIME))
        self._warning = batch.warning
        self._q_qd = batch.state[:, q : q + model.nq + model.nv]
        self._point_of = self._point_reader(task.point, changed)
        self._point, self._velocity = slices["point"], slices["velocity"]

        outputs = {name: batch.bind(field) for name, field in _DATA_FIELDS.items() if name in task.fields}
        if self._post_constraint:
            outputs["contact_force"] = self._contact_force = np.zeros((count, model.nbody, 6))
        self._outputs = [(slice(slices["q"].start, slices["qd"].stop), self._q_qd)]
        self._outputs += [(slices[name], values.reshape(count, -1)) for name, values in outputs.items()]
        for i, body in enumerate(task.bodies):
            start = slices["bodies"].start + 3 * i
            self._outputs.append((slice(start, start + 3), batch.bind("xpos")[:, model.body(body).id]))

    def start(self, changes: Sequence[np.ndarray], q_qd: np.ndarray, states: np.ndarray, readings: np.ndarray) -> None:
        """The simulations at time 0, as after Gymnasium's `set_state` on a fresh `MjData`.

        Args:
          changes: values of the changed fields, each [count, ...].
          q_qd: [count, nq + nv] generalised positions and velocities.
          states: [count, S] float64, is written.
          readings: [count, R] float32, is written.
        """
        with self._lock:
            self._batch.reset(stage=mujoco.mjtStage.mjSTAGE_NONE)
            self._q_qd[:] = q_qd
            if self._post_constraint:
                self._contact_force[:] = 0  # a reset leaves cfrc_ext zero
            self._call(lambda: self._attempt(self._batch.forward), changes, states, readings)

    def step(
        self,
        changes: Sequence[np.ndarray],
        before: np.ndarray,
        action: np.ndarray,
        states: np.ndarray,
        readings: np.ndarray,
    ) -> None:
        """One control step, as Gymnasium's `do_simulation`.

        A simulation with a control that is not finite, or in which MuJoCo meets an error or warns, is NaN from then on.

        Args:
          changes: as in start.
          before: [count, S] float64.
          action: [count, A].
          states: [count, S] float64, is written.
          readings: [count, R] float32, is written.
        """
        with self._lock:
            self._state[:] = before[:, : self._size]
            self._control[:] = action
            self._call(self._advance, changes, states, readings, before[:, self._size :])
            finite = np.isfinite(action)  # MuJoCo takes nan for zero and clamps infinity
            if not finite.all():
                broken = ~finite.all(axis=1)
                states[broken] = readings[broken] = np.nan

    def _call(self, function: Callable[[], bool], changes, states, readings, point_before=None) -> None:
        """Call the batch, and write what comes out. The velocity is 0 if there is no point from before.

        The engine takes some hundred microseconds for 64 small models, so every microsecond here counts.
        """
        for field, values in zip(self._changes, changes, strict=True):
            field[...] = values
        self._warning[...] = 0
        done = function()
        states[:, : self._size] = self._state
        states[:, self._size :] = point = self._point_of()
        with np.errstate(over="ignore", invalid="ignore"):
            readings[:, self._point] = point
            readings[:, self._velocity] = 0 if point_before is None else (point - point_before) / self._dt
            for where, values in self._outputs:
                readings[:, where] = values
        if self._warning.any() or not done:
            broken = self._warning.any(axis=(1, 2)) | (self._batch.status != 0)
            states[broken] = readings[broken] = np.nan

    @staticmethod
    def _attempt(method: Callable[..., None], **options: Any) -> bool:
        """Whether all simulations are done. A simulation that met an error has a status; the others are done."""
        try:
            method(**options)
        except SimulationError:
            return False
        return True

    def _advance(self) -> bool:
        done = self._attempt(self._batch.step, nstep=self._frame_skip)
        if self._post_constraint:  # as Gymnasium does; contact forces depend on no field that may be changed
            for i, force in enumerate(self._contact_force):
                self._batch.get_data(i, self._data)
                mujoco.mj_rnePostConstraint(self._model, self._data)
                force[:] = self._data.cfrc_ext
        return done

    def _point_reader(self, point: str, changed: Sequence[str]) -> Callable[[], np.ndarray]:
        """What gives the coordinates [count, D] of the task's point."""
        if point == "x":
            x = self._q_qd[:, :1]
            return lambda: x
        if point == "center_of_mass":
            mass = self._batch.expand("body_mass") if "body_mass" in changed else self._model.body_mass
            product = functools.partial(np.einsum, "nb,nbj->nj" if mass.ndim == 2 else "b,nbj->nj", mass)
            position = self._batch.bind("xipos")
            return lambda: product(position)[:, :2] / mass.sum(axis=-1, keepdims=True)
        position = self._batch.bind("xpos")[:, self._model.body(point).id, :2]
        return lambda: position


def num_threads() -> int:
    """Number of CPUs that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
