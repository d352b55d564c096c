"""Searches for the smallest CMDPs in which Propositions 4.2 and 4.3 fail, with exact values and Theorem 4.1's settings.

Proposition 4.2 is about the x_r with which ESPO stays in the region. So an x_r that leaves it is no counterexample: one
is a CMDP in which every x_r leaves, or in which no x_r both stays and follows the reward as often as CRPO does.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from tabular.algorithm import of_theorem
from tabular.batch import run_all, running_output
from tabular.candidates import candidates, described
from tabular.cmdp import CMDP, nth, optima, stack
from tabular.region import followed, outside
from tabular.scales import Scale

CLEAR = 1e-3  # excess in units of h+ that counts as clear
POINTS = 300  # of a path in the results file
ZETA = {"zeta_positive": 0.1, "zeta_negative": -0.3}  # the paper's, on Reacher
TARGET = 0.5  # of the bound of Theorem 4.1


def each_weight(
    cmdps: CMDP, weights: Sequence[float], reading: str, count: int, factor: float = 1.0
) -> dict[str, np.ndarray]:
    """What ESPO does with each of X values of x_r.

    Args:
      cmdps: [N, ...].
      weights: [X] values of x_r.
      reading: name in `readings.READINGS`.
      count: T.
      factor: h+ is so many times the one of Theorem 4.1 with the constant 1.

    Returns:
      left: [X, N] bool, whether an iterate is outside the region after the first one inside.
      stays: [X, N] bool, whether there is an iterate inside and all later ones are inside too.
      excess: [X, N] the largest distance of a later iterate above b + h+, in units of h+.
      followed: [X, N] number of iterations that follow the reward.
    """
    settings = of_theorem(cmdps, count)
    slack = factor * np.asarray(settings.slack_positive)
    found: dict[str, list] = {name: [] for name in ("left", "stays", "excess", "followed")}
    for weight in weights:
        changed = settings._replace(slack_positive=slack, reward_weight=weight)
        record = run_all(cmdps, changed, num_iterations=count, reading=reading)
        after = outside(record, cmdps.limit + slack)
        found["left"].append(after["left"])
        found["stays"].append(after["entered"] & ~after["left"])
        found["excess"].append(after["excess"] / slack)
        found["followed"].append(followed(record)["any"])
    return {name: np.stack(values) for name, values in found.items()}


def leaving(found: dict[str, np.ndarray]) -> dict[str, Any]:
    """In how many CMDPs every x_r leaves the region, in how many clearly, and the largest least excess."""
    always, least = found["left"].all(axis=0), found["excess"].min(axis=0)
    return {
        "left": found["left"].sum(axis=1).tolist(),
        "always": int(always.sum()),
        "clearly": int((always & (least > CLEAR)).sum()),
        "excess": float(np.where(always, least, 0.0).max()),
    }


def of_region(scale: Scale) -> dict[str, Any]:
    """For each reading: how often each x_r leaves the region, how often the reward is followed, and examples.

    The example of a reading that leaves with every x_r is from the smallest family that has one; in it, the one with
    the largest least excess over x_r. The example for the count is the one with the fewest reward iterations relative
    to CRPO's at x_r = 1/2.
    """
    count, weights = scale.search_iterations, scale.reward_weights
    rows, examples, fewer = [], {}, {}
    for states, actions in scale.families:
        cmdps = candidates(6, scale.candidates, states, actions)
        rival = followed(run_all(cmdps, of_theorem(cmdps, count), num_iterations=count, algorithm="crpo"))["any"]
        for reading in scale.readings:
            found = each_weight(cmdps, weights, reading, count)
            more, stays = found["followed"] - rival, found["stays"]
            always, middle = found["left"].all(axis=0), more[weights.index(0.5)]
            about = {"states": states, "actions": actions, "reading": reading, "T": count}
            rows.append(
                {**about, "cmdps": scale.candidates, **leaving(found), "suitable": int(stays.any(axis=0).sum()),
                 "neither": int((stays.any(axis=0) & ~(stays & (more >= 0)).any(axis=0)).sum()),
                 "stays_fewer": (stays & (more < 0)).sum(axis=1).tolist(), "fewer": (more < 0).sum(axis=1).tolist()}
            )  # fmt: skip
            if always.any() and reading not in examples:
                index = int(np.argmax(np.where(always, found["excess"].min(axis=0), -1.0)))
                example, excess = nth(cmdps, index), found["excess"][:, index].tolist()
                of_example = {"excess": excess, "paths": paths(example, reading, count)}
                examples[reading] = {**about, **described(example), **of_example}
            if (middle < 0).any() and reading not in fewer:
                index = int(np.argmin(middle))
                of_example = {"more": more[:, index].tolist(), "stays": stays[:, index].tolist()}
                fewer[reading] = {**about, **described(nth(cmdps, index)), **of_example}
    return {"rows": rows, "weights": weights, "leaving": examples, "fewer": fewer}


def paths(cmdp: CMDP, reading: str, count: int) -> dict[str, Any]:
    """V_c of the iterates of one CMDP for x_r = 1/2, in a reading and in the Fisher product, and the edge b + h+."""
    cmdps = stack([cmdp])
    settings = of_theorem(cmdps, count)
    every = max(1, count // POINTS)
    cost = {
        name: run_all(cmdps, settings, num_iterations=count, reading=name).value[0, ::every, 1].round(5).tolist()
        for name in (reading, "fisher")
    }
    return {"every": every, "cost": cost, "edge": float(cmdp.limit + np.asarray(settings.slack_positive)[0])}


def of_samples(scale: Scale) -> dict[str, Any]:
    """CMDPs in which manipulation needs more samples to a target, although the exact iterates are the same."""
    count, rows, examples = scale.search_iterations, [], {}
    for states, actions in scale.families:
        cmdps = candidates(7, scale.candidates, states, actions)
        best = optima(cmdps)
        for reading in scale.readings:
            settings = of_theorem(cmdps, count, **ZETA)
            record = run_all(cmdps, settings, num_iterations=count, reading=reading)
            error = running_output(record, best, cmdps.limit).error
            reached = error <= TARGET * np.asarray(settings.slack_positive)[:, None]
            # The first size is X whatever the rule says; a target that is reached at once decides nothing.
            decided = reached.any(axis=1) & ~reached[:, 0]
            last = reached.argmax(axis=1)
            spent = np.cumsum(record.sample_size, axis=1, dtype=np.float64)[np.arange(len(last)), last]
            ratio = np.where(decided, spent / (settings.base * (last + 1)), 0.0)
            about = {"states": states, "actions": actions, "reading": reading, "T": count}
            rows.append({**about, "cmdps": int(decided.sum()), "more": int((ratio > 1).sum())})
            if (ratio > 1).any() and reading not in examples:
                index = int(np.argmax(ratio))
                examples[reading] = {
                    **about, **described(nth(cmdps, index)), "ratio": float(ratio[index]), "last": int(last[index]) + 1
                }  # fmt: skip
    return {"rows": rows, "examples": examples, "target": TARGET, **ZETA}
