"""Loggers beside metrics.jsonl: TensorBoard and Weights & Biases. Their packages are needed only if they are used."""

import importlib.util
import math
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from espo_jax.modes import MODE_NAMES
from espo_jax.runs import files

# Name on the command line, which is also the name of the extra: the package that it needs.
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


class Logger(Protocol):
    """A destination for scalars."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log scalars by name, such as training/episode_cost, at a number of samples."""

    def close(self) -> None:
        """Send everything that is left, and close."""


class LoggerError(OSError):
    """TensorBoard or Weights & Biases does not start; the message names it and the reason."""


def parse_names(text: str) -> tuple[str, ...]:
    """The names in "tensorboard,wandb"; none in an empty text.

    Raises:
      ValueError: a name is not known, or its package is not installed.
    """
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in PACKAGES:
            raise ValueError(f"log is {name!r}: it must be among {', '.join(PACKAGES)}")
        if importlib.util.find_spec(PACKAGES[name]) is None:
            raise ValueError(f'log {name} needs the package {PACKAGES[name]}: pip install "espo_jax[{name}]"')
    return names


def open_loggers(
    names: Sequence[str], run_dir: Path, settings: Mapping[str, Any], *, first_step: int | None = None
) -> list[Logger]:
    """The loggers of a run.

    Args:
      names: from `parse_names`.
      run_dir: folder for TensorBoard's files; its name is the name of the run for Weights & Biases.
      settings: flat settings, by which Weights & Biases can sort runs.
      first_step: number of samples of a run that goes on; TensorBoard forgets what was logged after it.

    Raises:
      LoggerError: a logger does not start; those before it are closed.
    """
    made: list[Logger] = []
    for name in names:
        try:
            made.append(
                _TensorBoard(run_dir, first_step) if name == "tensorboard" else _WeightsAndBiases(run_dir, settings)
            )
        except Exception as error:  # no account, no network, a package that does not import
            for logger in made:
                logger.close()
            raise LoggerError(f"log {name} cannot be opened: {' '.join(str(error).split())[:300]}") from error
    return made


def scalars(record: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """The numbers of a line of metrics.jsonl or evaluations.jsonl by name: lists by element, the mode by its code.

    Infinite numbers, such as a slack, are left out, since no chart can show them.

    Args:
      record: the line.
      prefix: text before each name, such as "training/".
    """
    found: dict[str, float] = {}
    for name, value in record.items():
        if isinstance(value, Mapping):
            found |= scalars(value, f"{prefix}{name}/")
        elif isinstance(value, str):
            if value in MODE_NAMES:
                found[f"{prefix}{name}"] = MODE_NAMES.index(value)
        elif value is not None:
            numbers = np.atleast_1d(np.asarray(value, float))
            names = [f"{prefix}{name}"] if numbers.size == 1 else [f"{prefix}{name}/{k}" for k in range(numbers.size)]
            found |= {n: v for n, v in zip(names, numbers.tolist(), strict=True) if math.isfinite(v)}
    return found


class _TensorBoard:
    """TensorBoard. It writes at once, since the queue of tensorboardX's own writer hangs if the disk is full."""

    def __init__(self, run_dir: Path, first_step: int | None):
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto import event_pb2, summary_pb2

        self._event, self._log, self._summary = event_pb2.Event, event_pb2.SessionLog, summary_pb2.Summary
        folder = run_dir / "tensorboard"
        folder.mkdir(exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"), f".{uuid.uuid4().hex[:8]}")
        if first_step is not None:  # TensorBoard forgets what was logged beyond
            self._write(first_step + 1, session_log=self._log(status=self._log.START))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Write one event."""
        scalars = [self._summary.Value(tag=name, simple_value=value) for name, value in values.items()]
        self._write(step, summary=self._summary(value=scalars))

    def _write(self, step: int, **content: Any) -> None:
        self._writer.write_event(self._event(wall_time=time.time(), step=step, **content))
        self._writer.flush()

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class _WeightsAndBiases:
    def __init__(self, run_dir: Path, settings: Mapping[str, Any]):
        import wandb

        file = run_dir / "wandb_id"  # so that a run that goes on is the same run there
        if not file.exists():
            files.write(file, uuid.uuid4().hex[:16].encode())
        self._run = wandb.init(
            project="espo_jax", name=run_dir.name, dir=str(run_dir), config=dict(settings),
            id=file.read_text(encoding="ascii"), resume="allow",
            reinit="create_new",  # otherwise the seeds of a comparison would share one run
        )  # fmt: skip

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Send one row."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """End the run there."""
        self._run.finish()
