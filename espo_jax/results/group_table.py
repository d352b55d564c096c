"""Where groups of runs end, as a table: over the same iterations as their curves."""

from collections.abc import Mapping, Sequence

import numpy as np
from rich.table import Table
from rich.text import Text

from espo_jax.results.groups import in_common
from espo_jax.results.read import Records, final
from espo_jax.results.statistics import interquartile_mean, summarize
from espo_jax.runs.progress import number
from espo_jax.runs.records import final_iterations


def table(groups: Mapping[str, Sequence[Records]], x: str = "iteration") -> Table:
    """Means of the last iterations of each group over its runs, with interval and interquartile mean.

    Args:
      groups: runs by name, each [seed][iteration] lines of metrics.jsonl.
      x: what the runs of a group have in common, see `in_common`; the rest of a longer run is left out.
    """
    printed = Table(title="Last iterations of the curves, mean (95 % bootstrap interval)", title_justify="left")
    columns = ("group", "runs", "iterations", "samples (M)", "reward", "interquartile", "cost", "interquartile")
    for column in (*columns, "limit", "met"):
        printed.add_column(column)
    for name, every in groups.items():
        runs = in_common(every, x)
        cost, limit = final(runs, "episode_cost"), final(runs, "cost_limit")
        reward = final(runs, "episode_reward")
        samples = np.array([[records[-1]["env_steps"] / 1e6] for records in runs])
        printed.add_row(
            name,
            str(len(runs)),
            _iterations(runs),
            _text(samples),
            _text(reward),
            number(interquartile_mean(reward).tolist()),
            _text(cost),
            number(interquartile_mean(cost).tolist()),
            number(limit[0].tolist()),
            f"{np.all(cost <= limit, axis=1).sum()}/{len(runs)}",
        )
    return printed


def _iterations(runs: Sequence[Records]) -> str:
    """The iterations that the final values are means over; runs that end at the same sample may have several."""
    parts = [(run[-final_iterations(len(run))]["iteration"], run[-1]["iteration"]) for run in runs]
    return " or ".join(f"{first}-{last}" for first, last in sorted(set(parts)))


def _text(values: np.ndarray) -> Text:
    return Text("\n").join(
        Text(f"{number(s.mean)} ").append(f"({number(s.low)} to {number(s.high)})", "dim")
        for s in map(summarize, values.T)
    )
