"""result.json: how a run ended, in numbers, and the same as a table for people."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from rich.text import Text

from espo_jax.runs.narrow import lines_of
from espo_jax.runs.progress import clock_time, number

FINISHED, INTERRUPTED, NONFINITE, NEGATIVE_COST = "finished", "interrupted", "nonfinite", "negative_cost"


def result_of(
    records: Sequence[Mapping[str, Any]], base_sample_size: int, *, evaluation: Mapping[str, Any], **ending: Any
) -> dict[str, Any]:
    """The content of result.json.

    Args:
      records: lines of metrics.jsonl.
      base_sample_size: X.
      evaluation: results of fresh episodes, by policy; empty without an evaluation at the end.
      **ending: status (FINISHED, INTERRUPTED, NONFINITE or NEGATIVE_COST), signal, message, lost_output (why the
        console could not be written; None if it could), compile_seconds, and best_safe (iteration and reward of the
        best safe checkpoint).

    Returns:
      The ending, iterations and seconds (of all iterations). If there is any iteration, also env_steps, fixed_env_steps
      (the number of samples that a fixed X would have taken), training (reward, cost, samples, episodes_finished),
      cost_limit and limit_met; and the evaluation.
    """
    found = {
        **ending,
        "iterations": records[-1]["iteration"] if records else 0,
        "seconds": sum(line["sample_size"] / line["steps_per_second"] for line in records),
    }
    if not records:
        return found
    last = records[-1]
    found |= {
        "env_steps": last["env_steps"],
        "fixed_env_steps": last["iteration"] * base_sample_size,
        "cost_limit": last["cost_limit"],
        "training": {
            "reward": last["episode_reward"],
            "cost": last["episode_cost"],
            "samples": last["sample_size"],
            "episodes_finished": last["episodes_finished"],
        },
        "limit_met": {"training": _is_met(last["episode_cost"], last["cost_limit"])},
    }
    if evaluation:
        found["evaluation"] = dict(evaluation)
        found["limit_met"] |= {policy: _is_met(of["cost"], last["cost_limit"]) for policy, of in evaluation.items()}
    return found


def summary(result: Mapping[str, Any], path: Path) -> Group:
    """The table at the end of a run, to print with rich."""
    if "training" not in result:  # a damaged log of a run that had finished
        return Group(f"the log has no iteration that can be read; run directory {path}")
    table = Table(title="Reward and cost of an episode (± standard deviation)", title_justify="left")
    for column in ("policy", "reward", "cost", "limit", "met"):
        table.add_column(column)
    limit = number(result["cost_limit"])
    training = result["training"]
    table.add_row(
        f"in training, {training['samples']:,} samples",
        number(training["reward"]), number(training["cost"]), limit, yes_or_no(result["limit_met"]["training"]),
    )  # fmt: skip
    for policy, evaluation in result.get("evaluation", {}).items():
        table.add_row(
            f"{policy}, {evaluation['episodes']} new episodes",
            f"{number(evaluation['reward'])} ± {number(evaluation['reward_std'])}",
            f"{number(evaluation['cost'])} ± {number(evaluation['cost_std'])}",
            limit, yes_or_no(result["limit_met"][policy]),
        )  # fmt: skip
    used, fixed = result["env_steps"], result["fixed_env_steps"]
    difference = f"{abs(1 - used / fixed):.1%} {'fewer' if used <= fixed else 'more'}"
    facts = {
        "samples": f"{used:,} in {result['iterations']} iterations; fixed X: {fixed:,} ({difference})",
        "time": f"{clock_time(result['seconds'])}, and {clock_time(result['compile_seconds'])} to compile",
        "run directory": str(path),
    }
    return Group(table, lines_of(facts))


def yes_or_no(met: bool) -> Text:
    """Whether a limit is met, coloured for rich."""
    return Text("yes", "green") if met else Text("no", "red")


def _is_met(cost: float | list[float], limit: float | list[float]) -> bool:
    costs, limits = (x if isinstance(x, list) else [x] for x in (cost, limit))
    return all(cost <= limit for cost, limit in zip(costs, limits, strict=True))
