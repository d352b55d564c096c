"""A sweep as a picture: reward against cost of all lanes, what each axis does, two axes as a map, samples saved."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from espo_jax.results.statistics import bootstrap_interval
from espo_jax.results.sweep_read import Sweep
from espo_jax.results.sweep_scales import MAP, MOST_TICKS, color_of, name_colors, places_of, text_of
from espo_jax.runs.colors import BLACK, BLUE, GREY, LIGHT_GREY, VERMILLION
from espo_jax.runs.curves import PLAIN_TEXT, plain_axes, save
from espo_jax.runs.output import clean
from espo_jax.runs.progress import number
from espo_jax.sweeps import columns

_MOST_MEANS = 10  # of an axis with many values
_FEWEST_CELLS = 0.5  # the share of a map that must be there
Row = Mapping[str, Any]


@PLAIN_TEXT
def draw(sweep: Sweep, path: str | Path, *, color_by: str | None = None, title: str = "") -> None:
    """Draw a sweep on one page.

    The first row has reward against each cost with the limits and the Pareto front of the means over seeds, and the
    share of samples saved against the share of conflicts. Then each axis has a row with means of reward and costs over
    all lanes that share its value, with 95 % bootstrap intervals; the last row has the first two axes as a map.

    Args:
      sweep: from `read_sweep`.
      path: picture to write; its suffix says the format.
      color_by: axis that the colours of lanes show; None stands for the first axis.
      title: text above the panels.

    Raises:
      ValueError: color_by is no axis of the sweep, or the format is not known.
    """
    axes = list(sweep.axes)
    if color_by is not None and color_by not in axes:
        raise ValueError(
            f"color_by is {color_by!r}: it must be an axis of the sweep: {', '.join(axes) or 'it has none'}"
        )
    first = color_by or (axes[0] if axes else None)
    has_map = len(axes) > 1
    rows, measures = 1 + len(axes) + has_map, _measures(sweep)
    figure = Figure(figsize=(5 * len(measures), 3.6 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(rows, len(measures), squeeze=False)
    for panel, cost in zip(panels[0], measures[1:], strict=False):
        _reward_against_cost(panel, sweep, first, cost)
    _samples_against_conflicts(panels[0, -1], sweep, first)
    name_colors(figure, panels[0, -1], sweep, first)
    for row, name in zip(panels[1:], axes, strict=False):
        for panel, measure in zip(row, measures, strict=True):
            _sensitivity(panel, sweep, name, measure)
    if has_map:
        for panel, measure in zip(panels[-1], measures, strict=True):
            _heat_map(figure, panel, sweep, axes[0], axes[1], measure)
    plain_axes(list(panels[: rows - has_map].ravel()))
    for panel in panels[: rows - has_map].ravel():
        panel.margins(x=0.06, y=0.08)
    figure.suptitle(clean(title))
    save(figure, path)


def pareto_front(reward: np.ndarray, cost: np.ndarray) -> np.ndarray:
    """Places of the points that no other point beats in both reward and cost, by rising cost.

    Args:
      reward: [P], more is better.
      cost: [P], less is better.
    """
    front, best = [], -np.inf
    for place in np.lexsort((-reward, cost)):
        if reward[place] > best:
            front.append(place)
            best = reward[place]
    return np.array(front, int)


def by_point(sweep: Sweep) -> dict[tuple, list[Row]]:
    """The rows by the values of all axes: the seeds of each point."""
    points: dict[tuple, list[Row]] = {}
    for row in sweep.rows:
        points.setdefault(tuple(row.get(name) for name in sweep.axes), []).append(row)
    return points


def _measures(sweep: Sweep) -> list[str]:
    """Columns of the reward and of each cost of a lane at the end of training."""
    return ["reward", *columns.names_of("cost", sweep.num_constraints)]


def _limits(sweep: Sweep, measure: str) -> list[float]:
    """The limits on a cost in a sweep, if they are few enough to be drawn; none on the reward."""
    rows = (row.get(measure.replace("cost", "cost_limit")) for row in sweep.rows if measure != "reward")
    limits = sorted({limit for limit in rows if limit is not None})
    return limits if len(limits) <= MOST_TICKS else []


def _label(measure: str) -> str:
    return measure.replace("_", " ") + " of an episode"


def _reward_against_cost(panel: Axes, sweep: Sweep, color_by: str | None, measure: str) -> None:
    points = [[row for row in rows if row.get(measure) is not None] for rows in by_point(sweep).values()]
    for row in itertools.chain(*points):
        panel.scatter(row[measure], row["reward"], s=14, color=color_of(sweep, color_by, row), alpha=0.45, linewidth=0)
    means = [(np.mean([r[measure] for r in rows]), np.mean([r["reward"] for r in rows]), rows[0])
             for rows in points if rows]  # fmt: skip
    for cost, reward, row in means:
        panel.scatter(
            cost, reward, s=42, color=color_of(sweep, color_by, row), edgecolor=BLACK, linewidth=0.7, zorder=3
        )
    costs, rewards = (np.array([mean[k] for mean in means]) for k in (0, 1))
    front = pareto_front(rewards, costs)
    panel.plot(costs[front], rewards[front], color=BLACK, linewidth=1, zorder=2)
    for limit in _limits(sweep, measure):
        panel.axvline(limit, color=GREY, linestyle="--", linewidth=0.8)
    panel.set_xlabel(f"{_label(measure)} (dashed: limits)")
    panel.set_ylabel("reward of an episode")
    panel.set_title("Lanes, means (large), their Pareto front", loc="left", fontsize=10)


def _samples_against_conflicts(panel: Axes, sweep: Sweep, color_by: str | None) -> None:
    for row in sweep.rows:
        saved = 1 - row["env_steps"] / row["fixed_env_steps"]
        conflicts = row["conflicts_in_balance"]
        known = conflicts is not None
        panel.scatter(
            conflicts if known else 0.0, saved, s=18, alpha=0.8, linewidth=0.8,
            facecolor=color_of(sweep, color_by, row) if known else "none", edgecolor=color_of(sweep, color_by, row),
        )  # fmt: skip
    panel.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panel.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    panel.set_xlabel("iterations in the band that conflict (hollow: none in it)")
    panel.set_ylabel("samples saved")
    panel.set_title("Fewer samples than fixed X", loc="left", fontsize=10)


def _sensitivity(panel: Axes, sweep: Sweep, name: str, measure: str) -> None:
    """Means over all lanes with a value of an axis, and their intervals."""
    values = sweep.axes[name]
    place_of = dict(zip(values, places_of(panel, values), strict=True))
    rows = [row for row in _with(sweep, measure) if row.get(name) is not None]
    panel.scatter(
        [place_of[row[name]] for row in rows], [row[measure] for row in rows], s=8, color=LIGHT_GREY, alpha=0.5
    )
    # Of many values, such as random ones, neighbours share a mean.
    shares = np.array_split(np.arange(len(values)), _MOST_MEANS if len(values) > MOST_TICKS else len(values))
    found = []
    for share in shares:
        of_share = {values[i] for i in share}
        group = [row[measure] for row in rows if row[name] in of_share]
        if group:
            found.append((np.mean([place_of[value] for value in of_share]), group))
    places, groups = [place for place, _ in found], [group for _, group in found]
    means = np.array([np.mean(group) for group in groups])
    low, high = np.array([bootstrap_interval(np.array(group)) for group in groups]).T
    color = BLUE if measure == "reward" else VERMILLION
    line = "" if any(isinstance(value, str) for value in values) else "-"  # nothing lies between two names
    panel.errorbar(
        places, means, [means - low, high - means], color=color, marker="o", capsize=3, linewidth=1.3, linestyle=line
    )
    for limit in _limits(sweep, measure):
        panel.axhline(limit, color=GREY, linestyle="--", linewidth=0.8)
    panel.set_xlabel(name)
    panel.set_ylabel(_label(measure))
    panel.set_title("Means over all lanes of a value, with 95 % intervals", loc="left", fontsize=10)


def _heat_map(figure: Figure, panel: Axes, sweep: Sweep, one: str, other: str, measure: str) -> None:
    """Means over all lanes with the same values of two axes."""
    across, up = sweep.axes[one], sweep.axes[other]
    grid = np.full((len(up), len(across)), np.nan)
    for (y, value_up), (x, value_across) in itertools.product(enumerate(up), enumerate(across)):
        cell = [r[measure] for r in _with(sweep, measure) if r.get(one) == value_across and r.get(other) == value_up]
        if cell:
            grid[y, x] = np.mean(cell)
    if np.isfinite(grid).mean() < _FEWEST_CELLS:
        _points(figure, panel, sweep, one, other, measure)
        return
    image = panel.imshow(grid, cmap=MAP if measure == "reward" else "magma_r", aspect="auto", origin="lower")
    every, every_up = -(-len(across) // MOST_TICKS), -(-len(up) // MOST_TICKS)
    labels = [text_of(value) for value in across[::every]]
    panel.set_xticks(range(0, len(across), every), labels, rotation=45 if len(labels) > 6 else 0)
    panel.set_yticks(range(0, len(up), every_up), [text_of(value) for value in up[::every_up]])
    if len(across) <= 12 and len(up) <= 24:
        middle = (np.nanmin(grid) + np.nanmax(grid)) / 2
        for (y, x), value in np.ndenumerate(grid):
            dark = value < middle if measure == "reward" else value > middle
            if np.isfinite(value):
                text = number(value) if len(across) <= 8 else f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"
                panel.text(
                    x,
                    y,
                    text,
                    ha="center",
                    va="center",
                    fontsize=7 if len(across) <= 8 else 6,
                    color="white" if dark else "black",
                )
    panel.set_xlabel(one)
    panel.set_ylabel(other)
    panel.set_title(f"mean {measure.replace('_', ' ')}", loc="left", fontsize=10)
    figure.colorbar(image, ax=panel)


def _points(figure: Figure, panel: Axes, sweep: Sweep, one: str, other: str, measure: str) -> None:
    """The means of the points of two axes of which most combinations are not there, such as random ones."""
    x_of, y_of = (
        dict(zip(sweep.axes[name], places_of(panel, sweep.axes[name], is_vertical=name == other), strict=True))
        for name in (one, other)
    )
    cells: dict[tuple, list[float]] = {}
    for row in _with(sweep, measure):
        if row.get(one) is not None and row.get(other) is not None:
            cells.setdefault((x_of[row[one]], y_of[row[other]]), []).append(row[measure])
    x, y = np.array(list(cells)).T
    means = [np.mean(values) for values in cells.values()]
    shown = panel.scatter(x, y, c=means, cmap=MAP if measure == "reward" else "magma_r", s=45)
    panel.set_xlabel(one)
    panel.set_ylabel(other)
    panel.set_title(f"mean {measure.replace('_', ' ')}", loc="left", fontsize=10)
    figure.colorbar(shown, ax=panel)


def _with(sweep: Sweep, measure: str) -> list[Row]:
    """The rows that have a measure: lanes of fewer constraints lack some costs."""
    return [row for row in sweep.rows if row.get(measure) is not None]
