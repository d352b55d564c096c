"""Statistics over episodes and over runs; their definitions are those of rliable (Agarwal et al., NeurIPS 2021)."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

RESAMPLES = 2000
_MOST_NUMBERS = 2**22  # of the resamples that are computed at once


class Summary(NamedTuple):
    """Mean of a sample with its uncertainty.

    Args:
      mean: arithmetic mean.
      standard_error: standard error of the mean; None for a single value.
      low, high: 95 % percentile-bootstrap interval of the mean.
    """

    mean: float
    standard_error: float | None
    low: float
    high: float


def summarize(values: np.ndarray) -> Summary:
    """Mean, standard error and bootstrap interval of values [E]."""
    values = np.asarray(values, np.float64)
    error = float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
    low, high = bootstrap_interval(values)
    return Summary(float(np.mean(values)), error, float(low), float(high))


def bootstrap_interval(
    values: np.ndarray, statistic: Callable[..., Any] = np.mean, **options: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile-bootstrap interval of a statistic over the first axis; every call gives the same.

    Args:
      values: [E, ...]; the first axis is resampled with replacement.
      statistic: function of (array, axis=...).
      **options: confidence, resamples and seed of `stratified_interval`.

    Returns:
      low, high: [...].
    """
    return stratified_interval([values], statistic, **options)


def stratified_interval(
    strata: Sequence[np.ndarray],
    statistic: Callable[..., Any] = np.mean,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile-bootstrap interval of a statistic of the runs of several tasks; every call gives the same.

    The runs are resampled within each task, so that every task keeps its number of runs.

    Args:
      strata: for each task [S, ...] values of its runs; S may differ.
      statistic: function of (array, axis=...), of all runs together.
      confidence: share of the resamples within the interval.
      resamples: number of resamples.
      seed: seed of the resampling.

    Returns:
      low, high: [...].

    Reference: Agarwal et al. 2021, arXiv:2108.13264, section 4, stratified bootstrap.
    """
    strata = [np.asarray(values, np.float64) for values in strata]
    rng = np.random.default_rng(seed)
    rows = [rng.integers(len(values), size=(resamples, len(values))) for values in strata]
    block = max(1, _MOST_NUMBERS // sum(values.size for values in strata))  # resamples that memory has room for
    estimates = []
    for start in range(0, resamples, block):
        drawn = [values[row[start : start + block]] for values, row in zip(strata, rows, strict=True)]
        estimates.append(statistic(np.concatenate(drawn, axis=1), axis=1))
    outside = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(estimates), [outside, 1 - outside], axis=0)
    return low, high


def performance_profile(scores: np.ndarray, thresholds: np.ndarray, axis: int = 0) -> np.ndarray:
    """Share of runs whose score is above each threshold: [P], or [R, P] for R resamples.

    Args:
      scores: [S] scores of the runs of all tasks, or [R, S] with axis 1.
      thresholds: [P] tau.
      axis: the axis of the runs.

    Reference: Agarwal et al. 2021, arXiv:2108.13264, section 4, run-score distribution.
    """
    return np.mean(np.asarray(scores)[..., None] > thresholds, axis=axis)


def interquartile_mean(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Mean of the middle half; the lowest and the highest quarter, rounded down, are left out."""
    ordered = np.sort(np.asarray(values, np.float64), axis=axis)
    count = ordered.shape[axis]
    return np.mean(np.take(ordered, range(count // 4, count - count // 4), axis=axis), axis=axis)


def conditional_value_at_risk(cost: np.ndarray, alpha: float) -> float:
    """Mean cost of the worst share alpha of the episodes [E]; one of them may count in part.

    Reference: Rockafellar and Uryasev 2000.

    >>> costs = np.array([1.0, 9.0, 2.0, 3.0, 5.0])
    >>> conditional_value_at_risk(costs, alpha=0.2), conditional_value_at_risk(costs, alpha=0.4)
    (9.0, 7.0)

    Raises:
      ValueError: alpha is not in (0, 1].
    """
    if not 0 < alpha <= 1:
        raise ValueError(f"alpha is {alpha}: it must lie in (0, 1]")
    worst_first = np.sort(np.asarray(cost, np.float64))[::-1]
    weight = np.clip(alpha * len(worst_first) - np.arange(len(worst_first)), 0.0, 1.0)
    return float(np.sum(weight * worst_first) / np.sum(weight))
