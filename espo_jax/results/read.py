"""Run directories are read: their settings and records, and the final values of a run."""

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espo_jax.runs.files import DamagedError
from espo_jax.runs.records import final_iterations, read_metrics, readable, series, unreadable
from espo_jax.runs.run_config import RunConfig
from espo_jax.runs.run_directory import METRICS

Records = Sequence[dict[str, Any]]  # lines of metrics.jsonl


@dataclasses.dataclass(frozen=True)
class Run:
    """A run directory: its settings and the lines of its metrics.jsonl."""

    config: RunConfig
    records: Records


def read_run(run_dir: Path) -> Run:
    """Read a run directory.

    Raises:
      DamagedError: config.json or metrics.jsonl cannot be used, or there is no iteration.
    """
    config = RunConfig.read(run_dir)
    lines = read_metrics(run_dir / METRICS)
    records = readable(lines)
    if not records:
        raise DamagedError(f"{run_dir / METRICS} holds no iteration that this version can read")
    if others := unreadable(lines):
        warnings.warn(
            f"{run_dir / METRICS}: {len(others)} of {len(lines)} lines, the first of them line {others[0]}, cannot be "
            "read by this version and are left out",
            stacklevel=2,
        )
    return Run(config, records)


def final(runs: Sequence[Records], field: str) -> np.ndarray:
    """Means of a field over the last iterations of each run, see `final_iterations`: [S, K]."""
    return np.stack([np.mean(series(run[-final_iterations(len(run)) :], field), axis=0) for run in runs])
