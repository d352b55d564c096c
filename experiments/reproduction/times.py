"""Wall time of runs that were alone on an idle machine."""

from collections.abc import Iterable, Sequence

import numpy as np

from reproduction.cells import Curve
from reproduction.estimates import estimate


def idle(runs: Iterable[Curve]) -> list[Curve]:
    """The runs that were alone on an idle machine."""
    return [curve for curve in runs if curve.idle]


def less_time(ours: Sequence[Curve], theirs: Sequence[Curve]) -> list[float]:
    """How much less time each of our runs takes than one of theirs, in percent, whatever seeds they have.

    The time of a run is its samples times the seconds per sample of the runs that were alone on an idle machine. Their
    runs all take the same number of samples. Runs on different processors are not compared; a run that names none may
    have had any.
    """
    ratio = time_of_a_sample(ours, theirs)
    return [] if ratio is None else [100 * (1 - ratio * run.samples / theirs[0].samples) for run in ours]


def time_of_a_sample(ours: Sequence[Curve], theirs: Sequence[Curve]) -> float | None:
    """The time of one of our samples relative to one of theirs; None if there are no times that may be compared."""
    alone = idle([*ours, *theirs])
    if not idle(ours) or not idle(theirs) or len({curve.processor for curve in alone}) > 1:
        return None
    return _seconds_per_sample(ours) / _seconds_per_sample(theirs)


def timed(runs: Sequence[Curve]) -> str:
    """Minutes of the runs that were alone on an idle machine, the microseconds of a sample, and their seeds."""
    if not (alone := idle(runs)):
        return ""
    minutes = estimate([float(curve.seconds[-1]) / 60 for curve in alone]).text()
    seeds = ", ".join(str(curve.cell.seed) for curve in alone)
    return f"{minutes} ({1e6 * _seconds_per_sample(runs):.0f} µs a sample, seed {seeds})"


def minutes_at_the_rate_of(alone: Sequence[Curve], runs: Sequence[Curve]) -> str:
    """Minutes of runs if each of their samples takes as long as in those that were alone on an idle machine."""
    return estimate([_seconds_per_sample(alone) * run.samples / 60 for run in runs]).text() if idle(alone) else ""


def _seconds_per_sample(runs: Sequence[Curve]) -> float:
    """Mean over the runs that were alone."""
    return float(np.mean([curve.seconds[-1] / curve.samples for curve in idle(runs)]))
