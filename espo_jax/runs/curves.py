"""curves.png: reward, cost, sample size and mode of a run over its samples."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter

from espo_jax.modes import MODE_NAMES
from espo_jax.runs import files
from espo_jax.runs.colors import BLACK, COST_COLORS, GREY, LIGHT_GREY, MODE_COLORS, colors_of
from espo_jax.runs.output import clean
from espo_jax.runs.records import series

PLAIN_TEXT = mpl.rc_context({"text.parse_math": False})  # a dollar in the name of a task is a dollar


@PLAIN_TEXT
def draw(
    records: Sequence[dict[str, Any]], path: str | Path, *, base_sample_size: int, title: str = "", algorithm: str = ""
) -> None:
    """Draw a run.

    Args:
      records: lines of metrics.jsonl, as `records.record` makes them; at least one.
      path: path of the picture; its suffix gives the format.
      base_sample_size: X, drawn as a line.
      title: text above the panels.
      algorithm: the algorithm, whose colour the lines have.

    Raises:
      ValueError: there are no records.
    """
    if not records:
        raise ValueError("there are no iterations to draw")
    steps = np.array([line["env_steps"] for line in records], float)
    figure = Figure(figsize=(9, 10), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(4, 1, sharex=True, height_ratios=(3, 3, 2, 2.4))
    color = colors_of([algorithm])[0] if algorithm else BLACK
    _reward(panels[0], steps, records, color)
    _cost(panels[1], steps, records, color)
    _sample_size(panels[2], steps, records, base_sample_size, color)
    _modes(panels[3], steps, records, color)
    plain_axes(panels)
    panels[0].set_xlim(0, steps[-1])
    panels[-1].xaxis.set_major_formatter(EngFormatter(sep=""))
    panels[-1].set_xlabel("environment steps")
    figure.suptitle(clean(title))
    figure.align_ylabels(panels)
    save(figure, path)


def save(figure: Figure, path: str | Path) -> None:
    """Write a picture; its suffix gives the format. A hard link to an earlier one keeps the old picture.

    Raises:
      ValueError: the format is not known.
      OSError: the file cannot be written.
    """
    content = io.BytesIO()
    figure.savefig(content, format=Path(path).suffix.removeprefix(".") or None, dpi=120)
    files.write(Path(path), content.getvalue())


def plain_axes(panels: Sequence[Axes]) -> None:
    """Remove the frame and draw light horizontal lines."""
    for panel in panels:
        panel.margins(x=0)
        panel.spines[["top", "right"]].set_visible(False)
        panel.grid(axis="y", color="#DDDDDD", linewidth=0.6)
        panel.set_axisbelow(True)


def legend_above(panel: Axes, *, ncols: int = 4, handles: Sequence[Any] | None = None, **options: Any) -> None:
    """A legend above a panel, where it covers nothing; its entries follow each other row by row."""
    found = panel.get_legend_handles_labels()[0] if handles is None else handles
    panel.legend(
        handles=[handle for column in range(ncols) for handle in found[column::ncols]],
        loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=ncols, frameon=False, borderaxespad=0.1,
        **{"fontsize": 9, "handlelength": 1.6, "columnspacing": 1.2, **options},
    )  # fmt: skip


def clipped_note(highest: float, top: float) -> list[Line2D]:
    """A line of a legend that says how large the costs are that lie above the axis; none if there are none."""
    text = f"(cost up to {highest:,.0f}, above this axis)"
    return [Line2D([], [], linestyle="", label=text)] if highest > top else []


def band_name(limit: float, low: float, high: float) -> str:
    """The balance band of a limit b with the slacks h- and h+, as text."""
    return f"balance band [{_edge(limit, low)}, {_edge(limit, high)}]"


def _reward(panel: Axes, steps: np.ndarray, records: Sequence[dict[str, Any]], color: Any) -> None:
    panel.plot(steps, series(records, "episode_reward")[:, 0], color=color, **_dots(steps))
    panel.set_ylabel("episode reward")


def _cost(panel: Axes, steps: np.ndarray, records: Sequence[dict[str, Any]], color: Any) -> None:
    cost = series(records, "episode_cost")
    limit, low, high = (series(records, name) for name in ("cost_limit", "slack_negative", "slack_positive"))
    several = cost.shape[1] > 1
    top = cost_top(cost, limit)
    panel.set_ylim(0, top)
    for k in range(cost.shape[1]):
        of_cost, of_limit = (COST_COLORS[k % len(COST_COLORS)],) * 2 if several else (color, GREY)
        name, of = (f" {k + 1}", f" of cost {k + 1}") if several else ("", "")
        # An infinite edge of the band is drawn at the edge of the picture.
        band = np.clip(limit[:, k] + low[:, k], 0, top), np.clip(limit[:, k] + high[:, k], 0, top)
        edges = band_name(limit[-1, k], low[-1, k], high[-1, k])
        panel.fill_between(steps, *band, color=of_limit, alpha=0.15, linewidth=0, label=f"{edges}{of}")
        panel.plot(steps, limit[:, k], color=of_limit, linestyle="--", label=f"limit{name}: {limit[-1, k]:g}")
        panel.plot(steps, cost[:, k], color=of_cost, label=f"cost{name}", **_dots(steps))
    panel.set_ylabel("episode cost")
    note = clipped_note(np.nanmax(cost, initial=0.0), top)
    legend_above(panel, ncols=3, handles=[*panel.get_legend_handles_labels()[0], *note])


def _sample_size(
    panel: Axes, steps: np.ndarray, records: Sequence[dict[str, Any]], base_sample_size: int, color: Any
) -> None:
    size = series(records, "sample_size")[:, 0]
    panel.plot(steps, size, color=color, linewidth=0.8, drawstyle="steps-pre", **_dots(steps, line=False))
    panel.axhline(base_sample_size, color=GREY, linestyle="--", label=f"X = {base_sample_size:,}")
    panel.set_ylim(0, 1.3 * max(size.max(), base_sample_size))
    panel.yaxis.set_major_formatter(EngFormatter(sep=""))
    panel.set_ylabel("samples\nper iteration")
    legend_above(panel)


def _modes(panel: Axes, steps: np.ndarray, records: Sequence[dict[str, Any]], color: Any) -> None:
    codes = np.array([MODE_NAMES.index(line["mode"]) for line in records])
    edges = np.concatenate([[steps[0] - records[0]["sample_size"]], steps])
    panel.pcolormesh(
        edges, [-50, -8], codes[None, :], cmap=ListedColormap(MODE_COLORS), vmin=-0.5, vmax=len(MODE_NAMES) - 0.5
    )
    panel.plot(steps, series(records, "conflict_angle")[:, 0], color=color, linewidth=0.8, **_dots(steps, line=False))
    panel.axhline(90, color=LIGHT_GREY, linestyle=":")
    panel.set_ylim(-50, 185)
    panel.set_yticks([-29, 0, 90, 180], ["mode", "0°", "90°", "180°"])
    panel.set_ylabel("angle of reward\nand cost steps")
    patches = [
        Patch(facecolor=of_mode, edgecolor=GREY, linewidth=0.5, label=f"{name} {np.mean(codes == code):.0%}")
        for code, (name, of_mode) in enumerate(zip(MODE_NAMES, MODE_COLORS, strict=True))
    ]
    title = "mode of every iteration, and its share of all iterations"
    legend_above(panel, handles=patches, title=title, title_fontsize=9, alignment="left")


def cost_top(cost: np.ndarray, limit: np.ndarray) -> float:
    """Top of the cost axis: the largest cost, unless the early cost is far above both the limit and the later cost."""
    later = np.nanmax(cost[len(cost) // 2 :], initial=0.0)
    readable = 1.15 * max(2 * limit.max(), later)
    highest = 1.05 * max(np.nanmax(cost, initial=0.0), limit.max())
    return float(highest if highest <= 1.5 * readable else readable) or 1.0


def _edge(limit: float, slack: float) -> str:
    return f"{limit + slack:g}".replace("inf", "∞")


def _dots(steps: np.ndarray, *, line: bool = True) -> dict[str, Any]:
    """Style of a line. A short run gets dots, since a line of one point cannot be seen."""
    style: dict[str, Any] = {"linewidth": 1.3} if line else {}
    return {**style, "marker": "o", "markersize": 3} if len(steps) <= 30 else style
