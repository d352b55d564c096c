"""A trial of a tuning: a point of the search space, and what came of its lanes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from espo_jax.results.sweep_read import RULE as LANE_RULE
from espo_jax.results.sweep_read import Sweep
from espo_jax.runs.result import FINISHED

RULE = (
    "a trial is safe if each of its lanes is; the best is the safe one whose lanes have the highest mean reward of "
    f"these episodes; {LANE_RULE.partition(';')[0]}"
)
RUNNING, COMPLETE, FAILED = "running", "complete", "failed"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of the lanes of a trial, one for each seed.

    Attributes:
      reward: mean reward of the fresh episodes of all lanes.
      cost: [K] mean cost of these episodes.
      cost_limit: [K] the limits.
      excess: [K] upper bound of the cost minus the limit, of the lane where that is largest; at most 0 if all are safe.
    """

    reward: float
    cost: tuple[float, ...]
    cost_limit: tuple[float, ...]
    excess: tuple[float, ...]

    @property
    def is_safe(self) -> bool:
        """Whether every lane is safe."""
        return all(value <= 0 for value in self.excess)


@dataclasses.dataclass(frozen=True)
class Trial:
    """One point of the search space.

    Attributes:
      number: number of the trial, from 0.
      status: RUNNING, COMPLETE or FAILED.
      settings: value of each setting that is tuned.
      lanes: names of its lanes.
      outcome: what came of them; None unless it is complete.
      failure: why it failed; empty if it did not.
    """

    number: int
    status: str
    settings: Mapping[str, Any]
    lanes: tuple[str, ...]
    outcome: Outcome | None = None
    failure: str = ""


def best_of(trials: Sequence[Trial]) -> Trial | None:
    """The safe trial with the largest reward; None if no trial is safe."""
    safe = [trial for trial in trials if trial.outcome and trial.outcome.is_safe]
    return max(safe, key=lambda trial: trial.outcome.reward if trial.outcome else -np.inf, default=None)


def outcome_of(sweep_: Sweep, rows: Sequence[Mapping[str, Any]]) -> Outcome | str:
    """What came of a trial, or why it failed.

    Args:
      sweep_: the sweep of its lanes.
      rows: the rows of its lanes, all of which are done. If one has failed, so has the trial: a mean over the others
        would favour settings that fail.
    """
    for row in rows:
        if row["status"] != FINISHED:
            return f"seed {row['seed']}: {row.get('message') or row['status']}"
        if row.get("stochastic_reward") is None:
            return f"seed {row['seed']}: it has no evaluation"
    reward = float(np.mean([row["stochastic_reward"] for row in rows]))
    costs = np.array([[cost for cost, _ in sweep_.costs(row, "stochastic_cost")] for row in rows])
    limits = tuple(limit for _, limit in sweep_.costs(rows[0], "stochastic_cost"))
    excess = np.max([sweep_.excess(row) for row in rows], axis=0)
    if not np.isfinite([reward, *costs.ravel(), *excess]).all():
        return "an evaluation has nan or infinity"
    return Outcome(reward, tuple(costs.mean(axis=0).tolist()), limits, tuple(excess.tolist()))


def trial_text(trial: Trial) -> str:
    """A trial for people, in one line."""
    settings = ", ".join(f"{name} {value}" for name, value in trial.settings.items())
    if trial.outcome is None:
        return f"trial {trial.number} ({settings}) {trial.status}: {trial.failure}"
    outcome = trial.outcome
    costs = ", ".join(f"{c:.4g} (limit {b:g})" for c, b in zip(outcome.cost, outcome.cost_limit, strict=True))
    safe = "safe" if outcome.is_safe else f"not safe: an upper bound is {max(outcome.excess):.4g} above its limit"
    return f"trial {trial.number} ({settings}): reward {outcome.reward:.4g}, cost {costs}, {safe}"


def best_text(trials: Sequence[Trial]) -> str:
    """The best trial that is safe, and the rule, for people."""
    whole = [trial for trial in trials if trial.outcome]
    safe = [trial for trial in whole if trial.outcome and trial.outcome.is_safe]
    counts = f"{len(safe)} of {len(trials)} trials are safe, {len(trials) - len(whole)} failed"
    best = best_of(trials)
    if best is not None:
        return f"best safe trial: {trial_text(best)}; {counts}; {RULE}"
    nearest = min(whole, key=lambda trial: max(trial.outcome.excess) if trial.outcome else np.inf, default=None)
    return f"no trial is safe{f'; the nearest: {trial_text(nearest)}' if nearest else ''}; {counts}; {RULE}"
