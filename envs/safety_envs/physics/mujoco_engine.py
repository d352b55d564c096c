"""The MuJoCo C engine as a pure function of the full physics state.

The engine computes in float64. Its state crosses the jitted program, which has float32 only, as the bits: pairs of
uint32. So a trajectory is bitwise the one that Gymnasium gives, and nothing is kept on the host between calls.
"""

import concurrent.futures
import contextlib
import copy
import functools
import itertools
import os
from collections.abc import Iterator

import flax.struct
import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from safety_envs.physics.engine_system import EngineSystem, model_field
from safety_envs.physics.host_call import HostFunction, host_call
from safety_envs.physics.models import gymnasium_model
from safety_envs.physics.types import PhysicsState
from safety_envs.task import Readings, Task

# The integration state but for what the tasks never set (applied forces, mocap bodies, equality switches).
_STATE = mujoco.mjtState.mjSTATE_FULLPHYSICS | mujoco.mjtState.mjSTATE_WARMSTART
_STATE_AND_CONTROL = _STATE | mujoco.mjtState.mjSTATE_CTRL
_BEHIND_CONTROL = _STATE & ~(2 * mujoco.mjtState.mjSTATE_CTRL - 1)


@flax.struct.dataclass
class EngineState:
    """Attributes: bits: [2 S] uint32, the bits of the S float64 numbers of the state and the task's point."""

    bits: jax.Array


class MujocoEngine:
    """`Physics` of the `mujoco` backend. Its host functions may run in several threads at once."""

    def __init__(self, task: Task):
        """Loads Gymnasium's model of the task."""
        # Physics that diverge are to be seen (not finite), not silently put back to the reference position.
        model = copy.copy(gymnasium_model(task.model))
        model.opt.disableflags |= mujoco.mjtDisableBit.mjDSBL_AUTORESET
        self._model = model
        self._frame_skip = task.frame_skip
        self._bodies = [model.body(name).id for name in task.bodies]
        self._fields = task.fields
        self._point = task.point
        # Not one per thread: Python forgets the state of a thread that XLA calls back from after every call.
        # By the fields that were changed in the model: changes of other fields would stay behind.
        self._idle: dict[tuple[str, ...], list[tuple[mujoco.MjModel, mujoco.MjData]]] = {}

        self.system = EngineSystem(changes={}, model=model)
        self.q0 = jnp.asarray(model.qpos0, jnp.float32)
        self.nv = model.nv
        self.action_size = model.nu
        self.action_range = model.actuator_ctrlrange.copy()
        self.dt = model.opt.timestep * task.frame_skip

        point_size = 1 if task.point == "x" else 2
        shapes: dict[str, tuple[int, ...]] = {
            "q": (model.nq,),
            "qd": (model.nv,),
            "point": (point_size,),
            "velocity": (point_size,),
            "bodies": (len(task.bodies), 3),
            "com_inertia": (model.nbody, 10),
            "com_velocity": (model.nbody, 6),
            "actuator_force": (model.nv,),
            "contact_force": (model.nbody, 6),
        }
        always = ("q", "qd", "point", "velocity") + (("bodies",) if task.bodies else ())
        self._shapes = {name: shape for name, shape in shapes.items() if name in always + task.fields}
        sizes = [int(np.prod(shape)) for shape in self._shapes.values()]
        ends = list(itertools.accumulate(sizes))
        self._slices = {name: slice(end - size, end) for name, size, end in zip(self._shapes, sizes, ends, strict=True)}
        self._readings_size = sum(sizes)
        self._physics_size = mujoco.mj_stateSize(model, int(_STATE))
        self._state_size = self._physics_size + point_size
        self._q_start = mujoco.mj_stateSize(model, int(mujoco.mjtState.mjSTATE_TIME))
        # A control is appended to a state's numbers, so what MuJoCo puts behind the control must be empty.
        assert mujoco.mj_stateSize(model, int(_BEHIND_CONTROL)) == 0, task.model

    def init(self, system: EngineSystem, q: jax.Array, qd: jax.Array) -> PhysicsState:
        """The state at q [nq], qd [nv], as after Gymnasium's `set_state` on a fresh `MjData`."""
        return self._call("init", system, jnp.concatenate([q, qd]).astype(jnp.float32))

    def step(self, system: EngineSystem, state: PhysicsState, action: jax.Array) -> PhysicsState:
        """One control step under `action` [A], as Gymnasium's `do_simulation`."""
        if action.shape != (self.action_size,):
            raise ValueError(f"action has shape {action.shape}; it must be {(self.action_size,)}")
        return self._call("step", system, state.engine.bits, action.astype(jnp.float32))

    def _call(self, name: str, system: EngineSystem, *args: jax.Array) -> PhysicsState:
        results = (
            jax.ShapeDtypeStruct((2 * self._state_size,), jnp.uint32),
            jax.ShapeDtypeStruct((self._readings_size,), jnp.float32),
        )
        system.check_shapes()
        fields = tuple(system.changes)
        bits, flat = host_call(
            HostFunction(self, name, tuple(fields)), results, *args, *(jnp.asarray(system.changes[f]) for f in fields)
        )
        readings = {name: flat[where].reshape(self._shapes[name]) for name, where in self._slices.items()}
        return PhysicsState(engine=EngineState(bits=bits), readings=Readings(**readings))

    # What follows runs on the host, on NumPy arrays with any leading axes.

    def host_init(self, q_qd: np.ndarray, changes: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """[..., nq + nv] float32 -> the state's bits and the readings."""
        rows = q_qd.reshape(-1, q_qd.shape[-1]).astype(np.float64)
        nq = self._model.nq

        def start(model, data, row):
            mujoco.mj_resetData(model, data)
            data.qpos[:] = row[:nq]
            data.qvel[:] = row[nq:]
            mujoco.mj_forward(model, data)

        return self._run(start, rows, None, changes, q_qd.shape[:-1])

    def host_step(self, bits: np.ndarray, action: np.ndarray, changes: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """[..., 2 S] uint32, [..., A] float32 -> the next state's bits and the readings."""
        states = np.ascontiguousarray(bits).view(np.float64).reshape(-1, self._state_size)
        actions = action.reshape(-1, self.action_size)
        rows = np.concatenate([states[:, : self._physics_size], actions], axis=1)
        frame_skip, post_constraint = self._frame_skip, "contact_force" in self._fields
        spec, set_state, step = int(_STATE_AND_CONTROL), mujoco.mj_setState, mujoco.mj_step

        def advance(model, data, row):
            set_state(model, data, row, spec)
            step(model, data, frame_skip)
            if post_constraint:  # as Gymnasium does; a reset leaves cfrc_ext zero
                mujoco.mj_rnePostConstraint(model, data)

        next_bits, readings = self._run(advance, rows, states[:, self._physics_size :], changes, bits.shape[:-1])
        # MuJoCo takes a control that is not finite for zero; here it is the policy's error, to be seen from now on.
        broken = ~np.isfinite(actions).all(axis=1).reshape(bits.shape[:-1])
        next_bits.view(np.float64)[broken] = np.nan
        readings[broken] = np.nan
        return next_bits, readings

    def _run(self, advance, rows, point_before, changes, batch_shape) -> tuple[np.ndarray, ...]:
        """Advances every row on the thread pool, and packs what comes out."""
        count = len(rows)
        states = np.empty((count, self._state_size))
        raw = {"x": np.empty((count, self._model.nbody, 3))} if self._point != "x" or self._bodies else {}
        for name in self._fields:
            raw[name] = np.empty((count, *self._shapes[name]))
        flat_changes = {k: v.reshape(count, *v.shape[len(batch_shape) :]) for k, v in changes.items()}
        # Threads take the next row as they get free: some take longer. An iterator's next is atomic.
        workers = min(_num_threads(), count)
        turns = iter(range(count))
        # Views made all at once: made one by one they take as long as MuJoCo's call.
        views = list(rows), list(states[:, : self._physics_size])
        work = functools.partial(self._run_rows, advance, *views, raw, flat_changes, turns)
        others = [_pool().submit(work) for _ in range(workers - 1)]
        try:
            work()
        finally:  # the arguments are XLA's, and gone when this function returns
            concurrent.futures.wait(others)
        for other in others:
            other.result()
        readings = self._pack(states, raw, point_before)
        return (
            states.view(np.uint32).reshape(*batch_shape, 2 * self._state_size),
            readings.reshape(*batch_shape, self._readings_size),
        )

    def _run_rows(self, advance, rows, states, raw, changes, turns) -> None:
        spec, get_state = int(_STATE), mujoco.mj_getState
        with self._model_and_data(tuple(changes)) as (model, data):
            copies = [(raw[name], getattr(data, _DATA_FIELDS[name])) for name in self._fields]
            if "x" in raw:
                copies.append((raw["x"], data.xipos if self._point == "center_of_mass" else data.xpos))
            for i in turns:
                for name, values in changes.items():
                    model_field(model, name)[...] = values[i]
                advance(model, data, rows[i])
                get_state(model, data, states[i], spec)
                for out, value in copies:
                    out[i] = value

    def _pack(self, states, raw, point_before) -> np.ndarray:
        """The readings in float32 [B, R]; writes the point's position behind each state."""
        model, q = self._model, self._q_start
        if self._point == "x":
            point = states[:, q : q + 1]
        elif self._point == "center_of_mass":
            point = np.einsum("b,nbj->nj", model.body_mass, raw["x"])[:, :2] / model.body_mass.sum()
        else:
            point = raw["x"][:, model.body(self._point).id, :2]
        states[:, self._physics_size :] = point
        velocity = np.zeros_like(point) if point_before is None else (point - point_before) / self.dt
        fields = {
            "q": states[:, q : q + model.nq],
            "qd": states[:, q + model.nq : q + model.nq + model.nv],
            "point": point,
            "velocity": velocity,
            **({"bodies": raw["x"][:, self._bodies]} if self._bodies else {}),
            **{name: raw[name] for name in self._fields},
        }
        readings = np.empty((len(states), self._readings_size), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            for name, where in self._slices.items():
                readings[:, where] = fields[name].reshape(len(states), -1)
        return readings

    @contextlib.contextmanager
    def _model_and_data(self, changed: tuple[str, ...]) -> Iterator[tuple[mujoco.MjModel, mujoco.MjData]]:
        """A model and an `MjData` that no other thread uses; a model that will be changed is a copy."""
        idle = self._idle.setdefault(changed, [])
        try:
            taken = idle.pop()
        except IndexError:
            model = copy.copy(self._model) if changed else self._model
            taken = model, mujoco.MjData(model)
        try:
            yield taken
        finally:
            idle.append(taken)


_DATA_FIELDS = {
    "com_inertia": "cinert",
    "com_velocity": "cvel",
    "actuator_force": "qfrc_actuator",
    "contact_force": "cfrc_ext",
}


def _num_threads() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@functools.cache
def _pool() -> concurrent.futures.ThreadPoolExecutor:
    return concurrent.futures.ThreadPoolExecutor(max_workers=_num_threads(), thread_name_prefix="mujoco")
