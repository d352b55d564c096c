"""The pictures of the page."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from tabular.samples import FIXED
from tabular.theorem import CLAIMED
from tabular.verdicts import FEWEST

COLOURS = matplotlib.colormaps["tab10"]


def draw(results: dict[str, Any], folder: Path) -> None:
    """All pictures, as theory_<part>.png in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, picture in (("iterations", iterations), ("size", size), ("region", region), ("samples", samples)):
        picture(results).savefig(folder / f"theory_{name}.png", dpi=110)


def iterations(results: dict[str, Any]) -> Figure:
    """Error against T with the bound, and the largest ratio of the two."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    for index, (name, cells) in enumerate(results["iterations"]["cells"].items()):
        counts = [cell["T"] for cell in cells]
        band(left, counts, cells, COLOURS(index), name)
        right.plot(counts, [cell["largest"] / cell["bound"] for cell in cells], "o-", color=COLOURS(index), label=name)
    cells = results["iterations"]["cells"]["exact, centred"]
    left.plot([cell["T"] for cell in cells], [cell["bound"] for cell in cells], "k--", lw=1, label="bound, slope −1/2")
    left.set(xscale="log", yscale="log", xlabel="T", ylabel="error (the larger of gap and violation)")
    right.set(xscale="log", xlabel="T", ylabel="largest error of a CMDP / its bound", ylim=(0, None))
    left.legend(fontsize=8)
    figure.suptitle("Theorem 4.1: error of the output policy, mean over CMDPs and 95 % interval", fontsize=11)
    return figure


def size(results: dict[str, Any]) -> Figure:
    """Error against the number of states, of actions, and the horizon, with the slopes that are claimed."""
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    words = {"states": "|S|", "actions": "|A|", "horizon": "1 / (1 − γ)"}
    for axis, (name, cells) in zip(figure.subplots(1, 3), results["size"]["cells"].items(), strict=True):
        values = [cell[name] for cell in cells]
        band(axis, values, cells, COLOURS(0), "measured")
        middle = len(values) // 2
        claimed = cells[middle]["error"]["mean"] * (np.array(values) / values[middle]) ** CLAIMED[name]
        axis.plot(values, claimed, "k--", lw=1, label=f"slope {CLAIMED[name]:g}")
        axis.set(xscale="log", yscale="log", xlabel=words[name])
        # The few values themselves are the ticks.
        axis.set_xticks(values, [f"{value:.3g}" for value in values])
        axis.minorticks_off()
        axis.legend(fontsize=8)
    figure.axes[0].set_ylabel("error")
    figure.suptitle(f"Theorem 4.1: error at T = {results['size']['T']:,}", fontsize=11)
    return figure


def band(axis: Axes, values: Sequence[float], cells: Sequence[dict], colour: Any, label: str) -> None:
    """Mean errors with their intervals."""
    error = [cell["error"] for cell in cells]
    axis.plot(values, [e["mean"] for e in error], "o-", color=colour, label=label, ms=4)
    axis.fill_between(values, [e["low"] for e in error], [e["high"] for e in error], color=colour, alpha=0.2, lw=0)


def region(results: dict[str, Any]) -> Figure:
    """The path of the smallest example that leaves the region, and how often candidates leave it."""
    figure = Figure(figsize=(10, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    found = results["region_examples"]
    example = found["leaving"].get("centred")
    if example:
        for index, (name, cost) in enumerate(example["paths"]["cost"].items()):
            steps = np.arange(len(cost)) * example["paths"]["every"]
            left.plot(steps, cost, lw=2.5, color=COLOURS(index), label=f"reading `{name}`")
        left.axhline(example["paths"]["edge"], color="black", ls="--", lw=1, label="b + h⁺")
        left.axhline(example["limit"], color="black", ls=":", lw=1, label="b")
        left.legend(fontsize=8)
    left.set(xlabel="iteration", ylabel="V_c", title="the example of reading `centred`, x_r = 1/2")
    left.title.set_fontsize(10)
    largest = found["rows"][-1]["states"], found["rows"][-1]["actions"]
    rows = [row for row in found["rows"] if (row["states"], row["actions"]) == largest]
    width = 0.8 / len(rows)
    for index, row in enumerate(rows):
        places = np.arange(len(found["weights"])) + (index - (len(rows) - 1) / 2) * width
        heights = 100 * np.array(row["left"]) / row["cmdps"]
        right.bar(places, heights, width, label=row["reading"], color=COLOURS(index))
    right.set_xticks(range(len(found["weights"])), [f"{weight:g}" for weight in found["weights"]])
    title = f"candidates with {largest[0]} states and {largest[1]} actions"
    right.set(xlabel="x_r", ylabel="leave the region (%)", title=title)
    right.title.set_fontsize(10)
    right.legend(fontsize=8)
    figure.suptitle("Proposition 4.2: whether ESPO stays in V_c ≤ b + h⁺", fontsize=11)
    return figure


def samples(results: dict[str, Any]) -> Figure:
    """Samples until each target, relative to the fixed size, by rule and reading."""
    rows = [row for row in results["samples"]["rows"] if row["rule"] != FIXED]
    smallest = min(row["rollouts"] for row in rows)
    rows = [row for row in rows if row["rollouts"] == smallest]
    readings = list(dict.fromkeys(row["reading"] for row in rows))
    figure = Figure(figsize=(1.5 + 2.9 * len(readings), 4.4), layout="constrained")
    axes = figure.subplots(1, len(readings), sharey=True, squeeze=False)[0]
    for axis, reading in zip(axes, readings, strict=True):
        shown = [row for row in rows if row["reading"] == reading]
        for index, target in enumerate(target["target"] for target in shown[0]["targets"]):
            ratios = [row["targets"][index]["ratio"] for row in shown]
            there = [place for place, ratio in enumerate(ratios) if ratio]
            middle = np.array([ratios[place]["mean"] for place in there])
            low, high = (np.array([ratios[place][name] for place in there]) for name in ("low", "high"))
            places = np.array(there) + 0.2 * (index - 1)
            error = np.abs([middle - low, high - middle])
            label = f"target: {target:g} of the bound"
            axis.errorbar(places, middle, error, fmt="o", ms=4, color=COLOURS(index), label=label)
            few = [place for place in range(len(there)) if shown[there[place]]["targets"][index]["cmdps"] < FEWEST]
            axis.plot(places[few], middle[few], "o", ms=4, mec=COLOURS(index), mfc="white", zorder=3)
        axis.axhline(1, color="black", ls="--", lw=1)
        axis.set_xticks(range(len(shown)), [row["rule"] for row in shown], rotation=40, ha="right", fontsize=8)
        axis.set_title(f"reading `{reading}`", fontsize=10)
    axes[0].set_ylabel("samples until the target / with fixed X")
    axes[0].legend(fontsize=8)
    title = f"Proposition 4.3, X = {rows[0]['X']:,}: geometric mean over CMDPs and 95 % interval"
    figure.suptitle(f"{title} (hollow: fewer than {FEWEST} CMDPs)", fontsize=11)
    return figure
