"""Evaluation of a run's policy by many fresh episodes, on the physics of the run or on another one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.table import Table
from rich.text import Text

from espo_jax.algorithms.inference import inference_fn
from espo_jax.evaluation import DETERMINISTIC, MOST_EPISODES, POLICIES, episode_runner
from espo_jax.results.statistics import conditional_value_at_risk, summarize
from espo_jax.runs import policies
from espo_jax.runs.progress import number
from espo_jax.runs.result import yes_or_no
from espo_jax.runs.run_config import RunConfig

CVAR_ALPHA = 0.1


def evaluate(
    run_dir: Path,
    make_env: Callable[[str | None], Any],
    backends: Sequence[str | None],
    *,
    num_episodes: int,
    seed: int = 0,
    best_safe: bool = False,
) -> list[dict[str, Any]]:
    """Run fresh episodes of a run's policy, stochastic and deterministic, on each backend.

    Args:
      run_dir: folder of the run.
      make_env: backend -> one instance of the run's task.
      backends: physics to evaluate on.
      num_episodes: number of episodes of each policy on each backend.
      seed: seed of resets and actions, the same for all.
      best_safe: whether to evaluate the best checkpoint within the limits instead of the last policy.

    Returns:
      One dictionary for each backend and policy, see `_row`.

    Raises:
      ValueError: the run is damaged, or its policy does not fit the task.
      FloatingPointError: an episode's reward or cost is nan or infinite.
    """
    if not 1 <= num_episodes <= MOST_EPISODES:
        raise ValueError(f"episodes is {num_episodes}: it must lie in [1, {MOST_EPISODES}]")
    run_config = RunConfig.read(run_dir)
    config, networks, params = policies.load(run_dir, best_safe=best_safe)
    rows = []
    for backend in backends:
        env = make_env(backend)
        sizes = {"observation": env.observation_size, "action": env.action_size}
        own = {"observation": params[0].mean.size, "action": params[1]["params"]["log_std"].size}
        for name, size in sizes.items():
            if size != own[name]:
                raise ValueError(f"{name} size is {size} on {run_config.options.task}: the policy has {own[name]}")
        run = jax.jit(
            episode_runner(
                env,
                inference_fn(networks, config),
                num_episodes=num_episodes,
                episode_length=config.episode_length,
                action_repeat=config.action_repeat,
            )
        )
        for policy in POLICIES:
            episodes: Any = jax.device_get(run(params, jax.random.key(seed), policy == DETERMINISTIC))
            for name, values in episodes._asdict().items():
                if not np.isfinite(values).all():
                    raise FloatingPointError(f"{name} of an episode on {env.backend} is nan or infinite")
            limit = np.atleast_1d(run_config.hyperparams["cost_limit"])
            rows.append({"backend": env.backend, "policy": policy, **_row(episodes, limit)})
    return rows


def _row(episodes: Any, limit: np.ndarray) -> dict[str, Any]:
    """The results of one policy on one backend, from its Episodes on the host.

    reward, length: Summary; cost: a Summary for each constraint; worst_cost, cvar_cost: [K]; within_limit: share of
    the episodes that keep every limit; episode_reward, episode_cost, episode_length: what all is computed from.
    """
    columns = episodes.cost.T
    return {
        "episodes": len(episodes.reward),
        "reward": summarize(episodes.reward)._asdict(),
        "cost": [summarize(column)._asdict() for column in columns],
        "cost_limit": limit.tolist(),
        "limit_met": bool(np.all(np.mean(episodes.cost, axis=0) <= limit)),
        "within_limit": float(np.mean(np.all(episodes.cost <= limit, axis=1))),
        "worst_cost": [float(np.max(column)) for column in columns],
        "cvar_cost": [conditional_value_at_risk(column, CVAR_ALPHA) for column in columns],
        "length": summarize(episodes.length)._asdict(),
        "episode_reward": episodes.reward,
        "episode_cost": episodes.cost,
        "episode_length": episodes.length,
    }


def table(rows: Sequence[dict[str, Any]], title: str) -> Table:
    """The rows as a table to print with rich."""
    printed = Table(title=title, title_justify="left")
    for column in ("policy", "physics", "reward", "cost", "limit", "met", "within", "worst", "CVaR 0.1", "length"):
        printed.add_column(column)
    for row in rows:
        printed.add_row(
            row["policy"],
            str(row["backend"]),
            with_interval(row["reward"]),
            Text("\n").join(map(with_interval, row["cost"])),
            number(row["cost_limit"]),
            yes_or_no(row["limit_met"]),
            f"{row['within_limit']:.0%}",
            number(row["worst_cost"]),
            number(row["cvar_cost"]),
            number(row["length"]["mean"]),
        )
    return printed


def gaps(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Differences between each further backend and the first one, episode by episode, as Summaries.

    Episodes of the same number share their keys of reset and actions, so their differences vary less than their values.
    """
    first = {row["policy"]: row for row in reversed(rows) if row["backend"] == rows[0]["backend"]}
    found = []
    for row in rows:
        if row["backend"] != rows[0]["backend"]:
            reward, cost = (row[name] - first[row["policy"]][name] for name in ("episode_reward", "episode_cost"))
            found.append(
                {
                    "policy": row["policy"],
                    "backend": row["backend"],
                    "minus": rows[0]["backend"],
                    "reward": summarize(reward)._asdict(),
                    "cost": [summarize(column)._asdict() for column in cost.T],
                }
            )
    return found


def gap_text(gap: dict[str, Any]) -> str:
    """One of `gaps` as a line of text."""
    cost = ", ".join(with_interval(summary).plain for summary in gap["cost"])
    reward = with_interval(gap["reward"]).plain
    return f"{gap['policy']}: {gap['backend']} minus {gap['minus']}: reward {reward}, cost {cost}"


def with_interval(summary: dict[str, Any]) -> Text:
    """A mean with its standard error, if it has one, and its interval."""
    error = summary["standard_error"]
    mean = f"{number(summary['mean'])}{'' if error is None else f' ± {number(error)}'} "
    return Text(mean).append(f"({number(summary['low'])} to {number(summary['high'])})", "dim")
