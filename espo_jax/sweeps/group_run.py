"""A group of lanes at work: it can be stopped at any time, and goes on to the same numbers."""

import time
from typing import Any, NamedTuple

import flax.serialization
import flax.traverse_util
import jax
import numpy as np
import pyarrow as pa

from espo_jax.algorithms.iteration import Algorithm
from espo_jax.algorithms.metrics import Metrics, fetch
from espo_jax.evaluation import Episodes
from espo_jax.loop import Budget, IterationError, NegativeCostError, nonfinite_error
from espo_jax.runs import files
from espo_jax.runs.checkpoints import Checkpoints, Schedule
from espo_jax.runs.restore import restore
from espo_jax.runs.result import FINISHED, NEGATIVE_COST, NONFINITE
from espo_jax.sweeps import columns
from espo_jax.sweeps.folder import CHECKPOINTS, POLICIES, SweepFolder
from espo_jax.sweeps.manifest import Group
from espo_jax.sweeps.plan import keys_of, seeds_of
from espo_jax.sweeps.program import Compiled, Places

RUNNING = "running"
_FAILURES = {1: nonfinite_error, 2: NegativeCostError}


class GroupState(NamedTuple):
    """What a checkpoint of a group holds.

    Args:
      lanes: TrainState [n].
      failure: [n] int32 why a lane stopped; 0 for any other lane. Its lowest two bits are one of _FAILURES; the bits
        above them are the metric (nonfinite or negative_costs), which the first version with sweeps left out.
      seconds: [n] float32 wall time of a lane: of each iteration of the group its part by samples.
      iteration: [] int32 number of iterations of the group.
      parts: [] int32 number of files of metrics.
    """

    lanes: Any
    failure: Any
    seconds: Any
    iteration: Any
    parts: Any


def abstract_state(algorithm: Algorithm, group: Group) -> GroupState:
    """Shapes and types of the state of a group."""
    hyperparams = group.program.hyperparams(group.lanes)
    lanes = jax.eval_shape(jax.vmap(algorithm.init), keys_of(group.lanes), hyperparams)
    return _beginning(len(group.lanes))._replace(lanes=lanes)


def identity_of(group: Group) -> dict[str, Any]:
    """Settings that a checkpoint of the group was written with. A checkpoint with others is refused."""
    return {"group": group.name, "lanes": len(group.lanes)}


def _beginning(count: int) -> GroupState:
    """The state of a group before its first iteration, without its lanes."""
    return GroupState((), np.zeros(count, np.int32), np.zeros(count, np.float32), np.int32(0), np.int32(0))


def _failure_of(metrics: Metrics) -> np.ndarray:
    """Why each lane stops after an iteration with these metrics, as `GroupState.failure`."""
    nonfinite, negative = (np.asarray(x, np.int64) for x in (metrics.nonfinite, metrics.negative_costs))
    negative = np.minimum(negative, 2**28)
    return np.where(nonfinite != 0, nonfinite << 2 | 1, np.where(negative != 0, negative << 2 | 2, 0))


class Turn(NamedTuple):
    """An iteration of all lanes that are at work.

    Args:
      metrics: Metrics [n] on the host.
      active: [n] bool, the lanes that took part.
      failed: index of a lane that stopped in it -> why.
      seconds: wall time.
    """

    metrics: Metrics
    active: np.ndarray
    failed: dict[int, IterationError]
    seconds: float


class GroupRun:
    """A group at work; the process must hold its lock, see `SweepFolder.locked`.

    Attributes:
      lanes: its lanes.
      notes: one line for each checkpoint that was passed over.
      iterations, env_steps: [n] of each lane.
    """

    def __init__(self, folder: SweepFolder, group: Group, compiled: Compiled):
        """Begin, or go on at the newest checkpoint.

        Raises:
          ValueError: there are checkpoints, and none can be used.
          OSError: the folder cannot be written to.
        """
        self.folder, self.group, self.lanes, self._compiled = folder, group, group.lanes, compiled
        options = group.program.options
        self._budgets = [
            Budget.create(int(lane.config.hyperparams["num_iterations"]), lane.config.options.num_timesteps)
            for lane in self.lanes
        ]
        self._places = Places.of(len(self.lanes), compiled.size, len(compiled.devices))
        self._hyperparams = compiled.put(self._places.spread(group.program.hyperparams(self.lanes)))
        self._tables: list[pa.Table] = []

        path = folder.group_path(group) / CHECKPOINTS
        restored = restore(path, abstract_state(compiled.algorithm, group), identity_of(group))
        self.notes = restored.notes if restored else ()
        if restored:
            self._rest = jax.device_get(restored.state._replace(lanes=()))
            self._states = compiled.put(self._places.spread(restored.state.lanes))
        else:
            self._rest = _beginning(len(self.lanes))
            keys = compiled.put(self._places.spread(keys_of(self.lanes)))
            self._states = compiled.init(keys, self._hyperparams)
        self.iterations, self.env_steps = self._progress()
        folder.go_back_to(group, int(self._rest.parts))
        schedule = Schedule(options.checkpoint_iterations, options.checkpoint_minutes)
        self._checkpoints = Checkpoints(path, schedule, identity_of(group), restored)

    def __enter__(self) -> "GroupRun":
        """Nothing is to be done."""
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        """End the threads of the checkpoints' writer."""
        self._checkpoints.__exit__(kind, *error)

    @property
    def used(self) -> np.ndarray:
        """[n] share of each lane's budget that is used up."""
        progress = zip(self._budgets, self.iterations, self.env_steps, strict=True)
        return np.array([budget.fraction(int(iteration), int(steps)) for budget, iteration, steps in progress])

    @property
    def active(self) -> np.ndarray:
        """[n] bool, the lanes whose budget is not used up and that did not fail."""
        return (self.used < 1) & (self._rest.failure == 0)

    @property
    def failed(self) -> dict[int, IterationError]:
        """Index of each lane that stopped -> why."""
        found = {}
        for n in np.flatnonzero(self._rest.failure):
            kind, metric = _FAILURES[self._rest.failure[n] & 3], int(self._rest.failure[n] >> 2)
            found[int(n)] = kind(int(self.iterations[n]) + 1, metric)
        return found

    @property
    def status(self) -> list[str]:
        """How each lane stands: RUNNING, FINISHED, NONFINITE or NEGATIVE_COST."""
        found = [RUNNING if active else FINISHED for active in self.active]
        for n, error in self.failed.items():
            found[n] = NEGATIVE_COST if isinstance(error, NegativeCostError) else NONFINITE
        return found

    @property
    def seconds(self) -> np.ndarray:
        """[n] wall time of each lane, in seconds."""
        return self._rest.seconds

    def turn(self) -> Turn:
        """One iteration of every active lane; their metrics are kept for the next part."""
        begin = time.perf_counter()
        active = self.active
        place = np.zeros(self._compiled.size, bool)
        place[self._places.place] = active
        self._states, metrics = self._compiled.step(self._states, self._hyperparams, self._compiled.put(place))
        measured = self._places.gather(fetch(metrics))
        seconds = time.perf_counter() - begin
        share = np.where(active, measured.sample_size, 0) / max(1, measured.sample_size[active].sum())
        self._rest = self._rest._replace(
            failure=np.where(active, _failure_of(measured), self._rest.failure).astype(np.int32),
            seconds=self._rest.seconds + (share * seconds).astype(np.float32),
            iteration=self._rest.iteration + np.int32(1),
        )
        is_whole = active & (self._rest.failure == 0)
        self.iterations = np.where(is_whole, measured.iteration, self.iterations)
        self.env_steps = np.where(is_whole, measured.env_steps, self.env_steps)
        kept = np.flatnonzero(is_whole)
        if len(kept):
            rate = np.full(len(kept), measured.sample_size[active].sum() / seconds)
            of_kept = jax.tree.map(lambda x: x[kept], measured)
            constraints = self.folder.manifest.num_constraints
            self._tables.append(columns.table_of([self.lanes[i].id for i in kept], of_kept, rate, constraints))
        return Turn(measured, active, {n: error for n, error in self.failed.items() if active[n]}, seconds)

    @property
    def is_due(self) -> bool:
        """Whether a checkpoint is due."""
        return self._checkpoints.due(int(self._rest.iteration))

    def save(self, *, wait: bool = False) -> None:
        """Write the metrics since the last part, and a checkpoint.

        Args:
          wait: whether to wait until the checkpoint is on the disk.

        Raises:
          OSError: a file cannot be written.
        """
        if self._tables:
            self.folder.write_metrics(self.group, int(self._rest.parts), self._tables)
            self._rest = self._rest._replace(parts=self._rest.parts + np.int32(1))
            self._tables = []
        self._checkpoints.save(self._rest._replace(lanes=self._places.gather(self._states)), None)
        if wait:
            self._checkpoints.wait()

    def evaluate(self) -> dict[str, Episodes]:
        """Fresh episodes of each lane's policy, by the kind of policy: Episodes [n] on the host."""
        keys = jax.vmap(lambda seed: jax.random.split(jax.random.key(seed))[1])(seeds_of(self.lanes))
        keys = self._compiled.put(self._places.spread(keys))
        params = jax.vmap(self._compiled.algorithm.params)(self._states)
        return {
            policy: self._places.gather(jax.device_get(evaluate(params, keys)))
            for policy, evaluate in self._compiled.evaluate.items()
        }

    def write_policies(self) -> None:
        """Write the policies of all lanes: the arrays of a policy.npz, each with a first axis of lanes."""
        normalizer, policy, critics = self._places.gather(jax.vmap(self._compiled.algorithm.params)(self._states))
        tree = flax.serialization.to_state_dict({"normalizer": normalizer, "policy": policy, "critics": critics})
        flat = flax.traverse_util.flatten_dict(tree, sep="/")
        arrays = {name: np.asarray(value) for name, value in flat.items()}
        files.write_arrays(self.folder.group_path(self.group) / POLICIES, arrays)

    def _progress(self) -> tuple[np.ndarray, np.ndarray]:
        """Number of iterations and samples of each lane so far: [n], [n] int64."""
        iterations = np.asarray(jax.device_get(self._states.iteration))
        env_steps = np.asarray(self._states.env_steps.to_numpy()).astype(np.int64)
        return iterations[self._places.place], env_steps[self._places.place]
