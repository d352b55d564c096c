"""Proposition 4.2 with other constants in h+, which the theorem leaves open: does ESPO still leave the region?"""

from typing import Any

import numpy as np

from tabular.algorithm import of_theorem
from tabular.candidates import candidates, restored
from tabular.cmdp import stack
from tabular.counterexamples import each_weight, leaving
from tabular.scales import Scale

FACTORS = (1, 2, 4, 8)  # of the h+ of Theorem 4.1 with the constant 1
FAMILY = (1, 3)  # states and actions of the group; the smallest size at which `centred` leaves with every x_r
LONGER = 10  # the examples are also run for so many times the iterations of the search


def measure(scale: Scale, examples: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Excess of each example for each constant and two T, and the counts of one group of candidates.

    Args:
      scale: of the experiment.
      examples: for each reading, the example of `counterexamples.of_region` that leaves the region with every x_r.
    """
    count, weights = scale.search_iterations, scale.reward_weights
    of_examples = []
    for reading, example in examples.items():
        cmdps = stack([restored(example)])
        for iterations in (count, LONGER * count):
            for factor in FACTORS:
                found = each_weight(cmdps, weights, reading, iterations, factor)
                about = {"reading": reading, "T": iterations, "factor": factor}
                of_examples.append({**about, "excess": found["excess"][:, 0].tolist()})
    group, cmdps = [], candidates(6, scale.candidates, *FAMILY)
    # With one state and deterministic moves, the highest V_c is that of the most costly action.
    highest = cmdps.cost.max(axis=(1, 2)) / (1 - cmdps.discount)
    for reading in scale.readings:
        for factor in FACTORS:
            top = cmdps.limit + factor * np.asarray(of_theorem(cmdps, count).slack_positive)
            found = each_weight(cmdps, weights, reading, count, factor)
            about = {"reading": reading, "T": count, "factor": factor, "cmdps": scale.candidates}
            group.append({**about, **leaving(found), "possible": int((top < highest).sum())})
    return {"examples": of_examples, "group": group}
