"""The folder of a run: config.json, metrics.jsonl, policy.npz, checkpoints/, result.json, curves.png (see `files`)."""

import contextlib
import itertools
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import flax.serialization
import flax.traverse_util
import numpy as np

from espo_jax.runs import files, output
from espo_jax.runs.loggers import Logger, scalars
from espo_jax.runs.place import MovedError, TakenError, lock, rename_to_unused, usable
from espo_jax.runs.records import Line, as_line, read_evaluations, read_metrics, readable, up_to

CONFIG, METRICS, POLICY, BEST_POLICY = "config.json", "metrics.jsonl", "policy.npz", "policy_best_safe.npz"
EVALUATIONS, RESULT, CURVES, CHECKPOINTS = "evaluations.jsonl", "result.json", "curves.png", "checkpoints"
# Format number in config.json; files without a number were written before there was one.
CONFIG_FORMAT = 4


class RunDirectory:
    """A folder that only one run writes to; make it with `create`, or with `open` for a run that goes on.

    Attributes:
      path: the folder.
      records: the records that metrics.jsonl holds so far, one dict for each iteration (see `records.record`).
      loggers: loggers that get every record too.
    """

    def __init__(self, path: Path, metrics: BinaryIO | None):
        """Take a folder and its open metrics.jsonl, which the process has locked."""
        self.path = path
        self.records: list[dict[str, Any]] = []
        self.loggers: list[Logger] = []
        self._metrics = metrics

    @classmethod
    def create(cls, path: str | Path, config: Mapping[str, Any], *, metrics: bool = True) -> "RunDirectory":
        """Create the folder with its parents, config.json and metrics.jsonl: with all of it, or not at all.

        Args:
          path: the folder.
          config: content of config.json.
          metrics: whether the folder has a metrics.jsonl.

        Raises:
          FileExistsError: the folder exists; nothing in it is changed.
          ValueError: orbax cannot write below the path.
          OSError: the folder cannot be made or written to.
        """
        path = usable(Path(path))
        building = path.parent / f".espo-{uuid.uuid4().hex[:12]}"
        directory = cls(building, None)
        try:
            building.mkdir(parents=True)
            files.write_json(building / CONFIG, config)
            if metrics:
                directory._metrics = (building / METRICS).open("xb")
                lock(directory._metrics, path)
            rename_to_unused(building, path)
        except BaseException as error:
            directory.close()
            shutil.rmtree(building, ignore_errors=True)
            if isinstance(error, TakenError) or not isinstance(error, OSError):
                raise
            why = error.strerror or error
            raise OSError(f"cannot write to run directory {path} ({why}); choose another with --run-dir") from None
        directory.path = path
        return directory

    @classmethod
    def open(cls, path: str | Path) -> "RunDirectory":
        """Open the folder that a run left behind; nothing is changed before `go_back_to`.

        Raises:
          OSError: the folder cannot be written to, or another process writes to it.
          DamagedError: the folder has something else than files and folders in it, or metrics.jsonl cannot be read.
        """
        path = usable(Path(path))
        files.refuse_special(path)
        try:
            directory = cls(path, (path / METRICS).open("ab"))  # it is made if it was deleted
        except OSError as error:
            raise OSError(f"cannot write to run directory {path} ({error.strerror})") from None
        try:
            lock(directory._metrics, path)
            directory.check_place()
            directory.records = readable(_read(read_metrics, path / METRICS))
        except BaseException:
            directory.close()
            raise
        return directory

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file of strict JSON."""
        self.check_place()
        files.write_json(self.path / name, content)

    def append(self, record: dict[str, Any]) -> None:
        """Add one line to metrics.jsonl; it is on its way to the disk when this returns."""
        if self._metrics:
            self.check_place()
            try:
                self._metrics.write(as_line(record))
                self._metrics.flush()
            except OSError as error:
                raise OSError(f"cannot write {self.path / METRICS} ({error.strerror})") from None
        self.records.append(record)
        self._log(record, "training/")

    def append_evaluation(self, line: dict[str, Any]) -> None:
        """Add one line to evaluations.jsonl."""
        self.check_place()
        with (self.path / EVALUATIONS).open("ab") as file:
            file.write(as_line(line))
        self._log(line, "eval/")

    def sync(self) -> None:
        """Return when metrics.jsonl is on the disk; no checkpoint may be ahead of it."""
        self.check_place()
        if self._metrics:
            os.fsync(self._metrics.fileno())

    def check_place(self) -> None:
        """Raise a MovedError if the folder was renamed or deleted, so that nothing is written to another one."""
        if not self._metrics:
            return
        try:
            is_here = os.path.samestat(os.stat(self.path / METRICS), os.fstat(self._metrics.fileno()))
        except FileNotFoundError:
            is_here = False
        if not is_here:
            raise MovedError(f"run directory {self.path} was renamed or deleted while the run wrote to it")

    def go_back_to(self, iteration: int) -> list[str]:
        """Remove the records of later iterations, since the run goes on from this one and writes them again.

        Lines that cannot be read stay where they are, and a copy of the file as it was is kept. The files are replaced,
        not rewritten: a hard link to one of them, such as `cp -al` makes, keeps the old content.

        Returns:
          A note if iterations are missing.
        """
        lines, notes = self._read_or_set_aside(read_metrics, METRICS), []
        self.records = [record for record in readable(lines) if record["iteration"] <= iteration]
        if missing := iteration - len(self.records):
            self._keep(line.text for line in lines if line.content is None)
            notes.append(f"{METRICS} cannot be read at {missing} of {iteration} iterations, which the curves will lack")
        files.write(self.path / METRICS, up_to(lines, iteration))
        if self._metrics:
            self._metrics.close()
        self._metrics = (self.path / METRICS).open("ab")
        lock(self._metrics, self.path)
        if (self.path / EVALUATIONS).exists():
            evaluations = self._read_or_set_aside(read_evaluations, EVALUATIONS)
            files.write(self.path / EVALUATIONS, up_to(evaluations, iteration))
        return notes

    def _read_or_set_aside(self, read: Callable[[Path], list[Line]], name: str) -> list[Line]:
        """The lines of a log; one that cannot be read at all gets another name."""
        try:
            return read(self.path / name)
        except files.DamagedError:
            files.set_aside(self.path / name)
            return []

    def _keep(self, unreadable: Iterable[bytes]) -> None:
        """Copy metrics.jsonl aside, unless an earlier copy has all of its unreadable lines."""
        texts = list(unreadable)
        copies = [path.read_bytes() for path in self.path.glob(f"damaged-{Path(METRICS).stem}-*")]
        if texts and not any(all(text in copy for text in texts) for copy in copies):
            files.copy_aside(self.path / METRICS)

    def save_params(self, params: tuple[Any, Any, Any], name: str = POLICY) -> None:
        """Write an npz file: arrays named by their place, such as normalizer/mean and policy/params/log_std."""
        normalizer, policy, critics = params
        tree = flax.serialization.to_state_dict({"normalizer": normalizer, "policy": policy, "critics": critics})
        flat = flax.traverse_util.flatten_dict(tree, sep="/")
        files.write_arrays(self.path / name, {name: np.asarray(value) for name, value in flat.items()})

    def close(self) -> None:
        """Close metrics.jsonl and the loggers."""
        if self._metrics:
            with contextlib.suppress(OSError):  # the error of a full disk was reported before
                self._metrics.close()
        for logger in self.loggers:
            with contextlib.suppress(Exception):
                logger.close()

    def _log(self, line: Mapping[str, Any], prefix: str) -> None:
        """Send a line to the loggers; an error of a logger does not end a run of hours."""
        for logger in tuple(self.loggers):
            try:
                logger.log(line["env_steps"], scalars(line, prefix))
            except Exception as error:
                self.loggers.remove(logger)
                output.warn(f"{type(logger).__name__} logs no more ({error})")


def create_numbered(path: Path, config: Mapping[str, Any], *, metrics: bool = True) -> RunDirectory:
    """Create a folder by its default name or, if another run took it, the name with -2, -3, ...; see `create`."""
    for number in itertools.count(1):
        numbered = path if number == 1 else path.with_name(f"{path.name}-{number}")
        with contextlib.suppress(TakenError):
            return RunDirectory.create(numbered, config, metrics=metrics)
    raise AssertionError("a number is free")


def _read(read: Callable[[Path], list[Line]], path: Path) -> list[Line]:
    """The lines of a log; none of one that cannot be read at all."""
    try:
        return read(path)
    except files.DamagedError:
        return []
