"""Pictures of groups of runs: means over the runs of a group, with bootstrap intervals."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter
from rich.table import Table
from rich.text import Text

from espo_jax.modes import MODE_NAMES
from espo_jax.results.read import Records, Run, final
from espo_jax.results.statistics import bootstrap_interval, interquartile_mean, summarize
from espo_jax.runs.colors import GREEN, GREY, GROUP_COLORS, LIGHT_GREY, MODE_COLORS, colors_of
from espo_jax.runs.curves import PLAIN_TEXT, cost_top, plain_axes, save
from espo_jax.runs.output import clean
from espo_jax.runs.progress import number
from espo_jax.runs.records import final_iterations, series

AXES = {"iteration": "iteration", "env_steps": "environment steps"}
_MOST_POINTS = 500
_FEWEST_FOR_IQM = 4  # with fewer runs the interquartile mean is the mean
_MODE_WINDOW = 25  # number of iterations over which the share of a mode is taken


def group(runs: Sequence[Run], fields: Sequence[str]) -> dict[str, list[Records]]:
    """Group the records of runs by the values of settings, such as {"espo, zeta_negative -0.5": [...]}.

    Args:
      runs: from `read_run`.
      fields: names of settings or options of the runs.

    Raises:
      ValueError: a field that a run does not have.
    """
    groups: dict[str, list[Records]] = {}
    order: dict[str, list[float]] = {}
    for run in runs:
        known = {**dataclasses.asdict(run.config.options), **run.config.settings()}
        for field in fields:
            if field not in known:
                raise ValueError(f"group_by is {field!r}: a run has no such setting, but for example algorithm")
        values = (f"{known[f]}" if isinstance(known[f], str) else f"{f} {known[f]}" for f in fields)
        name = clean(", ".join(values))
        groups.setdefault(name, []).append(run.records)
        order[name] = [float(known[f]) if isinstance(known[f], int | float) else 0.0 for f in fields]
    return {name: groups[name] for name in sorted(groups, key=lambda name: order[name])}  # numbers as numbers


def align(runs: Sequence[Records], field: str, x: str = "iteration") -> tuple[np.ndarray, np.ndarray]:
    """Values of a field of several runs at common places: x [T], values [S, T, K].

    Args:
      runs: [seed][iteration] lines of metrics.jsonl.
      field: field of a line.
      x: "iteration", or "env_steps" with linear interpolation; both end where the shortest run ends.
    """
    if x == "iteration":
        places, runs = in_common(runs)
        return places, np.stack([series(records, field) for records in runs])
    steps = [series(records, "env_steps")[:, 0] for records in runs]
    if max(s[0] for s in steps) > min(s[-1] for s in steps):
        raise ValueError(f"x is {x!r}: the runs of a group have no part in common")
    grid = np.linspace(max(s[0] for s in steps), min(s[-1] for s in steps), min(_MOST_POINTS, max(map(len, runs))))
    values = [
        np.stack([np.interp(grid, s, column) for column in series(records, field).T], axis=-1)
        for s, records in zip(steps, runs, strict=True)
    ]
    return grid, np.stack(values)


def in_common(runs: Sequence[Records]) -> tuple[np.ndarray, list[Records]]:
    """The iterations [T] that all of some runs have, and the runs without the others."""
    common = set.intersection(*({line["iteration"] for line in records} for records in runs))
    if not common:
        raise ValueError("the runs of a group have no iteration in common")
    return np.array(sorted(common)), [[line for line in run if line["iteration"] in common] for run in runs]


@PLAIN_TEXT
def draw(groups: Mapping[str, Sequence[Records]], path: str | Path, *, x: str = "iteration", title: str = "") -> None:
    """Draw reward, cost with limit and band, sample size and conflict angle of each group, and its share of each mode.

    Lines are means over the runs of a group, with their 95 % bootstrap interval; from four runs on, the
    interquartile mean is dashed beside it.

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
    figure = Figure(figsize=(9, 11 + 0.8 * len(groups)), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(4 + len(groups), 1, sharex=True, height_ratios=[3, 3, 2, 2] + [0.8] * len(groups))
    for (name, runs), color in zip(groups.items(), colors_of(len(groups)), strict=True):
        for panel, field in zip(
            panels, ("episode_reward", "episode_cost", "sample_size", "conflict_angle"), strict=False
        ):
            _curve(panel, runs, field, x, color=color, label=f"{name} ({len(runs)})")
    _limits(panels[1], groups, x)
    for panel, name in zip(panels[4:], groups, strict=True):
        _mode_shares(panel, groups[name], x)
        panel.set_ylabel(name.replace(", ", "\n"), rotation=0, ha="right", va="center", fontsize=8)
    plain_axes(panels)
    labels = ("episode reward", "episode cost", "samples\nper iteration", "angle of reward\nand cost steps")
    for panel, label in zip(panels, labels, strict=False):
        panel.set_ylabel(label)
    if len(groups) > len(GROUP_COLORS):
        panels[0].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.01, 1.0), frameon=False)
    else:
        panels[0].legend(fontsize=9)
    panels[1].legend(fontsize=9, loc="upper right")
    panels[3].axhline(90, color=LIGHT_GREY, linestyle=":")
    panels[3].set_ylim(0, 180)
    panels[3].set_yticks([0, 90, 180], ["0°", "90°", "180°"])
    panels[2].yaxis.set_major_formatter(EngFormatter(sep=""))
    panels[2].set_ylim(bottom=0)
    handles = [Patch(facecolor=c, label=f"{m} mode") for m, c in zip(MODE_NAMES, MODE_COLORS, strict=True)]
    panels[4].legend(handles=handles, ncols=len(handles), fontsize=8, loc="lower right", bbox_to_anchor=(1, 1))
    if x != "iteration":
        panels[-1].xaxis.set_major_formatter(EngFormatter(sep=""))
    panels[-1].set_xlabel(AXES[x])
    figure.suptitle(clean(title))
    figure.align_ylabels(panels[:4])
    save(figure, path)


def table(groups: Mapping[str, Sequence[Records]]) -> Table:
    """Where each group ends: means of the last iterations over its runs, with interval and interquartile mean."""
    last = " or ".join(map(str, sorted({final_iterations(len(run)) for runs in groups.values() for run in runs})))
    printed = Table(title=f"Last {last} iterations, mean (95 % bootstrap interval)", title_justify="left")
    for column in ("group", "runs", "samples (M)", "reward", "interquartile", "cost", "interquartile", "limit", "met"):
        printed.add_column(column)
    for name, runs in groups.items():
        cost, limit = final(runs, "episode_cost"), final(runs, "cost_limit")
        reward = final(runs, "episode_reward")
        samples = np.array([[records[-1]["env_steps"] / 1e6] for records in runs])
        printed.add_row(
            name,
            str(len(runs)),
            _text(samples),
            _text(reward),
            number(interquartile_mean(reward).tolist()),
            _text(cost),
            number(interquartile_mean(cost).tolist()),
            number(limit[0].tolist()),
            f"{np.all(cost <= limit, axis=1).sum()}/{len(runs)}",
        )
    return printed


def _text(values: np.ndarray) -> Text:
    return Text("\n").join(
        Text(f"{number(s.mean)} ").append(f"({number(s.low)} to {number(s.high)})", "dim")
        for s in map(summarize, values.T)
    )


def _curve(panel: Axes, runs: Sequence[Records], field: str, x: str, *, color: str, label: str) -> None:
    places, values = align(runs, field, x)
    for k, style in zip(range(values.shape[2]), ("-", ":", "-.", (0, (1, 3))) * values.shape[2], strict=False):
        lane = values[..., k]
        text = f"{label}, cost {k + 1}" if values.shape[2] > 1 else label
        panel.plot(places, lane.mean(axis=0), color=color, linestyle=style, linewidth=1.3, label=text)
        if len(runs) > 1:
            panel.fill_between(places, *bootstrap_interval(lane), color=color, alpha=0.2, linewidth=0)
        if len(runs) >= _FEWEST_FOR_IQM:
            panel.plot(places, interquartile_mean(lane), color=color, linestyle="--", linewidth=0.8)


def _limits(panel: Axes, groups: Mapping[str, Sequence[Records]], x: str) -> None:
    every = [records for runs in groups.values() for records in runs]
    top = max(cost_top(series(records, "episode_cost"), series(records, "cost_limit")) for records in every)
    panel.set_ylim(0, top)
    bands = set()
    for records in every:
        limit, low, high = (series(records, name)[-1] for name in ("cost_limit", "slack_negative", "slack_positive"))
        edges = np.clip(limit + low, 0.0, top), np.clip(limit + high, 0.0, top)
        bands |= set(zip(limit.tolist(), *(edge.tolist() for edge in edges), strict=True))
    for b in sorted({b for b, _, _ in bands}):
        panel.axhline(b, color=GREY, linestyle="--", linewidth=1, label=f"limit {b:g}")
    for _, low, high in sorted(bands):
        panel.axhspan(low, high, color=GREEN, alpha=0.25 / (2 * len(bands)), linewidth=0)


def _mode_shares(panel: Axes, runs: Sequence[Records], x: str) -> None:
    """Draw the share of each mode, over the runs and over neighbouring iterations."""
    places, runs = in_common(runs)
    count = len(places)
    codes = np.array([[MODE_NAMES.index(line["mode"]) for line in records] for records in runs])
    shares = np.stack([(codes == code).mean(axis=0) for code in range(len(MODE_NAMES))])  # [4, T]
    window = np.ones(min(_MODE_WINDOW, count))
    shares = np.stack([np.convolve(row, window, "same") for row in shares]) / np.convolve(
        np.ones(count), window, "same"
    )
    steps = np.mean([series(records, "env_steps")[:, 0] for records in runs], axis=0)
    panel.stackplot(steps if x == "env_steps" else places, shares, colors=MODE_COLORS)
    panel.set_ylim(0, 1)
    panel.set_yticks([])
