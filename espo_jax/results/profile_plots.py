"""Whole distributions instead of means: performance profiles of rewards, and the costs of all episodes."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from espo_jax.evaluation import POLICIES
from espo_jax.results.evaluated import EvaluatedRun
from espo_jax.results.statistics import performance_profile, stratified_interval
from espo_jax.runs.colors import GREY, colors_of
from espo_jax.runs.curves import PLAIN_TEXT, plain_axes, save
from espo_jax.runs.output import clean

_POINTS = 300
_MOST_DEVIATION = 3.0  # end of the axis of D, as in SafeRLEval's figure, if this shows the safest algorithm
_SHOWN = 0.95  # share of the episodes of the safest algorithm that is shown at least


@PLAIN_TEXT
def draw(groups: Mapping[str, Sequence[EvaluatedRun]], path: Path, *, title: str = "") -> bool:
    """Draw a column for each policy: the performance profile of the rewards, and the distribution of the costs.

    The profile is the share of runs whose mean reward is above tau. The distribution is the share of all episodes
    whose cost is at most (1 + D) times the limit, for the constraint where that is largest. Both have 95 % stratified
    bootstrap intervals over the runs.

    Args:
      groups: runs of one task by algorithm.
      path: path of the picture; its suffix gives the format.
      title: text above the panels.

    Returns:
      Whether there was anything to draw: every run has fresh episodes, and a positive limit.
    """
    runs = [run for group in groups.values() for run in group]
    policies = [policy for policy in POLICIES if runs and all(policy in run.episodes for run in runs)]
    if not policies or any(np.any(run.limit <= 0) for run in runs):
        return False
    figure = Figure(figsize=(5 * len(policies), 7.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(2, len(policies), squeeze=False, sharex="row", sharey="row")
    colors = colors_of(list(groups))
    tau, grid = _tau(runs, policies), _deviations(groups, policies)
    for column, policy in zip(panels.T, policies, strict=True):
        _profiles(column[0], groups, policy, colors, tau)
        _distributions(column[1], groups, policy, colors, grid)
        column[0].set_title(f"{policy} policy", loc="left", fontsize=10)
    plain_axes(list(panels.ravel()))
    for panel in panels[:, 0]:
        panel.set_ylim(-0.02, 1.02)
        panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panels[0, 0].set_ylabel("runs with a mean reward above tau")
    panels[1, 0].set_ylabel("episodes with a cost of at most\n(1 + D) times the limit")
    handles: list[Any] = [
        Line2D([], [], color=color, label=f"{name} ({len(group)})")
        for (name, group), color in zip(groups.items(), colors, strict=True)
    ]
    handles.append(Line2D([], [], color=GREY, linestyle="--", label="limit"))
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(clean(title))
    save(figure, path)
    return True


def _mean_reward(run: EvaluatedRun, policy: str) -> float:
    return float(np.mean(run.episodes[policy].reward))


def _deviation(run: EvaluatedRun, policy: str) -> np.ndarray:
    """C / b - 1 of each episode [E], for the constraint where it is largest."""
    return np.max(np.asarray(run.episodes[policy].cost, float) / run.limit - 1, axis=1)


def _tau(runs: Sequence[EvaluatedRun], policies: Sequence[str]) -> np.ndarray:
    """The rewards on the axis, those of all policies."""
    every = [_mean_reward(run, policy) for run in runs for policy in policies]
    margin = 0.05 * (max(every) - min(every)) or 1.0
    return np.linspace(min(every) - margin, max(every) + margin, _POINTS)


def _deviations(groups: Mapping[str, Sequence[EvaluatedRun]], policies: Sequence[str]) -> np.ndarray:
    """The values of D on the axis: up to the largest, but no further than the safest algorithm needs."""
    every = [
        np.concatenate([_deviation(run, policy) for run in group]) for group in groups.values() for policy in policies
    ]
    needed = max(_MOST_DEVIATION, min(float(np.quantile(each, _SHOWN)) for each in every))
    return np.linspace(-1.0, max(0.2, min(needed, max(float(np.max(each)) for each in every))), _POINTS)


def _profiles(
    panel: Axes, groups: Mapping[str, Sequence[EvaluatedRun]], policy: str, colors: Sequence[Any], tau: np.ndarray
) -> None:
    for group, color in zip(groups.values(), colors, strict=True):
        strata = _strata(group, [np.array([_mean_reward(run, policy)]) for run in group])
        _line(panel, tau, strata, lambda scores, axis: performance_profile(scores[..., 0], tau, axis), color)
    panel.set_xlabel("tau, reward of an episode")


def _distributions(
    panel: Axes, groups: Mapping[str, Sequence[EvaluatedRun]], policy: str, colors: Sequence[Any], grid: np.ndarray
) -> None:
    for group, color in zip(groups.values(), colors, strict=True):
        shares = [1 - performance_profile(_deviation(run, policy), grid) for run in group]
        _line(panel, grid, _strata(group, shares), np.mean, color)
    panel.axvline(0.0, color=GREY, linestyle="--", linewidth=1)
    panel.set_xlabel("D, cost of an episode by its limit, minus 1")


def _strata(runs: Sequence[EvaluatedRun], values: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The values of runs [S, ...] of each condition."""
    conditions = [run.condition for run in runs]
    return [
        np.stack([value for value, condition in zip(values, conditions, strict=True) if condition == each])
        for each in dict.fromkeys(conditions)
    ]


def _line(panel: Axes, x: np.ndarray, strata: list[np.ndarray], statistic: Any, color: Any) -> None:
    every = np.concatenate(strata)
    panel.plot(x, statistic(every, axis=0), color=color, linewidth=1.3)
    if len(every) > 1:
        panel.fill_between(x, *stratified_interval(strata, statistic), color=color, alpha=0.15, linewidth=0)
