"""Proposition 4.3: the samples until the output policy reaches a gap and a violation, with and without manipulation."""

from typing import Any

import numpy as np

from espo_jax.modes import CONFLICT
from tabular.algorithm import Record, of_theorem
from tabular.batch import run_all, running_output
from tabular.cmdp import CMDP, nth, optima, random_cmdps, stack
from tabular.sampling import rollouts
from tabular.scales import Scale
from tabular.theorem import mean_of

STATES, ACTIONS, DISCOUNT = 4, 3, 0.7
HORIZON = 20  # steps of a rollout: 0.7^20 is 0.0008
PAIRS = STATES * ACTIONS
# zeta+ and zeta- of the paper's tasks (docs/paper.md, section 6), and one that only raises the size.
MANIPULATIONS = {
    "ζ⁺ 0.1, ζ⁻ −0.3": (0.1, -0.3),
    "ζ⁺ 0.1, ζ⁻ −0.4": (0.1, -0.4),
    "ζ⁺ 0, ζ⁻ −0.5": (0.0, -0.5),
    "ζ⁺ 0.2, ζ⁻ −0.5": (0.2, -0.5),
    "ζ⁺ 0.5, ζ⁻ 0": (0.5, 0.0),  # RAISED
}
RAISED = "ζ⁺ 0.5, ζ⁻ 0"
FIXED = "fixed X"
LEAST = "fixed X/2"
TARGETS = (1.0, 0.75, 0.5)  # of the bound of Theorem 4.1


def samples_until(record: Record, reached: np.ndarray) -> np.ndarray:
    """Samples taken when the target is first reached, [N]; infinite where it never is.

    Args:
      record: [N, T, ...].
      reached: [N, T] bool.
    """
    spent = np.cumsum(record.sample_size, axis=1, dtype=np.float64)
    first = reached.argmax(axis=1)
    return np.where(reached.any(axis=1), spent[np.arange(len(spent)), first], np.inf)


def repeated(cmdps: CMDP, seeds: int) -> CMDP:
    """Each CMDP for several seeds in turn."""
    count = len(cmdps.limit)
    return stack([nth(cmdps, index) for index in range(count) for _ in range(seeds)])


def of_rule(cmdps: CMDP, best: np.ndarray, count: int, per_pair: int, reading: str, **changes: Any) -> dict[str, Any]:
    """Sampled runs of one rule: samples until each target, and everything at the end.

    Args:
      cmdps: [N, ...].
      best: [N] V_r of the optimum.
      count: T.
      per_pair: X, as rollouts of each state and action.
      reading: name in `readings.READINGS`.
      **changes: fields of Settings.
    """
    settings = of_theorem(cmdps, count, **{"base": per_pair * PAIRS * HORIZON, **changes})
    capacity = int(np.ceil(1.5 * per_pair)) * PAIRS
    record = run_all(
        cmdps, settings, num_iterations=count, reading=reading, estimator=rollouts(HORIZON, capacity), seed=1
    )
    running = running_output(record, best, cmdps.limit)
    error = running.error
    target = np.asarray(settings.slack_positive)  # the constant of h+ is 1, so that h+ is the bound too
    until = [samples_until(record, error <= share * target[:, None]) for share in TARGETS]
    return {
        "until": until,
        "samples": record.sample_size.sum(axis=1),
        "error": error[:, -1],
        "conflicts": (record.mode == CONFLICT).mean(axis=1),
    }


def compare(ours: dict, fixed: dict, seeds: int) -> dict[str, Any]:
    """A rule against the fixed size, paired by CMDP and seed.

    Args:
      ours, fixed: from `of_rule`.
      seeds: runs of each CMDP, over which logarithms are averaged before the interval over CMDPs is taken.
    """

    def by_cmdp(values: np.ndarray) -> np.ndarray:
        return values.reshape(-1, seeds).mean(axis=1)

    rows = []
    for share, mine, theirs in zip(TARGETS, ours["until"], fixed["until"], strict=True):
        both = np.isfinite(mine) & np.isfinite(theirs)
        logarithms = np.full(both.shape, np.nan)
        logarithms[both] = np.log(mine[both] / theirs[both])
        kept = by_cmdp(logarithms)
        kept = kept[np.isfinite(kept)]
        ratio = {name: float(np.exp(value)) for name, value in mean_of(kept).items()} if len(kept) else None
        rows.append(
            {"target": share, "ratio": ratio, "cmdps": len(kept), "reached": float(np.isfinite(mine).mean()),
             "more": float(np.mean(kept > 0)) if len(kept) else None}
        )  # fmt: skip
    return {
        "targets": rows,
        "samples": mean_of(by_cmdp(ours["samples"] / fixed["samples"])),
        "error": mean_of(by_cmdp(ours["error"] - fixed["error"])),
        "conflicts": mean_of(by_cmdp(ours["conflicts"])),
    }


def measure(scale: Scale) -> dict[str, Any]:
    """Every rule against the fixed size, for each reading and base size; a fixed half of it is the control."""
    cmdps = repeated(random_cmdps(5, scale.cmdps, STATES, ACTIONS, DISCOUNT), scale.seeds)
    best, rows = optima(cmdps), []
    for per_pair in scale.rollouts:
        for reading in scale.readings:
            common = (cmdps, best, scale.manipulation_iterations, per_pair, reading)
            fixed = of_rule(*common)
            rules = {FIXED: fixed, LEAST: of_rule(*common, base=per_pair * PAIRS * HORIZON // 2)}
            for name, (positive, negative) in MANIPULATIONS.items():
                rules[name] = of_rule(*common, zeta_positive=positive, zeta_negative=negative)
            for name, rule in rules.items():
                found = compare(rule, fixed, scale.seeds)
                about = {"rollouts": per_pair, "X": per_pair * PAIRS * HORIZON, "reading": reading, "rule": name}
                rows.append({**about, "cmdps": scale.cmdps, **found})
    return {"rows": rows, "T": scale.manipulation_iterations, "seeds": scale.seeds}
