"""Run directories are read: their settings and records, and the final values of a run."""

import dataclasses
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espo_jax.runs.files import DamagedError
from espo_jax.runs.records import read_lines, read_records, series
from espo_jax.runs.run_config import RunConfig
from espo_jax.runs.run_directory import METRICS

Records = Sequence[dict[str, Any]]  # lines of metrics.jsonl

FINAL_ITERATIONS = 20  # the final values of a run are means over this many iterations


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
    try:
        records = read_records(run_dir / METRICS)
    except OSError as error:
        raise DamagedError(f"{run_dir / METRICS} cannot be read ({error.strerror})") from None
    if not records:
        raise DamagedError(f"{run_dir / METRICS} holds no iteration")
    if (whole := sum(1 for _ in read_lines(run_dir / METRICS))) > len(records):
        warnings.warn(
            f"{run_dir / METRICS}: line {len(records) + 1} cannot be read by this version; {len(records)} of {whole} "
            "lines are used",
            stacklevel=2,
        )
    return Run(config, records)


def final(runs: Sequence[Records], field: str) -> np.ndarray:
    """Means of a field over the last FINAL_ITERATIONS of each run: [S, K]."""
    return np.stack([np.mean(series(records[-FINAL_ITERATIONS:], field), axis=0) for records in runs])
