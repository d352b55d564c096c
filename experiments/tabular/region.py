"""Proposition 4.2: whether ESPO stays in the region V_c <= b + h+, and how many iterations follow the reward."""

from typing import Any

import numpy as np

from espo_jax.modes import CONFLICT, COST, REWARD
from tabular.algorithm import Record, of_theorem
from tabular.batch import run_all
from tabular.cmdp import CMDP, random_cmdps
from tabular.scales import Scale
from tabular.theorem import ACTIONS, DISCOUNT, STATES, mean_of


def costly_start(cmdps: CMDP) -> np.ndarray:
    """Logits [N, S, A] that take each state's most costly action with a probability of about 0.9, above the region."""
    return 3.0 * (cmdps.cost == cmdps.cost.max(axis=-1, keepdims=True))


STARTS = {"uniform": lambda cmdps: np.zeros(cmdps.cost.shape), "costly": costly_start}


def outside(record: Record, top: np.ndarray) -> dict[str, np.ndarray]:
    """What happens after the first iterate in the region.

    Args:
      record: [N, T, ...].
      top: [N] b + h+.

    Returns:
      entered: [N] bool, whether there is such an iterate.
      left: [N] bool, whether a later one is outside.
      share: [N] share of the later iterates that are outside.
      excess: [N] the largest V_c - (b + h+) of these; 0 if all are inside.
    """
    above = record.value[..., 1] > top[:, None]
    after = np.logical_or.accumulate(~above, axis=1)
    later = above & after
    excess = np.where(after, record.value[..., 1] - top[:, None], 0.0)
    return {
        "entered": after[:, -1],
        "left": later.any(axis=1),
        "share": later.sum(axis=1) / np.maximum(after.sum(axis=1), 1),
        "excess": np.maximum(excess, 0.0).max(axis=1),
    }


def followed(record: Record) -> dict[str, np.ndarray]:
    """Iterations [N] that follow the reward at all (reward only and balance), and that follow nothing else."""
    return {"any": (record.mode != COST).sum(axis=1), "only": (record.mode == REWARD).sum(axis=1)}


def conflicts_in_band(record: Record) -> float | None:
    """Share of conflicts among the iterations in a balance mode, over all CMDPs; None if there are none."""
    balances = int((record.mode > COST).sum())
    return float((record.mode == CONFLICT).sum() / balances) if balances else None


def of_reading(cmdps: CMDP, start: str, reading: str, scale: Scale) -> list[dict[str, Any]]:
    """One row for each x_r: ESPO and CRPO from the same start, with the settings of Theorem 4.1."""
    count, logits = scale.region_iterations, STARTS[start](cmdps)
    settings = of_theorem(cmdps, count)
    top = np.asarray(cmdps.limit + settings.slack_positive)
    rival = run_all(cmdps, settings, logits, num_iterations=count, algorithm="crpo")
    of_rival = followed(rival)
    rows = []
    for weight in scale.reward_weights:
        record = run_all(cmdps, settings._replace(reward_weight=weight), logits, num_iterations=count, reading=reading)
        found, ours = outside(record, top), followed(record)
        rows.append(
            {
                "start": start, "reading": reading, "x_r": weight, "T": count, "cmdps": len(top),
                "entered": int(found["entered"].sum()), "left": found["left"].tolist(),
                "outside": mean_of(found["share"]),
                "excess": float(np.max(found["excess"] / np.asarray(settings.slack_positive))),
                "any": mean_of(ours["any"] / count), "any_crpo": mean_of(of_rival["any"] / count),
                "only": mean_of(ours["only"] / count), "only_crpo": mean_of(of_rival["only"] / count),
                "fewer": int((ours["any"] < of_rival["any"]).sum()),
                "conflicts": conflicts_in_band(record),
                "fewest": int((ours["any"] - of_rival["any"]).min()),
            }
        )  # fmt: skip
    return rows


def measure(scale: Scale) -> dict[str, Any]:
    """The rows of every start and reading, and in how many CMDPs some x_r keeps ESPO in the region."""
    cmdps = random_cmdps(4, scale.cmdps, STATES, ACTIONS, DISCOUNT)
    rows = [row for start in STARTS for reading in scale.readings for row in of_reading(cmdps, start, reading, scale)]
    suitable = {}
    for start in STARTS:
        for reading in scale.readings:
            left = [row["left"] for row in rows if (row["start"], row["reading"]) == (start, reading)]
            suitable[f"{start}, {reading}"] = int((~np.all(left, axis=0)).sum())
    return {"rows": [{**row, "left": sum(row["left"])} for row in rows], "suitable": suitable}
