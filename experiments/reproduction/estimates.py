"""Interquartile means of seeds with bootstrap intervals, means with those of Student's t, and differences by seed."""

import dataclasses
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from espo_jax.results.statistics import interquartile_mean, stratified_interval
from reproduction.cells import Curve


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A statistic of some runs.

    Attributes:
      value: the statistic.
      low, high: its 95 % interval; nan for fewer than two runs.
      count: number of runs.
    """

    value: float
    low: float
    high: float
    count: int

    def text(self, digits: int | None = None, scale: float = 1.0) -> str:
        """The estimate with its interval; one run has none. What is rounded to 0 has no sign.

        Args:
          digits: number of digits after the point. None shows three digits of the largest number, of them at most two
            after the point.
          scale: factor that the numbers are multiplied by.
        """
        if not self.count:
            return ""
        numbers = [scale * number for number in (self.value, self.low, self.high)[: 1 if self.count < 2 else 3]]
        if digits is None:
            largest = max(map(abs, numbers))
            digits = (largest < 100) + (largest < 10)
        value, *interval = [f"{number:z,.{digits}f}" for number in numbers]
        return f"{value} [{', '.join(interval)}]" if interval else value


def estimate(values: Sequence[float]) -> Estimate:
    """Interquartile mean of the values of some runs of one task, with its percentile-bootstrap interval.

    With fewer than four runs the interquartile mean is the mean.
    """
    return mean_over_tasks([values])


def mean_over_tasks(strata: Sequence[Sequence[float]]) -> Estimate:
    """Mean over tasks of the interquartile mean of each, with runs resampled within each task; all tasks count alike.

    Args:
      strata: for each task the values of its runs; tasks without runs are left out.
    """
    tasks = [np.asarray(values, np.float64) for values in strata if len(values)]
    if not tasks:
        return Estimate(np.nan, np.nan, np.nan, 0)
    ends = np.cumsum([len(values) for values in tasks])

    def statistic(runs: np.ndarray, axis: int = 0) -> np.ndarray:
        return np.mean([interquartile_mean(each, axis) for each in np.split(runs, ends[:-1], axis)], axis=0)

    low, high = stratified_interval(tasks, statistic) if ends[-1] > 1 else (np.nan, np.nan)
    return Estimate(float(statistic(np.concatenate(tasks))), float(low), float(high), int(ends[-1]))


def pairs(ours: Sequence[Curve], theirs: Sequence[Curve]) -> list[tuple[Curve, Curve]]:
    """The runs of two variants that have the same seed."""
    others = {curve.cell.seed: curve for curve in theirs}
    return [(curve, others[curve.cell.seed]) for curve in ours if curve.cell.seed in others]


def differences(ours: Sequence[Curve], theirs: Sequence[Curve], of: Callable[[Curve], float]) -> list[float]:
    """of(ours) - of(theirs) for each seed that both have."""
    return [of(a) - of(b) for a, b in pairs(ours, theirs)]


def percents_less(ours: Sequence[Curve], theirs: Sequence[Curve], of: Callable[[Curve], float]) -> list[float]:
    """How much less ours is than theirs for each seed that both have, in percent of theirs."""
    return [100 * (1 - of(a) / of(b)) for a, b in pairs(ours, theirs)]


def mean(values: Sequence[float], level: float = 0.95) -> Estimate:
    """Mean with the interval of Student's t, which keeps its level with few values, unlike a bootstrap.

    Args:
      values: one for each run; one value has no interval.
      level: probability with which the interval contains the mean of normal values.
    """
    if not values:
        return Estimate(np.nan, np.nan, np.nan, 0)
    middle = float(np.mean(values))
    if len(values) < 2:
        return Estimate(middle, np.nan, np.nan, 1)
    quantile = stats.t.ppf((1 + level) / 2, len(values) - 1)
    reach = float(quantile * np.std(values, ddof=1) / np.sqrt(len(values)))
    return Estimate(middle, middle - reach, middle + reach, len(values))
