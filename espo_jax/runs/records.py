"""The lines of metrics.jsonl and evaluations.jsonl: one JSON object for each iteration or evaluation."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from espo_jax import modes
from espo_jax.algorithms.metrics import Metrics
from espo_jax.runs import files

MAX_LINE_BYTES = 2**20
# Fields that every version wrote, and that readers rely on. All other fields may be absent, and unknown ones are kept.
REQUIRED = (
    "env_steps", "sample_size", "episode_reward", "episode_cost", "episodes_finished", "cost_limit", "slack_positive",
    "slack_negative", "conflict_angle", "steps_per_second",
)  # fmt: skip
_FINITE = ("env_steps", "sample_size", "episode_reward", "episode_cost", "episodes_finished", "steps_per_second")


def record(metrics: Metrics, seconds: float) -> dict[str, Any]:
    """An iteration as a line of metrics.jsonl.

    The line has every field of Metrics under its name, as a number or a list [K]. The mode is given by its name, and
    mode_counts by the names of the modes. The field steps_per_second is added.

    Args:
      metrics: metrics of the iteration as NumPy arrays.
      seconds: wall time of the iteration.
    """
    line = {name: np.asarray(value).squeeze().tolist() for name, value in metrics._asdict().items()}
    line["mode"] = modes.MODE_NAMES[line["mode"]]
    line["mode_counts"] = dict(zip(modes.MODE_NAMES, line["mode_counts"], strict=True))
    return {**line, "steps_per_second": line["sample_size"] / seconds}


def as_line(content: Mapping[str, Any]) -> bytes:
    """A JSON object as a line of a file."""
    return (json.dumps(files.strict(content), allow_nan=False) + "\n").encode()


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The lines of a jsonl file up to the first line that is not whole.

    Raises:
      OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        while (line := file.readline(MAX_LINE_BYTES)).endswith(b"\n"):
            try:
                yield files.infinities(files.parse_json(line, path.name))
            except files.DamagedError:
                return


def read_records(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl up to the first line that is incomplete, out of order or not a record.

    Raises:
      OSError: the file cannot be read.
    """
    records: list[dict[str, Any]] = []
    for line in read_lines(path):
        if line.get("iteration") != len(records) + 1 or not is_record(line, records[0] if records else line):
            break
        records.append(line)
    return records


def read_evaluations(path: Path) -> list[dict[str, Any]]:
    """The lines of an evaluations.jsonl up to the first line that is not whole or not an evaluation.

    Raises:
      OSError: the file cannot be read.
    """
    found: list[dict[str, Any]] = []
    for line in read_lines(path):
        sizes = [_size(line.get(name)) for name in ("iteration", "env_steps", "reward", "cost")]
        if sizes[:3] != [0, 0, 0] or sizes[3] is None or (found and sizes[3] != _size(found[0]["cost"])):
            break
        found.append(line)
    return found


def series(records: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """[iterations, K] of a field of records; null becomes nan."""
    rows = [np.atleast_1d(np.array(line[name], dtype=object)) for line in records]
    return np.array([[np.nan if value is None else float(value) for value in row] for row in rows])


def is_after(line: bytes, iteration: int) -> bool:
    """Whether a line of a jsonl file is of a later iteration, or was not written to its end."""
    try:
        number = files.parse_json(line, "line").get("iteration")
    except files.DamagedError:
        return not line.endswith(b"\n")
    return isinstance(number, int) and number > iteration


def is_record(line: Mapping[str, Any], first: Mapping[str, Any]) -> bool:
    """Whether a line has the fields that every version wrote, with as many values as in the first line."""
    counts = line.get("mode_counts")
    return (
        line.get("mode") in modes.MODE_NAMES
        and isinstance(counts, dict)
        and all(_size(counts.get(name)) == 0 for name in modes.MODE_NAMES)
        and all(_size(line.get(name)) is not None and _size(line[name]) == _size(first.get(name)) for name in REQUIRED)
        and all(np.isfinite(line[name]).all() for name in _FINITE)
        and _size(line["steps_per_second"]) == 0
        and line["steps_per_second"] > 0
    )


def _size(value: Any) -> int | None:
    """0 for a number, the number of numbers for a list of numbers, None for anything else."""
    values = value if isinstance(value, list) and value else [value]
    if not all(isinstance(x, float) or (type(x) is int and abs(x) < 2**63) for x in values):
        return None
    return len(value) if isinstance(value, list) else 0
