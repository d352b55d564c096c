"""Searches for the smallest CMDPs in which Propositions 4.2 and 4.3 fail, with exact values and Theorem 4.1's settings.

The candidates have deterministic transitions, rewards and costs from {0, 1/4, 1/2, 3/4, 1}, and start in state 0 with
the uniform policy.
"""

from typing import Any

import numpy as np

from tabular.algorithm import of_theorem
from tabular.batch import run_all, running_output
from tabular.cmdp import CMDP, nth, optima, optimum, stack
from tabular.region import followed, outside
from tabular.scales import Scale

DISCOUNT = 0.5
WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)  # x_r
POINTS = 300  # of a path in the results file
ZETA = {"zeta_positive": 0.1, "zeta_negative": -0.3}  # the paper's, on Reacher
TARGET = 0.5  # of the bound of Theorem 4.1
READINGS_OF_SAMPLES = ("centred", "q", "fisher")


def candidate(rng: np.random.Generator, states: int, actions: int) -> CMDP | None:
    """A CMDP drawn as above; None if its limit would not bind clearly."""
    transition = np.eye(states)[rng.integers(states, size=(states, actions))]
    reward, cost = rng.integers(5, size=(2, states, actions)) / 4
    share = rng.choice([0.2, 0.4, 0.6])
    unlimited = CMDP(transition, reward, cost, np.eye(states)[0], np.float64(DISCOUNT), np.float64(np.inf))
    lowest = optimum(unlimited, constrained=False, of="cost").cost
    highest = optimum(unlimited, constrained=False).cost
    return (
        unlimited._replace(limit=np.float64(lowest + share * (highest - lowest))) if highest > lowest + 0.05 else None
    )


def candidates(seed: int, count: int, states: int, actions: int) -> CMDP:
    """Stacked candidates, [N, ...]."""
    rng = np.random.default_rng(seed)
    found: list[CMDP] = []
    while len(found) < count:
        drawn = candidate(rng, states, actions)
        found += [] if drawn is None else [drawn]
    return stack(found)


def described(cmdp: CMDP) -> dict[str, Any]:
    """A small CMDP for the results file; `next` is the state that each action leads to."""
    return {
        "reward": cmdp.reward.tolist(), "cost": cmdp.cost.tolist(), "next": cmdp.transition.argmax(-1).tolist(),
        "limit": float(cmdp.limit), "discount": float(cmdp.discount),
    }  # fmt: skip


def leave(cmdps: CMDP, reading: str, count: int) -> dict[str, np.ndarray]:
    """What each x_r does: whether the region is left [X, N], by how much of h+, and reward iterations minus CRPO's."""
    settings = of_theorem(cmdps, count)
    slack = np.asarray(settings.slack_positive)
    rival = followed(run_all(cmdps, settings, num_iterations=count, algorithm="crpo"))["any"]
    records = [
        run_all(cmdps, settings._replace(reward_weight=weight), num_iterations=count, reading=reading)
        for weight in WEIGHTS
    ]
    found = [outside(record, cmdps.limit + slack) for record in records]
    return {
        "left": np.stack([one["left"] for one in found]),
        "excess": np.stack([one["excess"] / slack for one in found]),
        "more": np.stack([followed(record)["any"] - rival for record in records]),
    }


def of_region(scale: Scale) -> dict[str, Any]:
    """For each reading: how often each x_r leaves the region, and the smallest CMDPs where every x_r does.

    The example of a family is the one with the largest least excess over x_r; the example for the count is the one
    with the fewest reward iterations relative to CRPO's at x_r = 1/2.
    """
    count, rows, leaving, fewer = scale.search_iterations, [], {}, {}
    for states, actions in scale.families:
        cmdps = candidates(6, scale.candidates, states, actions)
        for reading in scale.readings:
            found = leave(cmdps, reading, count)
            all_left, middle = found["left"].all(axis=0), found["more"][WEIGHTS.index(0.5)]
            about = {"states": states, "actions": actions, "reading": reading, "T": count}
            rows.append(
                {**about, "cmdps": scale.candidates, "left": found["left"].sum(axis=1).tolist(),
                 "always": int(all_left.sum()), "fewer": int((middle < 0).sum()),
                 "always_fewer": int((found["more"] < 0).all(axis=0).sum())}
            )  # fmt: skip
            if all_left.any() and reading not in leaving:
                index = int(np.argmax(np.where(all_left, found["excess"].min(axis=0), -1.0)))
                example = nth(cmdps, index)
                about["excess"] = found["excess"][:, index].tolist()
                leaving[reading] = {**about, **described(example), "paths": paths(example, reading, count)}
            if (middle < 0).any() and reading not in fewer:
                index = int(np.argmin(middle))
                fewer[reading] = {
                    **about, **described(nth(cmdps, index)), "more": found["more"][:, index].tolist(), "excess": None
                }  # fmt: skip
    return {"rows": rows, "weights": WEIGHTS, "leaving": leaving, "fewer": fewer}


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
        for reading in READINGS_OF_SAMPLES:
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
