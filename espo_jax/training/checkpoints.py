"""Checkpoints of a run: the whole TrainState, written by orbax in the background, proved when read back."""

import contextlib
import logging
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import PreservationPolicy

from espo_jax.training import files
from espo_jax.training.files import DamagedError

FORMAT = 1
KEEP_LAST = 2
_ITEMS = ("state", "about")


class Schedule(NamedTuple):
    """When a checkpoint is due: every so many iterations or minutes, whichever comes first; build it with `create`."""

    iterations: int
    minutes: float

    @classmethod
    def create(cls, iterations: int, minutes: float) -> "Schedule":
        """Check the two; 0 iterations or infinite minutes leave that one out.

        Raises:
          ValueError: one is out of its range.
        """
        if iterations < 0:
            raise ValueError(f"checkpoint_iterations is {iterations}: it must be 0 (never) or more")
        if not minutes > 0:
            raise ValueError(f"checkpoint_minutes is {minutes:g}: it must be more than 0; inf is never")
        return cls(iterations, minutes)


class BestSafe(NamedTuple):
    """The checkpoint with the highest reward among those within every limit."""

    iteration: int
    reward: float


class Restored(NamedTuple):
    """What `restore` found.

    Args:
      state: TrainState.
      iteration: after which it was saved.
      best: of the checkpoints up to it.
      notes: one line for every checkpoint passed over, and for every other version it was saved with.
    """

    state: Any
    iteration: int
    best: BestSafe | None
    notes: tuple[str, ...]


class CheckpointError(OSError):
    """A checkpoint could not be written; those before it are as they were."""


class Checkpoints:
    """Writes a run's checkpoints: KEEP_LAST and the best safe one stay.

    Attributes:
      best: the best safe one so far.
    """

    def __init__(
        self, path: Path, schedule: Schedule, settings: Mapping[str, Any], restored: "Restored | None" = None
    ) -> None:
        """Nothing is written yet.

        Args:
          path: folder of the checkpoints, made where needed.
          schedule: when one is due.
          settings: what the run's numbers depend on; a checkpoint is restored with the same only.
          restored: where the run goes on.

        Raises:
          CheckpointError: the folder cannot be written to.
        """
        self.path, self.best = path, restored.best if restored else None
        self._schedule, self._settings = schedule, files.strict(settings)
        self._saved = restored.iteration if restored else None
        self._last_save = time.monotonic()
        # Uncompressed and one folder to an array, so that `restore` can prove sizes before it reads.
        handlers = {
            "state": ocp.PyTreeCheckpointHandler(use_ocdbt=False, use_compression=False),
            "about": ocp.JsonCheckpointHandler(),
        }
        options = ocp.CheckpointManagerOptions(
            preservation_policy=_KeepLastAndBest(self),
            # Otherwise a folder that cannot be made is noticed by a time-out of minutes.
            async_options=ocp.options.AsyncOptions(create_directories_asynchronously=False),
        )
        with _reporting(self.path, None):
            path.mkdir(parents=True, exist_ok=True)
            self._manager = ocp.CheckpointManager(path.absolute(), item_handlers=handlers, options=options)

    def due(self, iteration: int) -> bool:
        """Whether the schedule wants one after this iteration."""
        iterations, minutes = self._schedule
        return bool(iterations and iteration % iterations == 0) or time.monotonic() - self._last_save >= 60 * minutes

    def save(self, state: Any, record: Mapping[str, Any] | None) -> bool:
        """Save a state; returns as soon as it is copied to the host and the one before is on the disk.

        Args:
          state: TrainState.
          record: line of metrics.jsonl of its last iteration; None before the first.

        Returns:
          whether it is the best safe one so far.

        Raises:
          CheckpointError: this one, or the one before it, could not be written.
        """
        iteration = int(state.iteration)
        if iteration == self._saved:
            return False
        best = BestSafe(iteration, record["episode_reward"]) if record is not None and is_safe(record) else None
        is_best = best is not None and (self.best is None or best.reward > self.best.reward)
        if is_best:
            self.best = best
        arrays = to_arrays(state)
        about = {
            "format": FORMAT,
            "versions": _versions(),
            "iteration": iteration,
            "best_safe": self.best._asdict() if self.best else None,
            "settings": self._settings,
            "digest": files.digest(arrays),
        }
        content = {name: array for name, array in arrays.items() if array.size}  # orbax refuses empty ones
        items = ocp.args.Composite(state=ocp.args.PyTreeSave(content), about=ocp.args.JsonSave(about))
        with _reporting(self.path, iteration):
            self._manager.save(iteration, args=items, force=True)
        self._saved, self._last_save = iteration, time.monotonic()
        return is_best

    def wait(self) -> None:
        """Until what is saved is on the disk.

        Raises:
          CheckpointError: it could not be written.
        """
        with _reporting(self.path, self._saved):
            self._manager.wait_until_finished()

    def close(self) -> None:
        """Wait, and end the threads."""
        try:
            self.wait()
        finally:
            self._manager.close()


def restore(path: Path, like: Any, settings: Mapping[str, Any], *, most: int) -> Restored | None:
    """The newest checkpoint that is whole; those passed over as damaged are renamed, not removed.

    Args:
      path: folder of the checkpoints.
      like: abstract TrainState, from jax.eval_shape of init.
      settings: of the run that is to go on.
      most: iterations known of the run; newer checkpoints are passed over.

    Returns:
      None where there is no checkpoint at all.

    Raises:
      DamagedError: there are checkpoints, but none is whole.
      ValueError: the newest whole one is of another format or has other settings; the message names the field.
    """
    notes: list[str] = []
    found = sorted((int(p.name) for p in path.glob("*") if p.name.isdecimal() and p.is_dir()), reverse=True)
    for iteration in found:
        folder = path / str(iteration)
        try:
            if iteration > most:
                raise DamagedError(f"metrics.jsonl ends at iteration {most}")
            about = files.read_json(folder / "about" / "metadata")
            _check_settings(folder, about, files.strict(settings))
            arrays = _read_state(folder / "state", _shapes(like))
            if files.digest(arrays) != about.get("digest") or about.get("iteration") != iteration:
                raise DamagedError("its content is not what was saved")
            best = _best_safe(about, found)
        except DamagedError as error:
            aside = path / f"damaged-{iteration}-{time.strftime('%Y%m%d-%H%M%S')}"
            folder.rename(aside)
            notes.append(f"checkpoint {iteration} is passed over ({error}); it is kept as {aside}")
            continue
        notes += [
            f"checkpoint {iteration} was written with {name} {about['versions'].get(name)}, this is {now}: "
            "the rest of the run may differ from what it would have been"
            for name, now in _versions().items()
            if about["versions"].get(name) != now
        ]
        return Restored(from_arrays(arrays, like), iteration, best, tuple(notes))
    if notes:
        raise DamagedError(f"no checkpoint in {path} can be used: {'; '.join(notes)}")
    return None


def is_safe(record: Mapping[str, Any]) -> bool:
    """Whether an iteration in which an episode finished kept every limit."""
    within = np.atleast_1d(record["episode_cost"]) <= np.atleast_1d(record["cost_limit"])
    return bool(record["episodes_finished"] > 0 and np.all(within))


def to_arrays(state: Any) -> dict[str, np.ndarray]:
    """A TrainState as host arrays by place, such as env_state.obs; keys as their data."""
    named, _ = jax.tree_util.tree_flatten_with_path(jax.device_get(_plain(state)))
    return {_name(path): np.asarray(leaf) for path, leaf in named}


def from_arrays(arrays: Mapping[str, np.ndarray], like: Any) -> Any:
    """The TrainState of `to_arrays`, in the form of an abstract one."""

    def leaf(path: Any, abstract: Any) -> jax.Array:
        value = jax.numpy.asarray(arrays[_name(path)])
        return jax.random.wrap_key_data(value) if _is_key(abstract) else value

    return jax.tree_util.tree_map_with_path(leaf, like)


class _KeepLastAndBest(PreservationPolicy):
    def __init__(self, checkpoints: Checkpoints):
        self._checkpoints = checkpoints

    def should_preserve(self, checkpoints: Sequence[Any], *, context: Any) -> Sequence[bool]:
        """Orbax asks after every save."""
        best = self._checkpoints.best
        kept = {*sorted(info.step for info in checkpoints)[-KEEP_LAST:], best.iteration if best else None}
        return [info.step in kept for info in checkpoints]


def _read_state(folder: Path, shapes: Mapping[str, jax.ShapeDtypeStruct]) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint, after a proof that files of just their sizes lie there.

    Raises:
      DamagedError: anything is missing, of another size, or not readable.
    """
    if any(entry.is_symlink() for entry in folder.rglob("*")):
        raise DamagedError("it has a link in it")
    for name, abstract in shapes.items():
        if math.prod(abstract.shape):
            _prove_size(folder / name, name, abstract)
    stored = {name: ocp.RestoreArgs(restore_type=np.ndarray) for name, x in shapes.items() if math.prod(x.shape)}
    try:
        with ocp.Checkpointer(ocp.PyTreeCheckpointHandler(use_ocdbt=False)) as reader:
            wanted = {name: shapes[name] for name in stored}
            arrays = reader.restore(folder.absolute(), ocp.args.PyTreeRestore(item=wanted, restore_args=stored))
    except Exception as error:  # whatever orbax and TensorStore raise for files that are not theirs
        raise DamagedError(f"orbax cannot read it: {' '.join(str(error).split())[:200]}") from None
    return {
        name: np.asarray(arrays[name]) if name in stored else np.zeros(x.shape, x.dtype) for name, x in shapes.items()
    }


def _prove_size(folder: Path, name: str, abstract: jax.ShapeDtypeStruct) -> None:
    about = files.read_json(folder / ".zarray")
    shape = list(abstract.shape)
    expected = {"shape": shape, "chunks": shape, "compressor": None, "filters": None}
    for field, value in expected.items():
        if about.get(field) != value:
            raise DamagedError(f"{field} of {name} is {about.get(field)}, not {value}")
    if about.get("dtype") != np.dtype(abstract.dtype).str:
        raise DamagedError(f"dtype of {name} is {about.get('dtype')}, not {np.dtype(abstract.dtype).str}")
    sizes = [entry.stat().st_size for entry in folder.iterdir() if entry.name != ".zarray"]
    if sizes != [math.prod(shape) * np.dtype(abstract.dtype).itemsize]:
        raise DamagedError(f"{name} has files of {sizes} bytes")


def _check_settings(folder: Path, about: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    if not isinstance(about.get("versions"), dict) or not isinstance(about.get("settings"), dict):
        raise DamagedError("it does not say with what it was written")
    if about.get("format") != FORMAT:
        raise ValueError(f"checkpoint {folder} has format {about.get('format')!r}: this version reads {FORMAT}")
    for name in sorted({*about["settings"], *settings}):
        saved, wanted = about["settings"].get(name), settings.get(name)
        if saved != wanted:
            raise ValueError(f"{name} is {wanted!r}: checkpoint {folder} was saved with {saved!r}")


def _best_safe(about: Mapping[str, Any], found: Sequence[int]) -> BestSafe | None:
    best = about.get("best_safe")
    if best is None:
        return None
    if not isinstance(best, dict) or not all(isinstance(best.get(name), int | float) for name in BestSafe._fields):
        raise DamagedError(f"best_safe is {best!r}")
    return BestSafe(best["iteration"], best["reward"]) if best["iteration"] in found else None


def _versions() -> dict[str, str]:
    return {name: version(name) for name in ("espo_jax", "jax", "jaxlib", "mujoco")}


def _plain(state: Any) -> Any:
    return jax.tree.map(lambda x: jax.random.key_data(x) if _is_key(x) else x, state)


def _shapes(like: Any) -> dict[str, jax.ShapeDtypeStruct]:
    named, _ = jax.tree_util.tree_flatten_with_path(jax.eval_shape(_plain, like))
    return {_name(path): leaf for path, leaf in named}


def _is_key(x: Any) -> bool:
    return jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator=".")


@contextlib.contextmanager
def _reporting(path: Path, iteration: int | None) -> Iterator[None]:
    """Turns whatever orbax raises into a CheckpointError."""
    try:
        yield
    except Exception as error:
        what = path if iteration is None else f"checkpoint {iteration} in {path}"
        raise CheckpointError(f"cannot write {what}: {' '.join(str(error).split())[:300]}") from error


# Of a merge that the chosen format does not have, once for every save.
logging.getLogger("absl").addFilter(lambda entry: "OCDBT" not in str(entry.msg))
