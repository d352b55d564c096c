"""Small CMDPs among which counterexamples are searched.

They have deterministic transitions, rewards and costs from {0, 1/4, 1/2, 3/4, 1}, and start in state 0 with the uniform
policy.
"""

from typing import Any

import numpy as np

from tabular.cmdp import CMDP, optimum, stack

DISCOUNT = 0.5


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
    """A candidate for the results file; `next` is the state that each action leads to."""
    return {
        "reward": cmdp.reward.tolist(), "cost": cmdp.cost.tolist(), "next": cmdp.transition.argmax(-1).tolist(),
        "limit": float(cmdp.limit), "discount": float(cmdp.discount),
    }  # fmt: skip


def restored(description: dict[str, Any]) -> CMDP:
    """The candidate that `described` describes."""
    after = np.array(description["next"])
    states = len(after)
    signals = (np.array(description[name], float) for name in ("reward", "cost"))
    numbers = (np.float64(description[name]) for name in ("discount", "limit"))
    return CMDP(np.eye(states)[after], *signals, np.eye(states)[0], *numbers)
