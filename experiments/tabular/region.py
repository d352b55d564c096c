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
    """Iterations [N] in which the reward has a weight above 0 in the update, and those that follow nothing else.

    The weight is counted and not the mode: at x_r = 0 an aligned balance follows the cost alone.
    """
    return {"any": (record.weight > 0).sum(axis=1), "only": (record.mode == REWARD).sum(axis=1)}


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
                "left": found["left"], "stays": found["entered"] & ~found["left"],
                "outside": mean_of(found["share"]),
                "excess": float(np.max(found["excess"] / np.asarray(settings.slack_positive))),
                "any": mean_of(ours["any"] / count), "any_crpo": mean_of(of_rival["any"] / count),
                "only": mean_of(ours["only"] / count), "only_crpo": mean_of(of_rival["only"] / count),
                "fewer": ours["any"] < of_rival["any"],
                "conflicts": conflicts_in_band(record),
            }
        )  # fmt: skip
    return rows


def measure(scale: Scale) -> dict[str, Any]:
    """The rows of every start and reading, and what some x_r does in each CMDP.

    Returns:
      rows: from `of_reading`, with numbers of CMDPs instead of masks.
      suitable: by start and reading, in how many CMDPs some x_r stays in the region.
      joint: in how many some x_r stays and follows the reward at least as often as CRPO does.
    """
    cmdps = random_cmdps(4, scale.cmdps, STATES, ACTIONS, DISCOUNT)
    rows, suitable, joint = [], {}, {}
    for start in STARTS:
        for reading in scale.readings:
            found = of_reading(cmdps, start, reading, scale)
            stays, fewer = (np.stack([row[name] for row in found]) for name in ("stays", "fewer"))
            suitable[f"{start}, {reading}"] = int(stays.any(axis=0).sum())
            joint[f"{start}, {reading}"] = int((stays & ~fewer).any(axis=0).sum())
            masks = ("left", "stays", "fewer")
            rows += [{**row, **{name: int(row[name].sum()) for name in masks}} for row in found]
    return {"rows": rows, "suitable": suitable, "joint": joint}
