"""The table of a comparison: one row for each algorithm, means over seeds with standard errors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from espo_jax.modes import MODE_NAMES
from espo_jax.results.read import FINAL_ITERATIONS, Records, final
from espo_jax.results.statistics import summarize
from espo_jax.runs.progress import clock_time
from espo_jax.runs.records import series

LATE_ITERATIONS = 100  # share of these above a limit
_MODES = "iterations by mode"
EXPLANATION = (
    f"reward, cost: of an episode, mean of the last {FINAL_ITERATIONS} iterations; met: seeds whose mean is within the "
    f"limit; above: share of the last {LATE_ITERATIONS} iterations above it; time: of all seeds together, without "
    "compilation; it follows lockstep, the samples of each iteration's largest seed"
)


def summarize_runs(name: str, records: Sequence[Records]) -> dict[str, Any]:
    """One row of the table: means over seeds, each with its standard error (None for one seed) and interval.

    Args:
      name: name of the algorithm.
      records: [seed][iteration] lines of metrics.jsonl.

    Returns:
      A dictionary with samples; reward, cost and limit_met (number of seeds within every limit), from the mean of
      the last FINAL_ITERATIONS; above_limit, the share of the last LATE_ITERATIONS above a limit; lockstep_samples,
      the largest sample size among the seeds, summed over the iterations (the time of vmapped seeds follows it);
      mode_counts.
    """
    cost, limit = final(records, "episode_cost"), final(records, "cost_limit")
    late = [runs[-LATE_ITERATIONS:] for runs in records]
    above = [np.mean(np.any(series(runs, "episode_cost") > series(runs, "cost_limit"), axis=1)) for runs in late]
    sizes = np.array([[r["sample_size"] for r in runs] for runs in records])
    counts = np.array([[runs[-1]["mode_counts"][mode] for mode in MODE_NAMES] for runs in records])
    band = counts[:, 2:].sum()
    return {
        "algorithm": name,
        "iterations": len(records[0]),
        "samples": _summary(np.array([runs[-1]["env_steps"] for runs in records], float)),
        "reward": _summary(final(records, "episode_reward")[:, 0]),
        "cost": [_summary(column) for column in cost.T],
        "cost_limit": limit[0].tolist(),
        "limit_met": int(np.all(cost <= limit, axis=1).sum()),
        "seeds": len(records),
        "above_limit": _summary(np.array(above)),
        "lockstep_samples": int(sizes.max(axis=0).sum()),
        "mode_counts": dict(zip(MODE_NAMES, map(_summary, counts.T), strict=True)),
        "conflicts_in_balance": float(counts[:, 3].sum() / band) if band else None,
    }


def _summary(values: np.ndarray) -> dict[str, Any]:
    return summarize(values)._asdict()


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table."""
    cells = _cells(rows)
    lines = [list(cells[0]), ["---"] * len(cells[0]), *[list(row.values()) for row in cells]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def table(rows: Sequence[Mapping[str, Any]], title: str) -> Group:
    """The rows as a table to print with rich. The modes stand below, since a terminal is not wide enough."""
    cells = _cells(rows)
    modes = Table.grid(padding=(0, 2))
    for row in cells:
        modes.add_row(row["algorithm"], row.pop(_MODES))
    printed = Table(*cells[0], title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for row in cells:
        printed.add_row(*row.values())
    return Group(printed, Text(_MODES, "italic"), modes)


def _cells(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    most = max(row["samples"]["mean"] for row in rows)
    slowest = max(row["seconds"] for row in rows)
    longest = max(row["lockstep_samples"] for row in rows)

    def text(statistic: Mapping[str, Any], scale: float = 1.0, digits: int = 1) -> str:
        error = statistic["standard_error"]
        return f"{statistic['mean'] / scale:.{digits}f}" + ("" if error is None else f" ± {error / scale:.{digits}f}")

    return [
        {
            "algorithm": row["algorithm"],
            "samples (M)": f"{text(row['samples'], 1e6, 2)} ({row['samples']['mean'] / most:.0%})",
            "lockstep": f"{row['lockstep_samples'] / longest:.0%}",
            "time": f"{clock_time(row['seconds'])} ({row['seconds'] / slowest:.0%})",
            "reward": text(row["reward"]),
            "cost": ", ".join(map(text, row["cost"])),
            "limit": ", ".join(f"{limit:g}" for limit in row["cost_limit"]),
            "met": f"{row['limit_met']}/{row['seeds']}",
            "above": text(row["above_limit"], 0.01, 0) + " %",
            _MODES: ", ".join(
                f"{text(count, digits=0)} {mode}" for mode, count in row["mode_counts"].items() if count["mean"]
            ),
        }
        for row in rows
    ]
