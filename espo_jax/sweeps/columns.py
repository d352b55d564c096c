"""Metrics of many lanes as columns, in Parquet files that pandas and polars open directly."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

from espo_jax.algorithms.metrics import Metrics
from espo_jax.modes import MODE_NAMES
from espo_jax.runs import files
from espo_jax.runs.files import DamagedError

LANE, MODE, RATE = "lane", "mode", "steps_per_second"
_PER_CONSTRAINT = ("episode_cost", "cost_limit", "slack_positive", "slack_negative", "multiplier", "cost", "cost_std")
_NOT_KEPT = ("nonfinite", "negative_costs")  # of an iteration that has any, nothing is kept


def names_of(field: str, num_constraints: int) -> list[str]:
    """Names of the columns of a field: with several constraints, one ends in _1, the next in _2.

    Args:
      field: field of Metrics or of Evaluation.
      num_constraints: the largest K of the sweep.
    """
    numbered = [f"_{k}" for k in range(1, num_constraints + 1)] if num_constraints > 1 else [""]
    if field in _PER_CONSTRAINT:
        return [field + suffix for suffix in numbered]
    if field == "critic_loss":
        return [f"{field}_reward", *(f"{field}_cost{suffix}" for suffix in numbered)]
    if field == "mode_counts":
        return [f"{field}_{mode}" for mode in MODE_NAMES]
    return [field]


def table_of(ids: Sequence[str], metrics: Metrics, rate: np.ndarray, num_constraints: int) -> pa.Table:
    """An iteration of some lanes as rows.

    Args:
      ids: names of the lanes.
      metrics: their metrics on the host, each with a leading axis of lanes.
      rate: [L] samples per second.
      num_constraints: the largest K of the sweep; a lane with fewer has nulls.
    """
    columns: dict[str, Any] = {LANE: pa.array(ids, pa.string()).dictionary_encode()}
    for field, values in metrics._asdict().items():
        if field in _NOT_KEPT:
            continue
        if field == MODE:
            indices = pa.array(np.asarray(values, np.int8))
            columns[MODE] = pa.DictionaryArray.from_arrays(indices, pa.array(MODE_NAMES))
            continue
        parts = np.asarray(values).reshape(len(ids), -1).T
        for place, name in enumerate(names_of(field, num_constraints)):
            kind = pa.from_numpy_dtype(parts.dtype)
            columns[name] = pa.array(parts[place]) if place < len(parts) else pa.nulls(len(ids), kind)
    columns[RATE] = pa.array(np.asarray(rate, np.float32))
    return pa.table(columns)


def records_of(table: pa.Table, num_constraints: int) -> list[dict[str, Any]]:
    """Rows of one lane as lines of a metrics.jsonl.

    Args:
      table: rows of `table_of`, one for each iteration.
      num_constraints: the largest K of the sweep.
    """
    lines = []
    for row in table.to_pylist():
        line: dict[str, Any] = {}
        for field in Metrics._fields:
            values = [row[name] for name in names_of(field, num_constraints) if field not in _NOT_KEPT]
            values = [value for value in values if value is not None]
            if field == "mode_counts":
                line[field] = dict(zip(MODE_NAMES, values, strict=True))
            else:
                line[field] = 0 if field in _NOT_KEPT else values[0] if len(values) == 1 else values
        lines.append({**line, RATE: row[RATE]})
    return lines


def write(table: pa.Table, path: Path) -> None:
    """Write a table to a Parquet file, whole or not at all."""
    sink = pa.BufferOutputStream()
    pa.parquet.write_table(table, sink, compression="zstd")
    files.write(path, sink.getvalue().to_pybytes())


def read(paths: Sequence[Path], columns: Sequence[str] | None = None, **equal: Any) -> pa.Table:
    """Read rows of Parquet files.

    Args:
      paths: the files.
      columns: the columns to read; None stands for all.
      **equal: values that columns must have.

    Raises:
      DamagedError: a file cannot be read.
    """
    condition = None
    for name, value in equal.items():
        this = pa.dataset.field(name) == value
        condition = this if condition is None else condition & this
    try:
        data = pa.dataset.dataset([str(path) for path in paths], format="parquet")
        return data.to_table(columns=list(columns) if columns else None, filter=condition)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise DamagedError(f"{paths[0].parent} cannot be read: {' '.join(str(error).split())[:300]}") from None


def rows_table(rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table; what is not one kind of number in a column becomes text."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return pa.table({name: _column([row.get(name) for row in rows]) for name in names})


def _column(values: list[Any]) -> pa.Array:
    values = [value.item() if isinstance(value, np.generic) else value for value in values]
    kinds = {type(value) for value in values if value is not None}
    if kinds <= {int, float} and kinds != {int}:
        return pa.array([None if value is None else float(value) for value in values], pa.float64())
    if len(kinds) <= 1 and kinds <= {int, bool, str}:
        return pa.array(values)
    return pa.array([None if value is None else str(value) for value in values])
