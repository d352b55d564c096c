"""The measures of safety that papers report, each by its published definition, as functions of NumPy arrays.

Of the fresh episodes of a policy: V, D_norm and D+_norm as in SafeRLEval, the code of Spoor, Plaat and Moerland 2026,
"Evaluation Metrics for Safe Reinforcement Learning", arXiv:2609.15315; the tail of the cost; episodes that were
completed in safety. Of training: the cost rate of Safety Gym (Ray, Achiam and Amodei 2019, "Benchmarking Safe
Exploration in Deep Reinforcement Learning"), the cumulative violation, and how long recoveries took. `of_policy` and
`of_training` have all of them.

E is the number of episodes, T that of iterations, K that of constraints.
"""

from typing import Any, NamedTuple

import numpy as np

from espo_jax.evaluation import Episodes
from espo_jax.results.read import Records
from espo_jax.results.statistics import conditional_value_at_risk
from espo_jax.runs.records import series

CVAR_ALPHA = 0.1
_SMALLEST_LIMIT = 1e-10  # with a smaller limit a share of it says nothing, as in SafeRLEval


class Recoveries(NamedTuple):
    """How long a run stayed above a limit, once it was.

    Args:
      number: number of times that it came back within all limits.
      iterations, samples: mean length of these, in iterations and in samples; None if there are none.
      is_above: whether it was above a limit at its end, so that its last violation was not recovered from.
    """

    number: int
    iterations: float | None
    samples: float | None
    is_above: bool


def violation_rate(cost: np.ndarray, limit: np.ndarray) -> float:
    """V, the share of episodes whose cost is above a limit: mean of 1[C_e > b for some constraint].

    Args:
      cost: [E, K] costs of episodes.
      limit: [K] b.

    Reference: SafeRLEval, V, which has one constraint.
    """
    return float(np.mean(np.any(cost > limit, axis=1)))


def cost_deviation(cost: np.ndarray, limit: np.ndarray) -> list[float | None]:
    """D_norm = (mean C - b) / b for each constraint [K]; above 0 the limit is not met. None where b is 0.

    Args:
      cost: [E, K] costs of episodes.
      limit: [K] b.

    Reference: SafeRLEval, D_norm.
    """
    return [_relative(float(np.mean(column)), float(b)) for column, b in zip(cost.T, limit, strict=True)]


def violation_magnitude(cost: np.ndarray, limit: np.ndarray) -> list[float | None]:
    """D+_norm = (mean of the costs above b - b) / b for each constraint [K]; 0 without such costs, None where b is 0.

    Args:
      cost: [E, K] costs of episodes.
      limit: [K] b.

    Reference: SafeRLEval, D+_norm.
    """
    found = []
    for column, b in zip(cost.T, limit, strict=True):
        above = column[column > b]
        found.append(_relative(float(np.mean(above)) if len(above) else float(b), float(b)))
    return found


def safe_completion(cost: np.ndarray, length: np.ndarray, limit: np.ndarray, time_limit: int) -> float:
    """Share of episodes that ran to the time limit and kept every limit; all count, however high their reward.

    An episode that the task ended, such as by a fall, is not completed. Tasks that never end one have 1 - V.

    Args:
      cost: [E, K] costs of episodes.
      length: [E] control steps.
      limit: [K] b.
      time_limit: time limit of an episode, in control steps.
    """
    return float(np.mean((length >= time_limit) & np.all(cost <= limit, axis=1)))


def normalized_reward(reward: float, reference: float) -> float | None:
    """Reward of an episode as a share of that of an unconstrained policy, J_r(pi) / J_r(pi_E).

    None if the reference is not positive, such as for rewards that are penalties: the ratio then says nothing.

    Reference: Ray, Achiam and Amodei 2019, where pi_E is unconstrained PPO.
    """
    return reward / reference if reference > 0 else None


def cumulative_violation(cost: np.ndarray, limit: np.ndarray) -> list[float]:
    """Sum over the iterations of max(0, V_c - b) for each constraint [K], in cost of an episode times iterations.

    What an iteration saves does not make up for what another one violates.

    Args:
      cost: [T, K] V_c.
      limit: [T, K] b.

    Reference: Efroni, Mannor and Pirotta 2020, arXiv:2003.02189, the regret of the constraints with positive parts.
    """
    return np.sum(np.maximum(cost - limit, 0.0), axis=0).tolist()


def cost_rate(cost: np.ndarray, length: np.ndarray, samples: np.ndarray) -> list[float]:
    """rho_c, the sum of all costs of training by the number of its samples, for each constraint [K].

        rho_c = sum_t X_t V_c,t / L_t / sum_t X_t

    The costs of the samples of iteration t are not recorded; X_t V_c,t / L_t estimates their sum.

    Args:
      cost: [T, K] V_c.
      length: [T] L, estimated length of an episode in samples.
      samples: [T] X, number of samples.

    Reference: Ray, Achiam and Amodei 2019, cost rate.
    """
    weight = samples / length
    return (np.sum(weight[:, None] * cost, axis=0) / np.sum(samples)).tolist()


def recoveries(cost: np.ndarray, limit: np.ndarray, samples: np.ndarray) -> Recoveries:
    """How long it took to come back within all limits, after each time that a cost rose above one.

    A violation lasts from the first iteration above a limit to the last one before all costs are within it again. One
    from which the run did not recover has no such time, and is said by `is_above`.

    Args:
      cost: [T, K] V_c.
      limit: [T, K] b.
      samples: [T] number of samples of an iteration.
    """
    above = np.any(cost > limit, axis=1)
    edges = np.diff(np.concatenate([[False], above]).astype(int))
    begins, ends = np.flatnonzero(edges == 1), np.flatnonzero(edges == -1)
    taken = [np.sum(samples[begin:end]) for begin, end in zip(begins, ends, strict=False)]
    return Recoveries(
        number=len(ends),
        iterations=float(np.mean(ends - begins[: len(ends)])) if len(ends) else None,
        samples=float(np.mean(taken)) if len(ends) else None,
        is_above=bool(above[-1]),
    )


def of_policy(episodes: Episodes, limit: np.ndarray, time_limit: int) -> dict[str, Any]:
    """The measures of a policy from its fresh episodes.

    Args:
      episodes: reward [E], cost [E, K], length [E].
      limit: [K] b.
      time_limit: time limit of an episode, in control steps.
    """
    cost = np.asarray(episodes.cost, float)
    return {
        "violation_rate": violation_rate(cost, limit),
        "cost_deviation": cost_deviation(cost, limit),
        "violation_magnitude": violation_magnitude(cost, limit),
        "cvar_cost": [conditional_value_at_risk(column, CVAR_ALPHA) for column in cost.T],
        "safe_completion": safe_completion(cost, np.asarray(episodes.length), limit, time_limit),
    }


def of_training(records: Records) -> dict[str, Any]:
    """The measures of a run's training from the lines of its metrics.jsonl; cost_rate is None for earlier versions."""
    cost, limit = series(records, "episode_cost"), series(records, "cost_limit")
    samples = series(records, "sample_size")[:, 0]
    has_length = all(record.get("episode_length") for record in records)
    length = series(records, "episode_length")[:, 0] if has_length else None
    return {
        "violating_iterations": float(np.mean(np.any(cost > limit, axis=1))),
        "cumulative_violation": cumulative_violation(cost, limit),
        "cost_rate": cost_rate(cost, length, samples) if length is not None else None,
        "recoveries": recoveries(cost, limit, samples)._asdict(),
    }


def _relative(cost: float, limit: float) -> float | None:
    return (cost - limit) / limit if abs(limit) >= _SMALLEST_LIMIT else None
