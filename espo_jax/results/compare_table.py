"""The table of a comparison: one row for each algorithm, means over seeds with standard errors."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from espo_jax.evaluation import POLICIES
from espo_jax.modes import MODE_NAMES
from espo_jax.results.groups import in_common
from espo_jax.results.read import Records, final
from espo_jax.results.statistics import summarize
from espo_jax.runs.progress import clock_time
from espo_jax.runs.records import final_iterations, series

LATE_ITERATIONS = 100  # share of these above a limit
_MODES = "iterations by mode"


def summarize_runs(name: str, records: Sequence[Records], lanes: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One row of the table: means over seeds, each with its standard error (None for one seed) and interval.

    Args:
      name: name of the algorithm.
      records: [seed][iteration] lines of metrics.jsonl.
      lanes: [seed] rows of the table of lanes.

    Returns:
      A dictionary with samples; reward, cost and limit_met (number of seeds within every limit), from the mean of
      the last mean_over of the iterations that all seeds have; above_limit, the share of the last above_over
      iterations above a limit; mode_counts; seconds of all seeds; evaluation, by policy: reward and cost of fresh
      episodes.
    """
    shown = in_common(records)  # the curves end there too
    cost, limit = final(shown, "episode_cost"), final(shown, "cost_limit")
    shortest = len(shown[0])
    above_over = max(1, min(LATE_ITERATIONS, shortest // 2))
    late = [runs[-above_over:] for runs in shown]
    above = [np.mean(np.any(series(runs, "episode_cost") > series(runs, "cost_limit"), axis=1)) for runs in late]
    counts = np.array([[runs[-1]["mode_counts"][mode] for mode in MODE_NAMES] for runs in records])
    band = counts[:, 2:].sum()
    return {
        "algorithm": name,
        "iterations": shortest,
        "samples": _summary(np.array([runs[-1]["env_steps"] for runs in records], float)),
        "reward": _summary(final(shown, "episode_reward")[:, 0]),
        "cost": [_summary(column) for column in cost.T],
        "cost_limit": limit[0].tolist(),
        "limit_met": int(np.all(cost <= limit, axis=1).sum()),
        "seeds": len(records),
        "above_limit": _summary(np.array(above)),
        "mean_over": final_iterations(shortest),
        "above_over": above_over,
        "seconds": float(sum(lane["seconds"] for lane in lanes)),
        "evaluation": {
            policy: _evaluated(policy, lanes, cost.shape[1])
            for policy in POLICIES
            if all(lane.get(f"{policy}_reward") is not None for lane in lanes)
        },
        "mode_counts": dict(zip(MODE_NAMES, map(_summary, counts.T), strict=True)),
        "conflicts_in_balance": float(counts[:, 3].sum() / band) if band else None,
    }


def _evaluated(policy: str, lanes: Sequence[Mapping[str, Any]], num_constraints: int) -> dict[str, Any]:
    """Reward and cost of the fresh episodes of every seed."""
    suffixes = [""] if f"{policy}_cost" in lanes[0] else [f"_{k + 1}" for k in range(num_constraints)]
    return {
        "episodes": sum(lane["eval_episodes"] for lane in lanes),
        "reward": _summary(np.array([lane[f"{policy}_reward"] for lane in lanes])),
        "cost": [_summary(np.array([lane[f"{policy}_cost{suffix}"] for lane in lanes])) for suffix in suffixes],
    }


def explanation(rows: Sequence[Mapping[str, Any]]) -> str:
    """What the columns are, and over how many iterations their means go."""
    over = " or ".join(sorted({str(row["mean_over"]) for row in rows}))
    above = " or ".join(sorted({str(row["above_over"]) for row in rows}))
    return (
        f"reward, cost: of an episode, mean of the last {over} iterations; met: seeds whose mean is within the limit; "
        f"above: share of the last {above} iterations above it; time: of all seeds together, without compilation"
    )


def _summary(values: np.ndarray) -> dict[str, Any]:
    return summarize(values)._asdict()


def markdown(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows as a Markdown table, with the evaluation of the last policies, and what the columns are."""
    cells = _cells(rows)
    for cell, row in zip(cells, rows, strict=True):
        for policy, of in row["evaluation"].items():
            cell[f"{policy}: reward"] = _text(of["reward"])
            cell[f"{policy}: cost"] = ", ".join(map(_text, of["cost"]))
            cell["new episodes"] = f"{of['episodes']:,}"
    names = list(dict.fromkeys(name for cell in cells for name in cell))
    lines = [names, ["---"] * len(names), *[[cell.get(name, "") for name in names] for cell in cells]]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines) + f"\n{explanation(rows)}\n"


def table(rows: Sequence[Mapping[str, Any]], title: str) -> Group:
    """The rows as a table to print with rich. The modes stand below, since a terminal is not wide enough."""
    cells = _cells(rows)
    fresh = Table("algorithm", "policy", "reward", "cost", box=box.SIMPLE, pad_edge=False)
    for row in rows:
        for policy, of in row["evaluation"].items():
            costs = ", ".join(_text(cost) for cost in of["cost"])
            fresh.add_row(row["algorithm"], f"{policy}, {of['episodes']} new episodes", _text(of["reward"]), costs)
    modes = Table.grid(padding=(0, 2))
    for row in cells:
        modes.add_row(row["algorithm"], row.pop(_MODES))
    printed = Table(*cells[0], title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for row in cells:
        printed.add_row(*row.values())
    return Group(printed, *([fresh] if fresh.row_count else []), Text(_MODES, "italic"), modes)


def _text(statistic: Mapping[str, Any], scale: float = 1.0, digits: int = 1) -> str:
    """A mean with its standard error, if it has one."""
    error = statistic["standard_error"]
    return f"{statistic['mean'] / scale:.{digits}f}" + ("" if error is None else f" ± {error / scale:.{digits}f}")


def _cells(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    most = max(row["samples"]["mean"] for row in rows)
    slowest = max(row["seconds"] for row in rows)
    return [
        {
            "algorithm": row["algorithm"],
            "samples (M)": f"{_text(row['samples'], 1e6, 2)} ({row['samples']['mean'] / most:.0%})",
            "time": f"{clock_time(row['seconds'])} ({row['seconds'] / slowest:.0%})",
            "reward": _text(row["reward"]),
            "cost": ", ".join(map(_text, row["cost"])),
            "limit": ", ".join(f"{limit:g}" for limit in row["cost_limit"]),
            "met": f"{row['limit_met']}/{row['seeds']}",
            "above": _text(row["above_limit"], 0.01, 0) + " %",
            _MODES: ", ".join(
                f"{_text(count, digits=0)} {mode}" for mode, count in row["mode_counts"].items() if count["mean"]
            ),
        }
        for row in rows
    ]
