"""The lines of metrics.jsonl and evaluations.jsonl: one JSON object for each iteration or evaluation."""

import bisect
import collections
import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from espo_jax import modes
from espo_jax.algorithms.metrics import Metrics
from espo_jax.runs import files
from espo_jax.settings import MOST_CONSTRAINTS

MAX_BYTES, MAX_LINE_BYTES = 2**28, 2**20  # a line has about 1 kB; in memory it takes some ten times that
_MOST_OTHERS = 1000  # a file of nothing but newlines would take a hundred times its size
FINAL_ITERATIONS = 20  # final values are means over this many iterations, and at most half of a run
# Fields that every version wrote, and that readers rely on. All other fields may be absent, and unknown ones are kept.
REQUIRED = (
    "env_steps", "sample_size", "episode_reward", "episode_cost", "episodes_finished", "cost_limit", "slack_positive",
    "slack_negative", "conflict_angle", "steps_per_second",
)  # fmt: skip
_EVALUATION = {"iteration", "env_steps", "reward", "cost"}
_PER_CONSTRAINT = ("episode_cost", "cost_limit", "slack_positive", "slack_negative")
_SCALAR = ("env_steps", "sample_size", "episode_reward", "episodes_finished", "conflict_angle", "steps_per_second")
_FINITE = ("env_steps", "sample_size", "episode_reward", "episode_cost", "episodes_finished", "steps_per_second")


def final_iterations(iterations: int) -> int:
    """Number of iterations that the final values of a run are means over."""
    return max(1, min(FINAL_ITERATIONS, iterations // 2))


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


class Line(NamedTuple):
    """A line of a jsonl file.

    Args:
      text: its bytes. Without a newline at its end it is the last one, and was not written to its end.
      content: the record that it holds; None if this version cannot read it.
    """

    text: bytes
    content: dict[str, Any] | None


def read_metrics(path: Path) -> list[Line]:
    """The lines of a metrics.jsonl.

    Records have as many constraints as most of them, and their iterations increase: of lines that contradict each
    other as few as possible count as not readable.

    Raises:
      DamagedError: the file cannot be read, or more than 1,000 of its lines.
    """
    lines = [Line(text, content if content and _is_record(content) else None) for text, content in _read_lines(path)]
    sizes = collections.Counter(_size(record["cost_limit"]) for record in readable(lines))
    usual = sizes.most_common(1)[0][0] if sizes else None
    places = [n for n, line in enumerate(lines) if line.content and _size(line.content["cost_limit"]) == usual]
    kept = _longest_increasing([readable([lines[n]])[0]["iteration"] for n in places])
    chosen = {places[k] for k in kept}
    return _bounded(path, [line if n in chosen else Line(line.text, None) for n, line in enumerate(lines)])


def read_evaluations(path: Path) -> list[Line]:
    """The lines of an evaluations.jsonl. Reward and cost may be None, which stands for nan.

    Raises:
      DamagedError: the file cannot be read, or more than 1,000 of its lines.
    """
    lines: list[Line] = []
    costs = None
    for text, content in _read_lines(path):
        if content is not None and _is_evaluation(content, costs):
            costs = np.size(content["cost"])
            lines.append(Line(text, content))
        else:
            lines.append(Line(text, None))
    return _bounded(path, lines)


def readable(lines: Sequence[Line]) -> list[dict[str, Any]]:
    """What the readable lines hold."""
    return [line.content for line in lines if line.content is not None]


def unreadable(lines: Sequence[Line]) -> list[int]:
    """Numbers of the whole lines that cannot be read; the first line is 1."""
    return [n for n, line in enumerate(lines, 1) if line.content is None and line.text.endswith(b"\n")]


def up_to(lines: Sequence[Line], iteration: int) -> bytes:
    """The file without the records of later iterations, and without a line that was not written to its end.

    Whole lines that cannot be read stay where they are.
    """
    is_kept = (line.content is None or line.content["iteration"] <= iteration for line in lines)
    kept = (line.text for line, keep in zip(lines, is_kept, strict=True) if keep)
    return b"".join(text for text in kept if text.endswith(b"\n"))


def series(records: Sequence[dict[str, Any]], name: str) -> np.ndarray:
    """[iterations, K] of a field of records; null becomes nan."""
    rows = [np.atleast_1d(np.array(line[name], dtype=object)) for line in records]
    return np.array([[np.nan if value is None else float(value) for value in row] for row in rows])


def _read_lines(path: Path) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """Each line of a file with the JSON object that it holds, None if it holds something else."""
    others = 0
    with files.open_regular(path, MAX_BYTES) as file:
        for text in file:
            content = None
            with contextlib.suppress(files.DamagedError):
                if len(text) <= MAX_LINE_BYTES and text.endswith(b"\n"):
                    content = files.infinities(files.parse_json(text, path.name))
            others += content is None or len(content) < len(_EVALUATION)
            if others > _MOST_OTHERS:
                raise _too_many(path)
            yield text, content


def _bounded(path: Path, lines: list[Line]) -> list[Line]:
    if len(unreadable(lines)) > _MOST_OTHERS:
        raise _too_many(path)
    return lines


def _too_many(path: Path) -> files.DamagedError:
    return files.DamagedError(f"{path} is damaged: over {_MOST_OTHERS} of its lines cannot be read")


def _longest_increasing(values: Sequence[int]) -> list[int]:
    """Places of a longest increasing subsequence."""
    ends: list[int] = []  # ends[k]: place of the smallest value that ends a subsequence of k + 1 values
    before: list[int] = []
    for n, value in enumerate(values):
        k = bisect.bisect_left(ends, value, key=lambda place: values[place])
        before.append(ends[k - 1] if k else -1)
        ends[k:] = [n, *ends[k + 1 :]]
    found = []
    place = ends[-1] if ends else -1
    while place >= 0:
        found.append(place)
        place = before[place]
    return found[::-1]


def _is_record(line: Mapping[str, Any]) -> bool:
    """Whether a line has the fields that every version wrote, and a value for each constraint where there are such."""
    counts = line.get("mode_counts")
    return (
        _is_count(line.get("iteration"))
        and line.get("mode") in modes.MODE_NAMES
        and isinstance(counts, dict)
        and all(_size(counts.get(name)) == 0 for name in modes.MODE_NAMES)
        and all(_size(line.get(name)) is not None for name in REQUIRED)
        and all(_size(line[name]) == 0 for name in _SCALAR)
        and len({_size(line[name]) for name in _PER_CONSTRAINT}) == 1
        and all(np.isfinite(line[name]).all() for name in _FINITE)
        and line["sample_size"] > 0
        and line["steps_per_second"] > 0
    )


def _is_evaluation(line: Mapping[str, Any], costs: int | None) -> bool:
    cost: Any = line.get("cost")
    sizes = [_size(x) for x in (line.get("env_steps"), _nan(line.get("reward")), _nan(cost))]
    return (
        line.keys() >= _EVALUATION
        and _is_count(line.get("iteration"))
        and sizes[:2] == [0, 0]
        and sizes[2] is not None
        and costs in (None, np.size(cost))
    )


def _nan(value: Any) -> Any:
    """The value with nan in place of None."""
    if isinstance(value, list):
        return [_nan(item) for item in value]
    return float("nan") if value is None else value


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 < value < 2**63


def _size(value: Any) -> int | None:
    """0 for a number, the number of numbers for a list of at most MOST_CONSTRAINTS numbers, None for anything else."""
    values = value if isinstance(value, list) and 0 < len(value) <= MOST_CONSTRAINTS else [value]
    if not all(isinstance(x, float) or (type(x) is int and abs(x) < 2**63) for x in values):
        return None
    return len(value) if isinstance(value, list) else 0
