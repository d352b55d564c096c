"""The table of lanes: one row for each, with its settings, its status and its final figures."""

import collections
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Group as Printed

from espo_jax.evaluation import Episodes, Evaluation, mean_of
from espo_jax.modes import MODE_NAMES
from espo_jax.runs.narrow import lines_of
from espo_jax.runs.progress import clock_time
from espo_jax.runs.records import final_iterations
from espo_jax.runs.result import FINISHED
from espo_jax.sweeps import columns
from espo_jax.sweeps.folder import SweepFolder, lane_row
from espo_jax.sweeps.group_run import RUNNING, GroupRun
from espo_jax.sweeps.manifest import Group

MEAN_OVER = "mean_over"


def rows_of(run: GroupRun, episodes: Mapping[str, Episodes] | None = None) -> list[dict[str, Any]]:
    """The rows of a group's lanes.

    Args:
      run: the group.
      episodes: from `GroupRun.evaluate`; None before the end, when a lane with nothing left to train is still
        running: its policy is evaluated with those of the others.
    """
    finals = _finals(run.folder, run.group) if episodes is not None else {}
    evaluations = {policy: jax.device_get(jax.vmap(mean_of)(each)) for policy, each in (episodes or {}).items()}
    failed, rows = run.failed, []
    for n, (lane, status) in enumerate(zip(run.lanes, run.status, strict=True)):
        row = lane_row(lane, run.folder.manifest.num_constraints)
        row |= {
            "status": RUNNING if status == FINISHED and episodes is None else status,
            "message": str(failed[n]) if n in failed else None,
            "iterations": int(run.iterations[n]),
            "env_steps": int(run.env_steps[n]),
            "fixed_env_steps": int(run.iterations[n]) * int(lane.config.config["base_sample_size"]),
            "seconds": float(run.seconds[n]),
        }
        row |= finals.get(lane.id, {})
        if status == FINISHED and evaluations:
            row["eval_episodes"] = lane.config.options.num_eval_episodes
            for policy, evaluation in evaluations.items():
                row |= _evaluated(policy, evaluation, n, run.folder.manifest.num_constraints)
        rows.append(row)
    return rows


def is_done(rows: Sequence[Mapping[str, Any]], group: Group) -> bool:
    """Whether no lane of a group has anything left to do, by its rows."""
    written = {row[columns.LANE]: row for row in rows}
    for lane in group.lanes:
        row = written.get(lane.id, {"status": "planned"})
        if row["status"] in ("planned", RUNNING):
            return False
        iterations, timesteps = lane.config.hyperparams["num_iterations"], lane.config.options.num_timesteps
        is_short = row["iterations"] < iterations and (timesteps is None or row["env_steps"] < timesteps)
        is_short |= (row.get("eval_episodes") or 0) < lane.config.options.num_eval_episodes
        if row["status"] == FINISHED and is_short:  # more is asked for than before
            return False
    return True


def _evaluated(policy: str, evaluation: Evaluation, lane: int, num_constraints: int) -> dict[str, float]:
    """Means of a lane's fresh episodes."""
    found: dict[str, float] = {}
    for field, values in evaluation._asdict().items():
        of_lane = np.atleast_1d(values[lane])
        names = columns.names_of(field, num_constraints)
        found |= {f"{policy}_{name}": float(value) for name, value in zip(names, of_lane, strict=False)}
    return found


def _finals(folder: SweepFolder, group: Group) -> dict[str, dict[str, Any]]:
    """Final values of each lane of a group, from its metrics."""
    costs, limits = (
        columns.names_of(field, folder.manifest.num_constraints) for field in ("episode_cost", "cost_limit")
    )
    modes = columns.names_of("mode_counts", 1)
    names = [columns.LANE, "iteration", "episode_reward", *costs, *limits, *modes]
    table = folder.read_metrics(group, names)
    if table is None:
        return {}
    values = {name: table[name].to_numpy(zero_copy_only=False) for name in names[1:]}
    lanes = np.asarray(table[columns.LANE].to_pylist())
    return {
        lane: _final({name: column[lanes == lane] for name, column in values.items()}, costs, limits)
        for lane in np.unique(lanes)
    }


def _final(values: Mapping[str, np.ndarray], costs: Sequence[str], limits: Sequence[str]) -> dict[str, Any]:
    """Final values of one lane from its columns."""
    order = np.argsort(values["iteration"])
    count = final_iterations(len(order))
    last = order[-count:]
    means = {name: float(np.mean(values[name][last])) for name in ("episode_reward", *costs)}
    own = [(means[c], float(values[limit][last[-1]])) for c, limit in zip(costs, limits, strict=True)]
    counts = {mode: int(values[f"mode_counts_{mode}"][last[-1]]) for mode in MODE_NAMES}
    band = sum(counts[mode] for mode in MODE_NAMES[2:])
    return {
        "reward": means["episode_reward"],
        **{name.removeprefix("episode_"): means[name] for name in costs if not np.isnan(means[name])},
        MEAN_OVER: count,
        "limit_met": all(cost <= limit for cost, limit in own if not np.isnan(cost)),
        "conflicts_in_balance": counts[MODE_NAMES[3]] / band if band else None,
        **{f"iterations_{mode}": count for mode, count in counts.items()},
    }


def summary(rows: Sequence[Mapping[str, Any]], path: Path) -> Printed:
    """How a sweep stands, to print with rich: its lanes by status, and what they took."""
    counts = collections.Counter(row["status"] for row in rows)
    facts = {"lanes": ", ".join(f"{count:,} {status}" for status, count in counts.items())}
    used, fixed = (sum(row.get(name) or 0 for row in rows) for name in ("env_steps", "fixed_env_steps"))
    if fixed:
        difference = f"{abs(1 - used / fixed):.1%} {'fewer' if used <= fixed else 'more'}"
        facts["samples"] = f"{used:,}; fixed X: {fixed:,} ({difference})"
        facts["time"] = clock_time(sum(row.get("seconds") or 0.0 for row in rows))
    return Printed(lines_of(facts | {"folder": str(path)}))
