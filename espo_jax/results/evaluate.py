"""Evaluation of a run's policy by many fresh episodes, on the physics of the run or on another one."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.table import Table
from rich.text import Text

from espo_jax.algorithms.inference import inference_fn
from espo_jax.evaluation import DETERMINISTIC, MOST_EPISODES, POLICIES, Episodes, episode_runner
from espo_jax.results.evaluated import EvaluatedRun
from espo_jax.results.read import Records, read_run
from espo_jax.results.safety_measures import normalized_reward, of_policy
from espo_jax.results.safety_table import episode_cells, printed
from espo_jax.results.statistics import summarize
from espo_jax.runs import output, policies
from espo_jax.runs.files import DamagedError
from espo_jax.runs.progress import number
from espo_jax.runs.result import yes_or_no
from espo_jax.runs.run_config import RunConfig


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
            limit = np.atleast_1d(np.asarray(run_config.hyperparams["cost_limit"], float))
            time_limit = config.episode_length or env.episode_length
            rows.append({"backend": env.backend, "policy": policy, **_row(episodes, limit, time_limit)})
    return rows


def _row(episodes: Any, limit: np.ndarray, time_limit: int) -> dict[str, Any]:
    """The results of one policy on one backend, from its Episodes on the host.

    reward, length: Summary; cost: a Summary for each constraint; worst_cost: [K]; within_limit: share of the episodes
    that keep every limit; the measures of `of_policy`; time_limit, in control steps; episode_reward, episode_cost,
    episode_length: what all is computed from.
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
        **of_policy(episodes, limit, time_limit),
        "normalized_reward": None,
        "length": summarize(episodes.length)._asdict(),
        "time_limit": time_limit,
        "episode_reward": episodes.reward,
        "episode_cost": episodes.cost,
        "episode_length": episodes.length,
    }


def normalize(rows: Sequence[dict[str, Any]], unconstrained: Sequence[dict[str, Any]]) -> None:
    """Set the normalised reward of rows, by the rows of an unconstrained policy of the same kind on the same physics.

    Args:
      rows: rows of a run; they are changed.
      unconstrained: rows of the run of an unconstrained policy.
    """
    reference = {(row["policy"], row["backend"]): row["reward"]["mean"] for row in unconstrained}
    for row in rows:
        key = row["policy"], row["backend"]
        row["normalized_reward"] = normalized_reward(row["reward"]["mean"], reference[key])


def evaluated_run(run_dir: Path, rows: Sequence[dict[str, Any]]) -> EvaluatedRun:
    """A run with the episodes of its rows, on the first of their physics; without records if they cannot be read."""
    try:
        records: Records = read_run(run_dir).records
    except DamagedError as error:
        output.warn(f"{error}; there are no measures of its training")
        records = ()
    own = [row for row in rows if row["backend"] == rows[0]["backend"]]
    episodes = {
        row["policy"]: Episodes(row["episode_reward"], row["episode_cost"], row["episode_length"]) for row in own
    }
    return EvaluatedRun(run_dir.name, RunConfig.read(run_dir), records, episodes, rows[0]["time_limit"])


def tables(rows: Sequence[dict[str, Any]], title: str) -> list[Table]:
    """The rows as tables to print with rich: reward and cost, and safety."""
    means = Table(title=title, title_justify="left")
    for column in ("policy", "physics", "reward", "cost", "limit", "met", "length"):
        means.add_column(column)
    for row in rows:
        means.add_row(
            row["policy"],
            str(row["backend"]),
            with_interval(row["reward"]),
            Text("\n").join(map(with_interval, row["cost"])),
            number(row["cost_limit"]),
            yes_or_no(row["limit_met"]),
            number(row["length"]["mean"]),
        )
    cells = [{"policy": row["policy"], "physics": str(row["backend"]), **episode_cells(row)} for row in rows]
    return [means, printed(cells, "Safety")]


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
