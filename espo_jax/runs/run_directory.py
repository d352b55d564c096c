"""The folder of a run: config.json, metrics.jsonl, policy.npz, checkpoints/, result.json, curves.png (see `files`)."""

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax.serialization
import flax.traverse_util
import numpy as np

try:
    import fcntl
except ImportError:  # Windows has no such lock
    fcntl = None  # type: ignore[assignment]

from espo_jax.runs import files
from espo_jax.runs.loggers import Logger, scalars
from espo_jax.runs.records import as_line, is_after, read_lines, read_records

CONFIG, METRICS, POLICY, BEST_POLICY = "config.json", "metrics.jsonl", "policy.npz", "policy_best_safe.npz"
EVALUATIONS, RESULT, CURVES, CHECKPOINTS = "evaluations.jsonl", "result.json", "curves.png", "checkpoints"
# Format number in config.json; files without a number were written before there was one.
CONFIG_FORMAT = 4


class RunDirectory:
    """A folder that only one run writes to.

    Attributes:
      path: the folder.
      records: the lines that metrics.jsonl holds so far, one dict for each iteration (see `records.record`).
      loggers: loggers that get every line too.
    """

    def __init__(self, path: str | Path, *, metrics: bool = True, exist: bool = False):
        """Create the folder, with its parents and with metrics.jsonl, or open one that a run left behind.

        Args:
          path: the folder.
          metrics: whether the folder has a metrics.jsonl.
          exist: whether the folder exists; `records` are then the lines that can be read.

        Raises:
          FileExistsError: the folder exists and should not; nothing in it is changed.
          OSError: the folder cannot be made or written to, or another process writes to it.
          DamagedError: there is a symbolic link in it, or metrics.jsonl has whole lines that are not records.
        """
        self.path = Path(path)
        if exist:
            files.refuse_links(self.path)
        self.records: list[dict[str, Any]] = []
        self.loggers: list[Logger] = []
        self._metrics = None
        try:
            if not exist:
                self.path.mkdir(parents=True)
            if metrics:
                self._metrics = (self.path / METRICS).open("r+b" if exist else "x+b")
            if self._metrics and fcntl:
                fcntl.flock(self._metrics, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileExistsError:
            raise FileExistsError(
                f"run directory {self.path} already exists and is never overwritten; choose another with --run-dir, "
                "or go on with --resume"
            ) from None
        except BlockingIOError:
            raise OSError(f"run directory {self.path} is in use by another process") from None
        except OSError as error:
            advice = "" if exist else "; choose another with --run-dir"
            raise OSError(f"cannot write to run directory {self.path} ({error.strerror}){advice}") from None
        if exist and self._metrics:
            self.records = read_records(self.path / METRICS)
            self._refuse_unreadable_lines()

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a file of strict JSON."""
        files.write_json(self.path / name, content)

    def append(self, record: dict[str, Any]) -> None:
        """Add one line to metrics.jsonl; it is on its way to the disk when this returns."""
        self.records.append(record)
        if self._metrics:
            try:
                self._metrics.write(as_line(record))
                self._metrics.flush()
            except OSError as error:
                raise OSError(f"cannot write {self.path / METRICS} ({error.strerror})") from None
        self._log(record, "training/")

    def append_evaluation(self, line: dict[str, Any]) -> None:
        """Add one line to evaluations.jsonl."""
        with (self.path / EVALUATIONS).open("ab") as file:
            file.write(as_line(line))
        self._log(line, "eval/")

    def sync(self) -> None:
        """Return when metrics.jsonl is on the disk; no checkpoint may be ahead of it."""
        if self._metrics:
            os.fsync(self._metrics.fileno())

    def truncate(self, iteration: int) -> None:
        """Remove the lines of later iterations: the run goes on from this one and writes them again."""
        self.records = self.records[:iteration]
        if self._metrics:
            self._metrics.seek(0)
            for _ in self.records:
                self._metrics.readline()
            self._metrics.truncate(self._metrics.tell())
            self._metrics.seek(0, os.SEEK_END)
        if (path := self.path / EVALUATIONS).exists():
            kept = [line for line in path.read_bytes().splitlines(keepends=True) if not is_after(line, iteration)]
            files.write(path, b"".join(kept))

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

    def _refuse_unreadable_lines(self) -> None:
        """Raise where truncating would lose lines that a later version wrote and that this one cannot read."""
        whole = sum(1 for _ in read_lines(self.path / METRICS))
        if whole > len(self.records):
            self.close()
            raise files.DamagedError(
                f"{self.path / METRICS}: line {len(self.records) + 1} is whole but not a record of iteration "
                f"{len(self.records) + 1} that this version can read; the run does not go on, and nothing was changed"
            )

    def _log(self, line: Mapping[str, Any], prefix: str) -> None:
        """Send a line to the loggers; an error of a logger does not end a run of hours."""
        for logger in tuple(self.loggers):
            try:
                logger.log(line["env_steps"], scalars(line, prefix))
            except Exception as error:
                self.loggers.remove(logger)
                print(f"espo: warning: {type(logger).__name__} logs no more ({error})", file=sys.stderr)


def default_path(task: str, algorithm: str, seed: int) -> Path:
    """runs/<task>-<algorithm>-seed<seed>-<local time>."""
    return Path("runs") / f"{task}-{algorithm}-seed{seed}-{time.strftime('%Y%m%d-%H%M%S')}"
