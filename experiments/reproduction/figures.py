"""The pictures of the page."""

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter

from espo_jax.results.statistics import bootstrap_interval, interquartile_mean
from espo_jax.runs.colors import ALGORITHM_COLORS, GREY, LIGHT_GREY, OWN_COLORS, colors_of
from espo_jax.runs.curves import band_name, clipped_note, cost_top, legend_above, plain_axes, save
from reproduction.cells import Curve, smoothed
from reproduction.times import idle

_POINTS = 200  # of a curve
_DASHES: tuple[Any, ...] = ("-", "--", ":", "-.", (0, (7, 1)), (0, (1, 3)))  # of the variants of one algorithm
_LIMIT_DASHES = ("--", ":")  # of the first and of the second limit
_BY = {"iteration": "iteration", "env_steps": "samples"}
_FROM_LIMIT, _MINUTES = "from limit", "minutes"
_SHOWN = {  # label of a row of panels, and its height
    "episode_reward": ("episode reward", 3), "episode_cost": ("episode cost", 3),
    _FROM_LIMIT: ("cost above\nthe limit", 2), _MINUTES: ("minutes", 2),
    "sample_size": ("samples per\niteration", 2),
}  # fmt: skip


def curves(groups: Mapping[str, Sequence[Curve]], path: Path, title: str) -> None:
    """Reward, cost, time if all were timed, and sample size, against iterations and against samples.

    Args:
      groups: runs of each variant of one task, by its title.
      path: path of the picture.
      title: text above the panels.
    """
    shown = {name: row for name, row in _SHOWN.items() if name != _MINUTES or all(map(idle, groups.values()))}
    heights = [height for _, height in shown.values()]
    figure = Figure(figsize=(11, 1.3 * sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(shown), 2, height_ratios=heights, sharex="col")
    for (name, runs), style in zip(groups.items(), styles_of(list(groups)), strict=True):
        for column, x in enumerate(_BY):
            for row, field in enumerate(shown):
                _line(panels[row, column], runs, x, field, style, f"{name} ({len(runs)})")
    every = [curve for runs in groups.values() for curve in runs]
    for column, x in enumerate(_BY):
        of = dict(zip(shown, panels[:, column], strict=True))
        handles = _limits(of["episode_cost"], every)
        if column == 0:  # two lines: a wide legend would make the panels narrow
            legend_above(of["episode_cost"], handles=handles, ncols=2)
        _show_late(of[_FROM_LIMIT])
        for field, panel in of.items():
            panel.set_ylabel(shown[field][0])
        of["sample_size"].set_xlabel(_BY[x])
        of["sample_size"].set_ylim(bottom=0)
        of["sample_size"].yaxis.set_major_formatter(EngFormatter(sep=""))
    panels[-1, 1].xaxis.set_major_formatter(EngFormatter(sep=""))
    columns = 2 if max(map(len, groups)) > 35 else 3  # three longer names are wider than the picture
    handles = panels[0, 0].get_legend_handles_labels()[0]
    figure.legend(handles=handles, loc="outside lower left", ncols=columns, frameon=False)
    plain_axes(panels.ravel())
    figure.suptitle(title)
    save(figure, path)


def _show_late(panel: Axes) -> None:
    """Let the axis end where the last fifth of all lines does; what is earlier may lie outside."""
    late = np.concatenate([[0.0], *(line.get_ydata()[-_POINTS // 5 :] for line in panel.lines)])
    margin = 0.1 * np.ptp(late) or 1.0
    panel.set_ylim(late.min() - margin, late.max() + margin)
    panel.axhline(0.0, color=GREY, linestyle=_LIMIT_DASHES[0], linewidth=1)


def band(runs: Mapping[str, Curve], path: Path, title: str) -> None:
    """The cost of every iteration of one run of each algorithm, with the edges of the band that it crosses.

    Args:
      runs: one run of each algorithm, by its name.
      path: path of the picture.
      title: text above the panels.
    """
    figure = Figure(figsize=(9, 0.8 + 2.2 * len(runs)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(len(runs), 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    for panel, (name, curve), color in zip(panels, runs.items(), colors_of(list(runs)), strict=True):
        panel.plot(curve.values["iteration"], curve.values["episode_cost"], color=color, linewidth=0.9)
        panel.set_ylabel(f"{name}\nepisode cost")
        legend_above(panel, handles=_limits(panel, list(runs.values()), name), ncols=3)
    panels[-1].set_xlabel("iteration")
    plain_axes(panels)
    figure.suptitle(title)
    save(figure, path)


def styles_of(names: Sequence[str]) -> list[dict[str, Any]]:
    """Colour and dashes of each group. Variants of one algorithm have dashes of their own.

    They also have shades of its colour, or colours of their own if there are more than two.

    Args:
      names: names of the groups, each the name of an algorithm and then its settings.

    Returns:
      For each group the keyword arguments of a line.
    """
    algorithms = [name.split(", ")[0] for name in names]
    places = [algorithms[:place].count(algorithm) for place, algorithm in enumerate(algorithms)]
    dashes = [_DASHES[place % len(_DASHES)] for place in places]
    colors = colors_of(names)
    if len(set(algorithms)) > 1 and max(places) > 1:
        own = iter(OWN_COLORS)
        colors = [next(own) if ", " in name else ALGORITHM_COLORS[name] for name in names]
    return [{"color": c, "linestyle": d} for c, d in zip(colors, dashes, strict=True)]


def _line(panel: Axes, runs: Sequence[Curve], x: str, field: str, style: Mapping[str, Any], label: str) -> None:
    """The interquartile mean of some runs, each averaged over 20 iterations, and its interval."""
    if field == _MINUTES:
        runs = idle(runs)
    first = max(curve.values[x][0] for curve in runs)
    last = min(curve.values[x][-1] for curve in runs)
    places = np.linspace(first, last, _POINTS)
    values = np.array([np.interp(places, curve.values[x], _values(curve, field)) for curve in runs])
    panel.plot(places, interquartile_mean(values), **style, linewidth=1.4, label=label)
    if len(runs) > 1:
        interval = bootstrap_interval(values, interquartile_mean)
        panel.fill_between(places, *interval, color=style["color"], alpha=0.2, linewidth=0)


def _values(curve: Curve, field: str) -> np.ndarray:
    if field == _MINUTES:
        return curve.seconds / 60
    return (
        smoothed(curve.values["episode_cost"]) - curve.limit if field == _FROM_LIMIT else smoothed(curve.values[field])
    )


def _limits(panel: Axes, runs: Sequence[Curve], of: str | None = None) -> list[Any]:
    """Draw the limit of each run once, and the first band; an early cost far above is cut off.

    Args:
      panel: where to draw.
      runs: the runs.
      of: algorithm of whose runs the band is drawn; None for all.

    Returns:
      The entries of a legend.
    """
    costs = [curve.values["episode_cost"] for curve in runs]
    top = max(cost_top(cost, curve.values["cost_limit"]) for cost, curve in zip(costs, runs, strict=True))
    panel.set_ylim(0, top)
    handles: list[Any] = []
    with_band = [run for run in runs if run.cell.variant.has_band and of in (None, run.cell.variant.algorithm)]
    for curve in with_band[:1]:
        limit, low, high = (
            float(curve.values[name][-1]) for name in ("cost_limit", "slack_negative", "slack_positive")
        )
        edges = np.clip([limit + low, limit + high], 0.0, top)
        several = len({run.limit for run in with_band}) > 1
        label = band_name(limit, low, high) + (f" of limit {limit:g}" if several else "")
        handles.append(panel.axhspan(*edges, color=LIGHT_GREY, alpha=0.25, linewidth=0, label=label))
    for each, dashes in zip(sorted({curve.limit for curve in runs}), itertools.cycle(_LIMIT_DASHES)):
        handles.append(panel.axhline(each, color=GREY, linestyle=dashes, linewidth=1, label=f"limit {each:g}"))
    return [*handles, *clipped_note(max(map(np.max, costs)), top)]
