"""The tables of the page, in Markdown."""

import collections
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from espo_jax.modes import MODE_NAMES
from reproduction.cells import Curve
from reproduction.estimates import Estimate, difference, estimate, pairs, percent_less, percents_less
from reproduction.variants import RIVALS, VARIANTS, Variant

Curves = Mapping[str, Sequence[Curve]]  # by the name of their variant
LATE = 100  # last iterations in which violations are counted
PAPER_SAMPLES = {  # Tables 1 and 2, in millions
    "reacher": 5.7, "walker2d": 6.2, "humanoidstandup": 5.1, "hopper_velocity": 7.3, "ant_velocity": 7.6,
}  # fmt: skip
PAPER_FIXED = {**dict.fromkeys(tuple(PAPER_SAMPLES)[:3], 8.0), **dict.fromkeys(tuple(PAPER_SAMPLES)[3:], 10.0)}
PAPER_MODES = {"espo": "298 reward, 199 balance, 3 cost", "crpo": "178 reward, 322 cost"}  # Table 3


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as a table; a line that says so if there are none."""
    if not rows:
        return "No cell is finished yet.\n"
    names = list(rows[0])
    lines = [names, ["---"] * len(names), *([row[name].replace("|", r"\|") for name in names] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def of(curves: Curves, task: str, algorithm: str) -> Sequence[Curve]:
    """Runs of an algorithm with the paper's settings."""
    return curves.get(Variant(task, algorithm).name, ())


def above(curve: Curve) -> float:
    """Share of the last iterations whose cost is above the limit, in percent."""
    return float(100 * np.mean(curve.values["episode_cost"][-LATE:] > curve.limit))


def reward(curve: Curve) -> float:
    """Mean reward of an episode in the last 20 iterations."""
    return curve.final("episode_reward")


def cost(curve: Curve) -> float:
    """Mean cost of an episode in the last 20 iterations."""
    return curve.final("episode_cost")


def conflicts(curve: Curve) -> float:
    """Share of all iterations in which the cost was in the band and the gradients conflicted, in percent."""
    return 100 * curve.counts()[MODE_NAMES[3]] / len(curve.values["mode"])


def minutes(runs: Iterable[Curve]) -> Estimate:
    """Wall time of the runs that had the machine to themselves, in minutes."""
    return estimate([float(curve.seconds[-1]) / 60 for curve in runs if curve.about["idle"]])


def outcome(runs: Sequence[Curve]) -> dict[str, str]:
    """What every table says of a variant: samples, reward, cost, and how often the limit was exceeded."""
    met = sum(cost(curve) <= curve.limit for curve in runs)
    return {
        "seeds": str(len(runs)),
        "samples (M)": estimate([curve.samples for curve in runs]).text(2, 1e-6),
        "conflicts, %": estimate([conflicts(curve) for curve in runs]).text(0),
        "reward": estimate([reward(curve) for curve in runs]).text(),
        "cost": f"{estimate([cost(curve) for curve in runs]).text()} of {runs[0].limit:g}",
        "seeds that meet the limit": f"{met} of {len(runs)}",
        "iterations above the limit, %": estimate([above(curve) for curve in runs]).text(0),
    }


def results(curves: Curves, tasks: Sequence[str]) -> str:
    """Tables 1 and 2: samples and time beside those of the paper, reward and cost."""
    rows = []
    for task in tasks:
        for algorithm in ("espo", *RIVALS[task]):
            runs = of(curves, task, algorithm)
            if not runs:
                continue
            row = {"task": task, "algorithm": algorithm, **outcome(runs)}
            paper = PAPER_SAMPLES[task] if algorithm == "espo" else PAPER_FIXED[task]
            row["samples of the paper (M)"] = f"{paper:g}"
            row["minutes"] = minutes(runs).text()
            row["fresh episodes: reward"] = _fresh(runs, "stochastic_reward")
            row["fresh episodes: cost"] = _fresh(runs, "stochastic_cost")
            rows.append(row)
    return markdown(rows)


def _fresh(runs: Sequence[Curve], name: str) -> str:
    return estimate([row[name] for curve in runs if (row := curve.about["row"]).get(name) is not None]).text()


def differences(curves: Curves, tasks: Sequence[str]) -> str:
    """ESPO against each rival, seed by seed."""
    rows = []
    for task in tasks:
        ours = of(curves, task, "espo")
        for rival in RIVALS[task]:
            theirs = of(curves, task, rival)
            fewer = percent_less(ours, theirs, lambda curve: curve.samples)
            if not fewer.count:
                continue
            idle = [[curve for curve in runs if curve.about["idle"]] for runs in (ours, theirs)]
            rows.append(
                {
                    "task": task,
                    "ESPO against": rival,
                    "seeds": str(fewer.count),
                    "fewer samples, %": fewer.text(),
                    "less time, %": percent_less(*idle, lambda curve: float(curve.seconds[-1])).text(),
                    "reward": difference(ours, theirs, reward).text(),
                    "cost": difference(ours, theirs, cost).text(),
                    "iterations above the limit, %": difference(ours, theirs, above).text(0),
                }
            )
    return markdown(rows)


def all_together(curves: Curves) -> str:
    """How many fewer samples ESPO takes than each rival, over the runs of all tasks that have this rival."""
    rows = []
    for rival in dict.fromkeys(rival for rivals in RIVALS.values() for rival in rivals):
        tasks = [task for task, rivals in RIVALS.items() if rival in rivals]
        runs = [(of(curves, task, "espo"), of(curves, task, rival)) for task in tasks]
        fewer = estimate(*(percents_less(*each, lambda curve: curve.samples) for each in runs))
        if fewer.count:
            rows.append({"ESPO against": rival, "runs": str(fewer.count), "fewer samples, %": fewer.text()})
    return markdown(rows)


def mode_counts(curves: Curves) -> str:
    """Table 3: iterations in each mode on HumanoidStandup."""
    rows = []
    for algorithm, paper in PAPER_MODES.items():
        if runs := of(curves, "humanoidstandup", algorithm):
            counts = [curve.counts() for curve in runs]
            row = {"algorithm": algorithm, "seeds": str(len(runs))}
            row |= {mode: estimate([count[mode] for count in counts]).text(0) for mode in MODE_NAMES}
            useful = [100 * (1 - count["cost"] / sum(count.values())) for count in counts]
            rows.append({**row, "not in cost mode, %": estimate(useful).text(), "the paper": paper})
    return markdown(rows)


def crossings(curve: Curve) -> dict[str, int]:
    """How often the cost crosses the edges of the band, b + h- and b + h+, and the limit, after the warm-up.

    An edge at infinity cannot be crossed.
    """
    warmup = int(curve.about["config"]["hyperparams"]["warmup_iterations"])
    after = {name: values[warmup:] for name, values in curve.values.items()}
    places = {
        "b": after["cost_limit"],
        "b + h-": after["cost_limit"] + after["slack_negative"],
        "b + h+": after["cost_limit"] + after["slack_positive"],
    }
    return {
        name: int(np.sum(np.diff((after["episode_cost"] > place).astype(int)) != 0)) for name, place in places.items()
    }


def crossing_table(curves: Curves) -> str:
    """Figure 1, counted."""
    rows = []
    for task, rivals in RIVALS.items():
        for algorithm in ("espo", *rivals):
            if runs := of(curves, task, algorithm):
                counts = [crossings(curve) for curve in runs]
                row = {"task": task, "algorithm": algorithm, "seeds": str(len(runs))}
                row |= {f"crossings of {edge}": estimate([c[edge] for c in counts]).text(0) for edge in counts[0]}
                rows.append(row)
    return markdown(rows)


def equal_samples(curves: Curves) -> str:
    """ESPO against each rival at the number of samples that ESPO's run has used in the end."""
    rows = []
    for task, rivals in RIVALS.items():
        ours = of(curves, task, "espo")
        for rival in rivals:
            found: dict[str, list[float]] = collections.defaultdict(list)
            for mine, other in pairs(ours, of(curves, task, rival)):
                end = min(mine.samples, other.samples)
                for name in ("episode_reward", "episode_cost"):
                    found[name].append(float(mine.at(name, end) - other.at(name, end)))
            if found:
                row = {"task": task, "ESPO against": rival, "seeds": str(len(found["episode_reward"]))}
                row |= {name.removeprefix("episode_"): estimate(values).text() for name, values in found.items()}
                rows.append(row)
    return markdown(rows)


def of_variants(curves: Curves, variants: Sequence[Variant]) -> str:
    """What came of some variants: in the end, and at the number of samples that every run of the task has used."""
    rows = []
    for task in dict.fromkeys(variant.task for variant in variants):
        there = [variant for variant in variants if variant.task == task and curves.get(variant.name)]
        budget = min((curve.samples for variant in there for curve in curves[variant.name]), default=0)
        for variant in there:
            runs = curves[variant.name]
            row = {"task": task, "variant": variant.title, **outcome(runs), "equal samples (M)": f"{budget / 1e6:.2f}"}
            for name in ("episode_reward", "episode_cost"):
                there_at = [float(curve.at(name, budget)) for curve in runs]
                row[f"{name.removeprefix('episode_')} at these"] = estimate(there_at).text()
            rows.append(row)
    return markdown(rows)


def progress(curves: Curves) -> str:
    """How many cells of each task and algorithm there are, and the hours that they took."""
    rows = []
    for variant in VARIANTS:
        runs = curves.get(variant.name, ())
        hours = estimate([float(curve.seconds[-1]) / 3600 for curve in runs])
        rate = estimate([curve.samples / float(curve.seconds[-1]) for curve in runs])
        rows.append(
            {
                "variant": variant.name,
                "cells": f"{len(runs)} of {variant.seeds}",
                "hours each": hours.text(2),
                "samples per second": rate.text(0),
            }
        )
    return markdown(rows)
