"""The tables of the page, in Markdown."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from tabular import page

from reproduction.cells import Curve
from reproduction.estimates import differences, estimate, mean_over_tasks, pairs, percents_less
from reproduction.times import less_time, timed
from reproduction.variants import RIVALS, SAFETY_MUJOCO, VARIANTS, VELOCITY, Variant

Curves = Mapping[str, Sequence[Curve]]  # finished runs by the name of their variant
LATE = 100  # last iterations in which violations are counted
PAPER_SAMPLES = {  # Tables 1 and 2, in millions: ESPO, and every rival
    "reacher": (5.7, 8.0), "walker2d": (6.2, 8.0), "humanoidstandup": (5.1, 8.0),
    "hopper_velocity": (7.3, 10.0), "ant_velocity": (7.6, 10.0),
}  # fmt: skip
_SAVED = "samples saved after cost mode, %"
_PAPER_MODES = {  # Table 3; what is in brackets follows from ESPO's number of samples
    "espo": {
        "reward": "298", "balance": "199", "conflict": "(137)", "cost": "3", "not in cost mode, %": "99.4",
        _SAVED: "(1)",
    },
    "crpo": {
        "reward": "178", "balance": "0", "conflict": "0", "cost": "322", "not in cost mode, %": "35.6", _SAVED: "",
    },
}  # fmt: skip


def markdown(rows: Sequence[Mapping[str, str]]) -> str:
    """Rows as a table; a line that says so if there are none."""
    if not rows:
        return "No cell is finished yet.\n"
    return page.table(list(rows[0]), [list(row.values()) for row in rows])


def of(curves: Curves, task: str, algorithm: str) -> Sequence[Curve]:
    """Runs of an algorithm with the paper's settings."""
    return curves.get(Variant(task, algorithm).name, ())


def share_above(curve: Curve, iterations: np.ndarray | slice) -> float:
    """Share of some iterations whose cost is above the limit, in percent."""
    return float(100 * np.mean(curve.values["episode_cost"][iterations] > curve.limit))


def above(curve: Curve) -> float:
    """Share of the last iterations whose cost is above the limit, in percent."""
    return share_above(curve, slice(-LATE, None))


def above_after_warmup(curve: Curve) -> float:
    """Share of the iterations after the warm-up whose cost is above the limit, in percent."""
    return share_above(curve, curve.after_warmup)


def samples_above(curve: Curve) -> float:
    """Samples of the iterations after the warm-up whose cost is above the limit, in percent of X in every iteration."""
    where = curve.after_warmup & (curve.values["episode_cost"] > curve.limit)
    return 100 * int(np.sum(curve.values["sample_size"], where=where)) / curve.fixed_samples


def reward(curve: Curve) -> float:
    """Mean reward of an episode in the last 20 iterations."""
    return curve.final("episode_reward")


def cost(curve: Curve) -> float:
    """Mean cost of an episode in the last 20 iterations."""
    return curve.final("episode_cost")


def fewer_samples(curve: Curve) -> float:
    """How many fewer samples a run took than X in every iteration, in percent."""
    return 100 * (1 - curve.samples / curve.fixed_samples)


def outcome(runs: Sequence[Curve]) -> dict[str, str]:
    """What every table says of a variant: samples, conflicts, reward, cost, and how often the limit was exceeded."""
    met = sum(cost(curve) <= curve.limit for curve in runs)
    return {
        "seeds": str(len(runs)),
        "samples (M)": estimate([curve.samples for curve in runs]).text(2, 1e-6),
        "conflicts, %": estimate([100 * float(np.mean(curve.conflicts)) for curve in runs]).text(0),
        "reward": estimate([reward(curve) for curve in runs]).text(),
        "cost": f"{estimate([cost(curve) for curve in runs]).text()} of {runs[0].limit:,g}",
        "seeds that meet the limit": f"{met} of {len(runs)}",
        "last 100 iterations above it, %": estimate([above(curve) for curve in runs]).text(0),
        "above it after the warm-up, %": estimate([above_after_warmup(run) for run in runs]).text(0),
    }


def results(curves: Curves, tasks: Sequence[str]) -> str:
    """Tables 1 and 2: samples and time beside those of the paper, reward and cost."""
    rows = []
    for task in tasks:
        for algorithm in ("espo", *RIVALS[task]):
            if runs := of(curves, task, algorithm):
                row = {"task": task, "algorithm": algorithm, **outcome(runs)}
                row["samples of the paper (M)"] = f"{PAPER_SAMPLES[task][algorithm != 'espo']:g}"
                row["minutes"] = timed(runs)
                row["fresh episodes: reward"] = _fresh(runs, "stochastic_reward")
                row["fresh episodes: cost"] = _fresh(runs, "stochastic_cost")
                rows.append(row)
    return markdown(rows)


def _fresh(runs: Sequence[Curve], name: str) -> str:
    return estimate([row[name] for curve in runs if (row := curve.about["row"]).get(name) is not None]).text()


def differences_by_seed(curves: Curves, tasks: Sequence[str]) -> str:
    """ESPO against each rival, seed by seed: at the end, and where both have used ESPO's number of samples."""
    rows = []
    for task in tasks:
        ours = of(curves, task, "espo")
        for rival in RIVALS[task]:
            theirs = of(curves, task, rival)
            if found := pairs(ours, theirs):
                rows.append({"task": task, "ESPO against": rival, "seeds": str(len(found)), **against(ours, theirs)})
                rows[-1]["less time, %"] = estimate(less_time(ours, theirs)).text()
    return markdown(rows)


def against(ours: Sequence[Curve], theirs: Sequence[Curve]) -> dict[str, str]:
    """How the runs of a variant differ from those of another one, by seed."""
    return {
        "fewer samples, %": estimate(percents_less(ours, theirs, lambda curve: curve.samples)).text(),
        "reward": estimate(differences(ours, theirs, reward)).text(),
        "cost": estimate(differences(ours, theirs, cost)).text(),
        "last 100 iterations above the limit, %": estimate(differences(ours, theirs, above)).text(0),
        "reward at equal samples": estimate(at_equal_samples(ours, theirs, "episode_reward")).text(),
        "cost at equal samples": estimate(at_equal_samples(ours, theirs, "episode_cost")).text(),
    }


def at_equal_samples(ours: Sequence[Curve], theirs: Sequence[Curve], name: str) -> list[float]:
    """Differences of a column by seed, at the number of samples that the shorter of both runs has used in the end."""
    found = []
    for a, b in pairs(ours, theirs):
        end = min(a.samples, b.samples)
        found.append(float(a.at(name, end) - b.at(name, end)))
    return found


def all_together(curves: Curves) -> str:
    """How many fewer samples ESPO takes than its rivals, over the tasks of each table and over all."""
    rows = []
    for name, tasks in (("Table 1", SAFETY_MUJOCO), ("Table 2", VELOCITY), ("both", tuple(RIVALS))):
        if there := [task for task in tasks if of(curves, task, "espo")]:
            fewer = mean_over_tasks([[fewer_samples(curve) for curve in of(curves, task, "espo")] for task in there])
            paper = [100 * (1 - ours / fixed) for ours, fixed in (PAPER_SAMPLES[task] for task in there)]
            row = {"tasks of": name, "tasks with cells": f"{len(there)} of {len(tasks)}"}
            row |= {"fewer samples, %": fewer.text(), "the paper on these tasks, %": f"{np.mean(paper):.1f}"}
            rows.append(row)
    return markdown(rows)


def mode_counts(curves: Curves) -> str:
    """Table 3: iterations in each mode on HumanoidStandup."""
    rows = []
    for algorithm, paper in _PAPER_MODES.items():
        if runs := of(curves, "humanoidstandup", algorithm):
            found: dict[str, list[float]] = {name: [] for name in paper}
            for curve in runs:
                count = curve.counts()
                total = sum(count.values())
                values: dict[str, float] = {**count, "balance": count["aligned"] + count["conflict"]}
                values["not in cost mode, %"] = 100 * (1 - count["cost"] / total)
                if curve.has_rule:
                    values[_SAVED] = curve.saved_after("cost")
                for name in values.keys() & paper.keys():
                    found[name].append(values[name])
            row = {"algorithm": algorithm, "seeds": str(len(runs))}
            row |= {name: estimate(values).text(1 if "not" in name else 0) for name, values in found.items()}
            rows += [row, {"algorithm": f"{algorithm}, the paper", "seeds": "", **paper}]
    return markdown(rows)


def progress(curves: Curves) -> str:
    """The variants that have cells, and the hours that they took; then how many have none."""
    rows, missing, hours = [], 0, 0.0
    for variant in VARIANTS:
        runs = curves.get(variant.name, ())
        missing += max(0, variant.seeds - len(runs))
        if runs:
            hours += sum(curve.hours for curve in runs)
            row = {"variant": variant.name, "cells": f"{len(runs)} of {variant.seeds}"}
            row["hours of each cell, by seed"] = ", ".join(f"{curve.hours:.2f}" for curve in runs)
            row["samples per second"] = estimate([curve.samples / curve.hours for curve in runs]).text(0, 1 / 3600)
            rows.append(row)
    return f"{markdown(rows)}\n{hours:.1f} hours of training in all. {missing} cells are missing.\n"


def failures(runs: Iterable[Curve]) -> str:
    """A line for each run that ended before its time, which no number of the page counts."""
    lines = [
        f"- {run.cell.name} failed after {len(run.values['iteration'])} iterations: {run.failure}\n" for run in runs
    ]
    return "".join(lines) or "No run failed.\n"
