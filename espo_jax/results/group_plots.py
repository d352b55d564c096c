"""Pictures of groups of runs: means over the runs of a group, with bootstrap intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter

from espo_jax.modes import MODE_NAMES
from espo_jax.results.groups import AXES, align, in_common
from espo_jax.results.read import Records
from espo_jax.results.statistics import bootstrap_interval, interquartile_mean
from espo_jax.runs.colors import GREY, LIGHT_GREY, MODE_COLORS, colors_of
from espo_jax.runs.curves import PLAIN_TEXT, band_name, clipped_note, cost_top, legend_above, plain_axes, save
from espo_jax.runs.output import clean
from espo_jax.runs.records import series

_FEWEST_FOR_IQM = 4  # with fewer runs the interquartile mean is the mean
_MOST_ABOVE = 8  # groups of a legend above the panel; that of more groups is beside it
_MOST_BANDS = 3  # bands that the legend names one by one
_STYLES = ("-", ":", "-.", (0, (1, 3)))  # of the costs, if there are several
_PANELS = {
    "episode_reward": "episode reward",
    "episode_cost": "episode cost",
    "sample_size": "samples\nper iteration",
    "conflict_angle": "angle of reward\nand cost steps",
}


@PLAIN_TEXT
def draw(groups: Mapping[str, Sequence[Records]], path: str | Path, *, x: str = "iteration", title: str = "") -> None:
    """Draw reward, cost with limit and band, sample size and conflict angle of each group, and the modes of each run.

    Lines are means over the runs of a group, with their 95 % bootstrap interval; from four runs on, the
    interquartile mean is dashed beside it. The modes are those of the iterations, a row for each run.

    Args:
      groups: runs by name, each [seed][iteration] lines of metrics.jsonl.
      path: path of the picture; its suffix gives the format.
      x: a key of AXES.
      title: text above the panels.

    Raises:
      ValueError: x is not known, or the runs of a group have no part in common.
    """
    if x not in AXES:
        raise ValueError(f"x is {x!r}: it must be one of {', '.join(AXES)}")
    heights = [0.5 + 0.08 * min(len(runs), 10) for runs in groups.values()]
    figure = Figure(figsize=(9, 11.5 + 0.9 * sum(heights)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(4 + len(groups), 1, sharex=True, height_ratios=[3, 3, 2, 2, *heights])
    colors = colors_of(list(groups))
    for runs, color in zip(groups.values(), colors, strict=True):
        for panel, field in zip(panels, _PANELS, strict=False):
            _curve(panel, runs, field, x, color)
    _name_lines(panels[0], groups, colors)
    _limits(panels[1], groups, x)
    for panel, name in zip(panels[4:], groups, strict=True):
        _modes(panel, groups[name], x)
        panel.set_ylabel(name.replace(", ", "\n"), rotation=0, ha="right", va="center", fontsize=8)
    plain_axes(panels)
    for panel in panels[4:]:
        panel.grid(visible=False)
    for panel, label in zip(panels, _PANELS.values(), strict=False):
        panel.set_ylabel(label)
    panels[3].axhline(90, color=LIGHT_GREY, linestyle=":")
    panels[3].set_ylim(0, 180)
    panels[3].set_yticks([0, 90, 180], ["0°", "90°", "180°"])
    panels[2].yaxis.set_major_formatter(EngFormatter(sep=""))
    panels[2].set_ylim(bottom=0)
    handles = [Patch(facecolor=c, label=m) for m, c in zip(MODE_NAMES, MODE_COLORS, strict=True)]
    title_of_modes = "mode of every iteration, a row for each run"
    legend_above(panels[4], handles=handles, title=title_of_modes, title_fontsize=9, alignment="left")
    if x != "iteration":
        panels[-1].xaxis.set_major_formatter(EngFormatter(sep=""))
    panels[-1].set_xlabel(AXES[x])
    figure.suptitle(clean(title))
    figure.align_ylabels(panels[:4])
    save(figure, path)


def _curve(panel: Axes, runs: Sequence[Records], field: str, x: str, color: Any) -> None:
    places, values = align(runs, field, x)
    marker: dict[str, Any] = (
        {"marker": "o", "markersize": 3} if len(places) == 1 else {}
    )  # a line of one point cannot be seen
    for k, style in zip(range(values.shape[2]), _STYLES * values.shape[2], strict=False):
        lane = values[..., k]
        panel.plot(places, lane.mean(axis=0), color=color, linestyle=style, linewidth=1.3, **marker)
        if len(runs) > 1:
            panel.fill_between(places, *bootstrap_interval(lane), color=color, alpha=0.2, linewidth=0)
        if len(runs) >= _FEWEST_FOR_IQM:
            panel.plot(places, interquartile_mean(lane), color=color, linestyle="--", linewidth=0.8)


def _name_lines(panel: Axes, groups: Mapping[str, Sequence[Records]], colors: Sequence[Any]) -> None:
    """The legend of the groups, above the panel or, for many groups, beside it."""
    handles: list[Any] = [
        Line2D([], [], color=color, label=f"{name} ({len(runs)} run{'s' * (len(runs) > 1)})")
        for (name, runs), color in zip(groups.items(), colors, strict=True)
    ]
    if any(len(runs) > 1 for runs in groups.values()):
        handles.append(Patch(facecolor=GREY, alpha=0.2, label="95 % bootstrap interval of the mean"))
    if any(len(runs) >= _FEWEST_FOR_IQM for runs in groups.values()):
        handles.append(Line2D([], [], color=GREY, linestyle="--", linewidth=0.8, label="interquartile mean"))
    if len(groups) > _MOST_ABOVE:
        panel.legend(handles=handles, fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    else:
        legend_above(panel, handles=handles, ncols=2 if max(map(len, groups)) > 25 else 3)


def _limits(panel: Axes, groups: Mapping[str, Sequence[Records]], x: str) -> None:
    """The limits and the bands of the last iterations, and what the lines are if there are several costs."""
    every = [records for runs in groups.values() for records in in_common(runs, x)]
    costs = [series(records, "episode_cost") for records in every]
    top = max(cost_top(cost, series(records, "cost_limit")) for cost, records in zip(costs, every, strict=True))
    highest, num_constraints = max(np.nanmax(cost) for cost in costs), max(cost.shape[1] for cost in costs)
    panel.set_ylim(0, top)
    bands = set()
    for records in every:
        limit, low, high = (series(records, name)[-1] for name in ("cost_limit", "slack_negative", "slack_positive"))
        bands |= set(zip(limit.tolist(), low.tolist(), high.tolist(), strict=True))
    handles: list[Any] = []
    if num_constraints > 1:
        handles += [
            Line2D([], [], color=GREY, linestyle=style, label=f"cost {k + 1}")
            for k, style in zip(range(num_constraints), _STYLES * num_constraints, strict=False)
        ]
    for b in sorted({b for b, _, _ in bands}):
        handles.append(panel.axhline(b, color=GREY, linestyle="--", linewidth=1, label=f"limit {b:g}"))
    for number, (b, low, high) in enumerate(sorted(bands)):
        edges = np.clip([b + low, b + high], 0.0, top)
        shown = panel.axhspan(*edges, color=LIGHT_GREY, alpha=0.35 / len(bands), linewidth=0)
        if len(bands) <= _MOST_BANDS or number == 0:
            shown.set_label(band_name(b, low, high) if len(bands) <= _MOST_BANDS else "balance bands")
            handles.append(shown)
    legend_above(panel, handles=[*handles, *clipped_note(highest, top)], ncols=3)


def _modes(panel: Axes, runs: Sequence[Records], x: str) -> None:
    """The mode of every iteration of every run, a row for each run; nothing is smoothed."""
    for row, records in enumerate(in_common(runs, x)):
        codes = np.array([[MODE_NAMES.index(line["mode"]) for line in records]])
        ends = series(records, "env_steps" if x == "env_steps" else "iteration")[:, 0]
        first = ends[0] - (records[0]["sample_size"] if x == "env_steps" else 1)
        panel.pcolormesh(
            np.concatenate([[first], ends]), [row, row + 0.9], codes, cmap=ListedColormap(MODE_COLORS), vmin=-0.5,
            vmax=len(MODE_NAMES) - 0.5,
        )  # fmt: skip
    panel.set_ylim(len(runs), 0)
    panel.set_yticks([])
