"""Interquartile means of seeds with bootstrap intervals, and differences between two variants by seed."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from espo_jax.results.statistics import interquartile_mean, stratified_interval
from reproduction.cells import Curve

FEWEST = 3  # seeds without which nothing is decided


class Estimate(NamedTuple):
    """A statistic of some runs.

    Attributes:
      value: interquartile mean; with fewer than four runs of a task it is the mean.
      low, high: its 95 % percentile-bootstrap interval; nan for fewer than two runs.
      count: number of runs.
    """

    value: float
    low: float
    high: float
    count: int

    def text(self, digits: int = 1, scale: float = 1.0) -> str:
        """The estimate with its interval; one run has none."""
        if not self.count:
            return ""
        value = f"{self.value * scale:,.{digits}f}"
        if self.count < 2:
            return value
        return f"{value} [{self.low * scale:,.{digits}f}, {self.high * scale:,.{digits}f}]"

    @property
    def sign(self) -> int:
        """1 or -1 if the whole interval is on one side of 0, else 0: also for too few runs."""
        return 0 if self.count < FEWEST else int(self.low > 0) - int(self.high < 0)


def estimate(*strata: Sequence[float]) -> Estimate:
    """Interquartile mean of the runs of one task or of several, resampled within each task.

    Args:
      *strata: for each task the values of its runs.
    """
    values = [np.asarray(each, np.float64) for each in strata if len(each)]
    count = sum(map(len, values))
    if not count:
        return Estimate(np.nan, np.nan, np.nan, 0)
    low, high = stratified_interval(values, interquartile_mean) if count > 1 else (np.nan, np.nan)
    return Estimate(float(interquartile_mean(np.concatenate(values))), float(low), float(high), count)


def pairs(ours: Sequence[Curve], theirs: Sequence[Curve]) -> list[tuple[Curve, Curve]]:
    """The runs of two variants that have the same seed."""
    others = {curve.cell.seed: curve for curve in theirs}
    return [(curve, others[curve.cell.seed]) for curve in ours if curve.cell.seed in others]


def difference(ours: Sequence[Curve], theirs: Sequence[Curve], of: Callable[[Curve], float]) -> Estimate:
    """Estimate of of(ours) - of(theirs) by seed."""
    return estimate([of(a) - of(b) for a, b in pairs(ours, theirs)])


def percent_less(ours: Sequence[Curve], theirs: Sequence[Curve], of: Callable[[Curve], float]) -> Estimate:
    """Estimate of how much less ours is than theirs by seed, in percent of theirs."""
    return estimate(percents_less(ours, theirs, of))


def percents_less(ours: Sequence[Curve], theirs: Sequence[Curve], of: Callable[[Curve], float]) -> list[float]:
    """How much less ours is than theirs for each seed that both have, in percent of theirs."""
    return [100 * (1 - of(a) / of(b)) for a, b in pairs(ours, theirs)]
