"""Checkpoints of a run: orbax writes the whole TrainState in the background."""

import contextlib
import hashlib
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import PreservationPolicy

from espo_jax.runs import files

FORMAT = 3
KEEP_LAST = 2


class Schedule(NamedTuple):
    """When a checkpoint is due: after so many iterations or minutes, whichever comes first.

    Args:
      iterations: number of iterations between checkpoints; 0 disables this interval.
      minutes: number of minutes between checkpoints; inf disables this interval.
    """

    iterations: int
    minutes: float


class BestSafe(NamedTuple):
    """The checkpoint with the highest reward among those within every limit."""

    iteration: int
    reward: float


class Restored(NamedTuple):
    """What `restore` found.

    Args:
      state: TrainState.
      iteration: number of the iteration after which it was saved.
      best: the best safe checkpoint up to this one.
      best_state: TrainState of the best safe checkpoint.
      notes: one line for every checkpoint that was passed over, and for every package of another version.
    """

    state: Any
    iteration: int
    best: BestSafe | None
    best_state: Any
    notes: tuple[str, ...]


class CheckpointError(OSError):
    """A checkpoint could not be written; earlier checkpoints are unchanged."""


class Checkpoints:
    """The writer of a run's checkpoints. It keeps the KEEP_LAST newest ones and the best safe one.

    Attributes:
      best: the best safe one so far.
    """

    def __init__(
        self, path: Path, schedule: Schedule, settings: Mapping[str, Any], restored: "Restored | None" = None
    ) -> None:
        """Open the folder; nothing is written yet.

        Args:
          path: folder of the checkpoints; it is made if it does not exist.
          schedule: when a checkpoint is due.
          settings: settings that the run's numbers depend on; a checkpoint is restored with the same settings only.
          restored: checkpoint from which the run goes on; None for a new run.

        Raises:
          CheckpointError: the folder cannot be written to.
        """
        self.path, self.best = path, restored.best if restored else None
        self._schedule, self._settings = schedule, files.strict(settings)
        self._saved = restored.iteration if restored else None
        self._last_save = time.monotonic()
        # Uncompressed and one folder for each type, so that `restore` can check sizes before it reads. In orbax's OCDBT
        # format a save took 2 to 4 times as long, and a file of 62 kB could claim 2 GB of memory.
        handlers = {
            "state": ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_compression=False),
            "about": ocp.JsonCheckpointHandler(),
        }
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_KeepLastAndBest(self),
            # Otherwise orbax notices only after minutes, by a time-out, that a folder cannot be made.
            async_options=ocp.options.AsyncOptions(create_directories_asynchronously=False),
            multiprocessing_options=_alone(),
            create=False,  # below
        )
        with _reporting(self.path, None):
            path.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(path.absolute(), item_handlers=handlers, options=options)

    def due(self, iteration: int) -> bool:
        """Whether a checkpoint is due after this iteration."""
        iterations, minutes = self._schedule
        return bool(iterations and iteration % iterations == 0) or time.monotonic() - self._last_save >= 60 * minutes

    def save(self, state: Any, record: Mapping[str, Any] | None) -> bool:
        """Save a state. It returns when the state is on the host and the checkpoint before is on the disk.

        Args:
          state: TrainState.
          record: line of metrics.jsonl of the last iteration; None before the first iteration.

        Returns:
          Whether it is the best safe checkpoint so far.

        Raises:
          CheckpointError: this checkpoint, or the one before it, could not be written.
        """
        iteration = int(state.iteration)
        if iteration == self._saved:
            return False
        best = BestSafe(iteration, record["episode_reward"]) if record is not None and is_safe(record) else None
        is_best = best is not None and (self.best is None or best.reward > self.best.reward)
        if is_best:
            self.best = best
        arrays = to_arrays(state)
        metadata = {
            "format": FORMAT,
            "versions": versions(),
            "iteration": iteration,
            "best_safe": self.best._asdict() if self.best else None,
            "settings": self._settings,
            "digest": files.digest(arrays),
        }
        metadata["metadata_digest"] = metadata_digest(metadata)
        items = ocp.args.Composite(state=ocp.args.PyTreeSave(pack(arrays)), about=ocp.args.JsonSave(metadata))
        self.wait()  # orbax would wait too; here an error is reported for the checkpoint that it belongs to
        with _reporting(self.path, iteration):
            self._manager.save(iteration, args=items, force=True)
        self._saved, self._last_save = iteration, time.monotonic()
        return is_best

    def wait(self) -> None:
        """Wait until the last checkpoint is on the disk.

        Raises:
          CheckpointError: it could not be written.
        """
        with _reporting(self.path, self._saved):
            self._manager.wait_until_finished()

    def __enter__(self) -> "Checkpoints":
        """Nothing is to be done."""
        return self

    def __exit__(self, kind: type | None, *error: object) -> None:
        """Wait for the last checkpoint, and end the threads of orbax. An error that is on its way is not replaced."""
        if kind is not None:
            for end in (self.wait, self._manager.close):
                with contextlib.suppress(Exception):
                    end()
            return
        try:
            self.wait()
        finally:
            self._manager.close()


def _alone() -> ocp.options.MultiprocessingOptions:
    """Options with which each process of jax.distributed writes its own checkpoints, and waits for no other process."""
    if jax.process_count() == 1:
        return ocp.options.MultiprocessingOptions()
    own = jax.process_index()
    return ocp.options.MultiprocessingOptions(
        primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process{own}"
    )


def is_safe(record: Mapping[str, Any]) -> bool:
    """Whether an episode finished in an iteration and V_c was within every limit."""
    within = np.atleast_1d(record["episode_cost"]) <= np.atleast_1d(record["cost_limit"])
    return bool(record["episodes_finished"] > 0 and np.all(within))


def metadata_digest(metadata: Mapping[str, Any]) -> str:
    """SHA-256 of the metadata of a checkpoint, apart from this digest in it."""
    rest = {name: value for name, value in metadata.items() if name != "metadata_digest"}
    return hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()


def to_arrays(state: Any) -> dict[str, np.ndarray]:
    """A TrainState as arrays on the host, by place, such as env_state.obs. PRNG keys become their data."""
    named, _ = jax.tree_util.tree_flatten_with_path(jax.device_get(plain(state)))
    return {place(path): np.asarray(leaf) for path, leaf in named}


def pack(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Join the arrays of each type, in the order of their names. The time of a save grows with its number of files."""
    packed: dict[str, list[np.ndarray]] = {}
    for _, array in sorted(arrays.items()):
        packed.setdefault(array.dtype.name, []).append(array.ravel())
    return {dtype: np.concatenate(parts) for dtype, parts in packed.items()}


class _KeepLastAndBest(PreservationPolicy):
    def __init__(self, checkpoints: Checkpoints):
        self._checkpoints = checkpoints

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        """Which checkpoints are kept; orbax calls this after every save."""
        best = self._checkpoints.best
        kept = {*sorted(info.step for info in checkpoints)[-KEEP_LAST:], best.iteration if best else None}
        return [info.step in kept for info in checkpoints]


def versions() -> dict[str, str]:
    """Versions of the packages that the rest of a run depends on."""
    return {name: version(name) for name in ("espo_jax", "jax", "jaxlib", "mujoco")}


def plain(state: Any) -> Any:
    """The state with the data of PRNG keys in place of the keys."""
    return jax.tree.map(lambda x: jax.random.key_data(x) if is_key(x) else x, state)


def is_key(x: Any) -> bool:
    """Whether an array holds PRNG keys."""
    return jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def place(path: Any) -> str:
    """Name of the place of a leaf in a TrainState, such as env_state.obs."""
    return jax.tree_util.keystr(path, simple=True, separator=".")


@contextlib.contextmanager
def _reporting(path: Path, iteration: int | None) -> Iterator[None]:
    """Turn any error of orbax into a CheckpointError."""
    try:
        yield
    except Exception as error:
        what = path if iteration is None else f"checkpoint {iteration} in {path}"
        raise CheckpointError(f"cannot write {what}: {' '.join(str(error).split())[:300]}") from error


# Orbax logs the errors that it also raises, with tracebacks, and for every save what its format lacks.
logging.getLogger("absl").addFilter(lambda entry: "orbax" not in entry.pathname)
