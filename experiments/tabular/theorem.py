"""Theorem 4.1: the reward gap and the violation of the output policy against T, the size, and the horizon."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from espo_jax.results.statistics import bootstrap_interval, summarize
from tabular.algorithm import of_theorem
from tabular.batch import Output, outputs
from tabular.cmdp import CMDP, corridor, optima, random_cmdps, stack
from tabular.sampling import rollouts
from tabular.scales import Scale

STATES, ACTIONS, DISCOUNT = 5, 3, 0.8  # of the random CMDPs where nothing else is said
HORIZON = 31  # steps of a rollout: 0.8^31 is 0.001
ROLLOUTS = 8  # of each state and action in an iteration
LEAST = 1e-9
LATE = 3  # values of T that a late exponent is fitted to, the last ones
CLAIMED = {"states": 0.5, "actions": 0.5, "horizon": 1.5}  # exponents of the bound


def bound(cmdps: CMDP, num_iterations: int) -> np.ndarray:
    """sqrt(S A / ((1 - gamma)^3 T)) of each CMDP, [N]."""
    pairs = cmdps.reward.shape[-2] * cmdps.reward.shape[-1]
    return np.sqrt(pairs / ((1 - np.asarray(cmdps.discount)) ** 3 * num_iterations))


def cell(cmdps: CMDP, best: np.ndarray, num_iterations: int, **static: Any) -> dict[str, Any]:
    """Gap and violation of the output policies of N CMDPs whose optima are `best` [N], and the bound."""
    of_samples = {}
    if "estimator" in static:
        of_samples["base"] = ROLLOUTS * HORIZON * cmdps.reward[0].size
    settings = of_theorem(cmdps, num_iterations, **of_samples)
    result = outputs(cmdps, settings, best, num_iterations, **static)
    about = {"bound": float(bound(cmdps, num_iterations)[0]), "T": num_iterations, "choices": cmdps.reward.shape[-1]}
    return {**measures(result), **about}


def measures(result: Output) -> dict[str, Any]:
    """Values of each CMDP, rounded, for the results file."""
    fields = {"gap": result.gap, "violation": result.violation, "error": result.error, "share": result.share}
    return {name: [float(f"{value:.5g}") for value in values] for name, values in fields.items()}


def power(
    values: Sequence[Sequence[float]], scale: Sequence[float], over: Callable[..., np.ndarray] = np.mean
) -> dict[str, float]:
    """Exponent a of value ~ scale^a: least squares on logarithms of the mean over CMDPs of the positive parts.

    Args:
      values: for each of the scale's values, one value for each CMDP.
      scale: values of T, of |S|, and so on.
      over: what is taken over the CMDPs; `np.max` for the largest one instead of the mean.

    Returns:
      exponent, low, high: estimate and 95 % bootstrap interval over CMDPs; means below LEAST count as LEAST.
    """
    logarithms = np.log(np.asarray(scale, float))
    centred = logarithms - logarithms.mean()

    def slope(table: np.ndarray, axis: int) -> np.ndarray:
        means = over(np.maximum(table, 0.0), axis=axis)
        return np.log(np.maximum(means, LEAST)) @ centred / (centred @ centred)

    table = np.asarray(values, float).T
    low, high = bootstrap_interval(table, slope)
    return {"exponent": float(slope(table, 0)), "low": float(low), "high": float(high)}


def mean_of(values: Sequence[float]) -> dict[str, float]:
    """Mean over CMDPs with its 95 % bootstrap interval."""
    found = summarize(np.asarray(values))
    return {"mean": found.mean, "low": found.low, "high": found.high}


def against_iterations(scale: Scale) -> dict[str, Any]:
    """Cells for each T: exact updates in several readings, the corridor, and sampled updates."""
    cmdps = random_cmdps(0, scale.cmdps, STATES, ACTIONS, DISCOUNT)
    walk = stack([corridor(STATES, DISCOUNT)])
    best, of_walk = optima(cmdps), optima(walk)
    series: dict[str, list] = {}
    for reading in ("centred", "q", "fisher"):
        counts = scale.iterations if reading == "centred" else scale.iterations[:-1]
        series[f"exact, {reading}"] = [cell(cmdps, best, count, reading=reading) for count in counts]
    series["corridor, centred"] = [cell(walk, of_walk, count) for count in scale.iterations]
    sampled = rollouts(HORIZON, ROLLOUTS * STATES * ACTIONS)
    series["sampled, centred"] = [cell(cmdps, best, count, estimator=sampled) for count in scale.sampled_iterations]
    late = {name: exponents(cells[-LATE:], "T") for name, cells in series.items()}
    return {**summaries(series, dict.fromkeys(series, "T")), "late": late}


def exponents(cells: Sequence[dict], name: str) -> dict[str, dict[str, float]]:
    """Exponents in a column of the cells: of gap, violation and error, and of the largest error over its bound.

    The last one is `largest`: the bound is one for every CMDP, so that the CMDP with the largest error decides.
    """
    kinds, scale = ("gap", "violation", "error"), [c[name] for c in cells]
    # Before the first step the policy is log |A| away, in KL divergence, from every deterministic policy.
    ratios = [np.array(c["error"]) / (c["bound"] * np.log(c["choices"])) for c in cells]
    return {
        **{kind: power([c[kind] for c in cells], scale) for kind in kinds},
        "largest": power(ratios, scale, over=np.max),
    }


def summaries(series: dict[str, list[dict]], columns: dict[str, str]) -> dict[str, Any]:
    """Means, intervals and extremes of the cells, and the exponents of each series in its column."""
    short = {}
    for name, cells in series.items():
        short[name] = [
            {
                **cell,
                **{kind: mean_of(cell[kind]) for kind in ("gap", "violation", "error", "share")},
                "largest": max(cell["error"]), "least_share": min(cell["share"]), "cmdps": len(cell["error"]),
            }
            for cell in cells
        ]  # fmt: skip
    return {"cells": short, "exponents": {name: exponents(cells, columns[name]) for name, cells in series.items()}}


def against_size(scale: Scale) -> dict[str, Any]:
    """Cells for each number of states, number of actions and discount at one T, exact updates."""
    count = scale.size_iterations
    series: dict[str, list] = {"states": [], "actions": [], "horizon": []}

    def add(name: str, value: float, cmdps: CMDP) -> None:
        series[name].append({**cell(cmdps, optima(cmdps), count), name: value})

    for states in scale.states:
        add("states", states, random_cmdps(1, scale.cmdps, states, 3, DISCOUNT))
    for actions in scale.actions:
        add("actions", actions, random_cmdps(2, scale.cmdps, 4, actions, DISCOUNT))
    for discount in scale.discounts:
        add("horizon", 1 / (1 - discount), random_cmdps(3, scale.cmdps, 4, 3, discount))
    # The bound hides logarithms, and the first policy is log|A| away from any other.
    scaled = [np.array(found["error"]) / np.log(found["actions"]) for found in series["actions"]]
    without_log = power(scaled, [found["actions"] for found in series["actions"]])
    return {**summaries(series, {name: name for name in series}), "actions_without_log": without_log, "T": count}
