"""The figures of `espo bench` as a picture."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

from espo_jax.results.bench import STEPPING, TRAINING, WITH_POLICY, Figures
from espo_jax.results.bench_table import name
from espo_jax.runs.colors import GREY, GROUP_COLORS, LIGHT_GREY
from espo_jax.runs.curves import PLAIN_TEXT, plain_axes, save

_MARKERS = {STEPPING: "s", WITH_POLICY: "D", TRAINING: "o"}
_COLORS = {STEPPING: LIGHT_GREY, WITH_POLICY: GREY}


@PLAIN_TEXT
def draw(figures: Sequence[Figures], path: str | Path, title: str) -> None:
    """Draw steps per second against the number of environments: medians, and bars from the slowest to the fastest run.

    Args:
      figures: what was measured.
      path: picture to write; its suffix says the format.
      title: title of the picture.

    Raises:
      ValueError: the format is not known.
      OSError: the picture cannot be written.
    """
    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    colors = iter(GROUP_COLORS * len(figures))
    for label in dict.fromkeys(name(each._asdict()) for each in figures):
        line = sorted((each for each in figures if name(each._asdict()) == label), key=lambda each: each.num_envs)
        speeds = [each.samples / np.array(each.seconds) for each in line]
        medians = np.array([each.samples_per_second for each in line])
        spread = [medians - [s.min() for s in speeds], [s.max() for s in speeds] - medians]
        part = line[0].part
        color = _COLORS.get(part) or next(colors)
        widths = [each.num_envs for each in line]
        panel.errorbar(widths, medians, spread, label=label, color=color, marker=_MARKERS[part], capsize=3)
    panel.set_xscale("log", base=2)
    panel.set_yscale("log")
    panel.set_xticks(sorted({each.num_envs for each in figures}))
    panel.xaxis.set_major_formatter("{x:,.0f}")
    panel.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    panel.yaxis.set_major_formatter(EngFormatter(sep=""))
    panel.yaxis.set_minor_formatter(NullFormatter())
    panel.set_xlabel("environments")
    panel.set_ylabel("environment steps per second")
    panel.set_title(title, loc="left")
    plain_axes([panel])
    panel.margins(x=0.04)
    if figures:
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
    save(figure, path)
