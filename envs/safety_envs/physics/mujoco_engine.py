"""The MuJoCo C engine as a pure function of the full physics state.

The engine computes in float64. Its state crosses the jitted program, which has float32 only, as the bits: pairs of
uint32. So a trajectory is bitwise the one that Gymnasium gives, and nothing is kept on the host between calls.
"""

import copy
import functools
import hashlib
import itertools
import math

import flax.struct
import jax
import jax.numpy as jnp
import mujoco
import numpy as np

from safety_envs.physics.engine_batch import STATE, EngineBatch
from safety_envs.physics.engine_system import EngineSystem
from safety_envs.physics.host_call import HostFunction, host_call
from safety_envs.physics.models import gymnasium_model
from safety_envs.physics.types import PhysicsState
from safety_envs.task import Readings, Task

_MOST_BATCHES = 8  # kept by an engine, each with its threads: one for a number of environments and the changed fields
_MOST_PERSISTENT = 64  # rows of a batch that keeps an MjData (0.5 MB and more) for each


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
        self._task = task
        self._batch = functools.lru_cache(maxsize=_MOST_BATCHES)(self._new_batch)

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
        self._state_size = mujoco.mj_stateSize(model, int(STATE)) + point_size

    @functools.cached_property
    def identity(self) -> bytes:
        """What the host functions depend on, the same in every process."""
        buffer = np.empty(mujoco.mj_sizeModel(self._model), np.uint8)
        mujoco.mj_saveModel(self._model, None, buffer)
        task = self._task
        texts = repr((task.frame_skip, task.point, task.bodies, sorted(task.fields))).encode()
        return hashlib.sha256(buffer.tobytes() + texts).digest()

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
        return self._run("start", q_qd.shape[:-1], changes, q_qd)

    def host_step(self, bits: np.ndarray, action: np.ndarray, changes: dict[str, np.ndarray]) -> tuple[np.ndarray, ...]:
        """[..., 2 S] uint32, [..., A] float32 -> the next state's bits and the readings."""
        return self._run("step", bits.shape[:-1], changes, np.ascontiguousarray(bits).view(np.float64), action)

    def _run(self, name: str, shape: tuple[int, ...], changes: dict[str, np.ndarray], *inputs: np.ndarray) -> tuple:
        """A method of `EngineBatch` on all simulations of a shape; those that keep much memory are done in parts."""
        count = math.prod(shape)
        states, readings = np.empty((count, self._state_size)), np.empty((count, self._readings_size), np.float32)
        arrays = [array.reshape(count, *array.shape[len(shape) :]) for array in (*changes.values(), *inputs)]
        arrays += [states, readings]
        most = _MOST_PERSISTENT if "contact_force" in self._task.fields else count
        for begin in range(0, count, most):
            parts = [array[begin : begin + most] for array in arrays]
            batch = self._batch(min(most, count - begin), tuple(changes))
            getattr(batch, name)(parts[: len(changes)], *parts[len(changes) :])
        return states.view(np.uint32).reshape(*shape, -1), readings.reshape(*shape, -1)

    def _new_batch(self, count: int, changed: tuple[str, ...]) -> EngineBatch:
        return EngineBatch(self._model, self._task, self._slices, count, changed)
