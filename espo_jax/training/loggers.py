"""Metrics to TensorBoard and Weights & Biases, beside metrics.jsonl; their packages are needed only when asked for."""

import importlib.util
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from espo_jax.modes import MODE_NAMES

# Name on the command line (also that of the extra): the package that it needs.
PACKAGES = {"tensorboard": "tensorboardX", "wandb": "wandb"}


class Logger(Protocol):
    """Somewhere for scalars to go."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Scalars by name, such as training/episode_cost, at a number of samples."""

    def close(self) -> None:
        """Everything is on its way when this returns."""


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
    names: Sequence[str], run_dir: Path, settings: Mapping[str, Any], *, first_step: int = 0
) -> list[Logger]:
    """The loggers of a run.

    Args:
      names: from `parse_names`.
      run_dir: TensorBoard's files go there; Weights & Biases is given its name.
      settings: flat, for Weights & Biases to sort runs by.
      first_step: samples from which on this process logs; TensorBoard forgets what was logged beyond.
    """
    made: list[Logger] = []
    if "tensorboard" in names:
        made.append(_TensorBoard(run_dir, first_step))
    if "wandb" in names:
        made.append(_WeightsAndBiases(run_dir, settings))
    return made


def scalars(record: Mapping[str, Any], prefix: str) -> dict[str, float]:
    """The numbers of a line of metrics.jsonl or evaluations.jsonl by name; lists by element, the mode by its code.

    Infinite ones, such as a slack, are left out: no chart can show them.

    Args:
      record: the line.
      prefix: before each name, such as "training/".
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
    def __init__(self, run_dir: Path, first_step: int):
        from tensorboardX import SummaryWriter

        self._writer = SummaryWriter(str(run_dir / "tensorboard"), purge_step=first_step + 1 if first_step else None)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """An event for each."""
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Write what is left."""
        self._writer.close()


class _WeightsAndBiases:
    def __init__(self, run_dir: Path, settings: Mapping[str, Any]):
        import wandb

        self._run = wandb.init(project="espo_jax", name=run_dir.name, dir=str(run_dir), config=dict(settings))

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """One row."""
        self._run.log(dict(values), step=step)

    def close(self) -> None:
        """End the run there."""
        self._run.finish()
