"""How the values of a sweep's axes look: their colours, their places along a panel, and their texts."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullFormatter

from espo_jax.results.sweep_read import Sweep
from espo_jax.runs.colors import BLUE, GROUP_COLORS, colors_of
from espo_jax.runs.output import clean

MAP = "viridis"
MOST_TICKS = 16  # of an axis with many values
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")  # a log scale's own texts are formulas, which are not drawn


def name_colors(figure: Figure, panel: Axes, sweep: Sweep, name: str | None) -> None:
    """Say which colour is which value: by a scale for many numbers, else by a legend beside the panels."""
    if name is None:
        return
    values = sweep.axes[name]
    if _is_scale(values):
        figure.colorbar(ScalarMappable(_norm(values), MAP), ax=panel, label=name, format=_PLAIN)
        return
    for value in values:
        panel.scatter([], [], color=_value_color(values, value), s=30, label=text_of(value))
    figure.legend(title=name, handles=panel.get_legend_handles_labels()[0], loc="outside right upper", frameon=False)


def color_of(sweep: Sweep, name: str | None, row: Mapping[str, Any]) -> Any:
    """Colour of a lane by its value of an axis."""
    return BLUE if name is None or row.get(name) is None else _value_color(sweep.axes[name], row[name])


def _value_color(values: Sequence[Any], value: Any) -> Any:
    if _is_scale(values):
        return matplotlib.colormaps[MAP](_norm(values)(value))
    return colors_of([text_of(each) for each in values])[values.index(value)]


def _is_scale(values: Sequence[Any]) -> bool:
    """Whether values are so many numbers that a colour scale says more than a legend."""
    return len(values) > len(GROUP_COLORS) and all(isinstance(value, int | float) for value in values)


def _norm(values: Sequence[Any]) -> Normalize:
    return (LogNorm if _is_log(values) else Normalize)(min(values), max(values))


def _is_log(values: Sequence[Any]) -> bool:
    """Whether numbers span so much that a log scale shows more."""
    return min(values) > 0 and max(values) / min(values) > 20


def places_of(panel: Axes, values: Sequence[Any], *, is_vertical: bool = False) -> list[float]:
    """Where the values of an axis lie: numbers to scale, perhaps a log one; names one after the other."""
    axis = panel.yaxis if is_vertical else panel.xaxis
    if all(isinstance(value, int | float) and np.isfinite(value) for value in values):
        if _is_log(values):
            (panel.set_yscale if is_vertical else panel.set_xscale)("log")
            axis.set_major_formatter(_PLAIN)
            axis.set_minor_formatter(NullFormatter())
        if len(values) <= 6:
            axis.set_ticks(list(values), [text_of(value) for value in values])
            axis.minorticks_off()
        return [float(value) for value in values]
    every = -(-len(values) // MOST_TICKS)
    axis.set_ticks(range(0, len(values), every), [text_of(value) for value in values[::every]])
    if len(values) > 6 and not is_vertical:
        axis.set_tick_params(rotation=45)
    return [float(place) for place in range(len(values))]


def text_of(value: Any) -> str:
    """A value for a label."""
    return clean(f"{value:g}" if isinstance(value, float) else str(value))
