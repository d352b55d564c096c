"""A comparison of runs by an interval, and the verdict that follows from several."""

import dataclasses
from collections.abc import Sequence

from reproduction.estimates import Estimate, mean

FEWEST = 3  # seeds without which a comparison is not made
LEVEL = 0.95  # of an interval


@dataclasses.dataclass(frozen=True)
class Comparison:
    """ESPO against one rival on one task, or against a limit.

    Attributes:
      name: the task and the rival.
      values: what was measured, a number for each seed.
      least: the number above which it agrees with the claim.
      noise: for savings in percent, the factor by which what is left may be wrong in either direction.
    """

    name: str
    values: Sequence[float]
    least: float = 0.0
    noise: float = 1.0

    @property
    def made(self) -> bool:
        """Whether there are enough seeds."""
        return len(self.values) >= FEWEST

    def seen(self, level: float = LEVEL) -> Estimate:
        """The mean with an interval of some level."""
        seen = mean(self.values, level)
        if self.noise == 1.0:
            return seen
        low, high = 100 - (100 - seen.low) * self.noise, 100 - (100 - seen.high) / self.noise
        return dataclasses.replace(seen, low=low, high=high)

    def answer(self, level: float = LEVEL) -> int:
        """1 for yes, -1 for no, 0 for open: the side of the number on which the whole interval of some level is."""
        seen = self.seen(level)
        return int(seen.low > self.least) - int(seen.high < self.least)

    @property
    def says(self) -> str:
        """The answer in words."""
        return {1: "yes", -1: "no", 0: "open"}[self.answer()] if self.made else "not made"

    def text(self) -> str:
        """What was measured, and what it says."""
        return f"{self.name}: {self.seen().text()}, {self.says}"


def verdict(comparisons: Sequence[Comparison]) -> str:
    """What follows from the comparisons of a claim, see words.RULE."""
    made = [each for each in comparisons if each.made]
    missing = len(comparisons) - len(made)

    def at(level: float) -> str:
        answers = [each.answer(level) for each in made]
        yes, no = answers.count(1), answers.count(-1)
        word = "holds in part" if yes else "not decided"
        if missing:
            word = "not decided"
        elif yes == len(made):
            word = "holds"
        elif no > yes:
            word = "does not hold"
        return f"{word} ({yes} yes, {no} no of {len(made)}{f', {missing} not made' if missing else ''})"

    if len(made) < 2:
        return at(LEVEL)
    return f"{at(LEVEL)}; with all intervals together at {100 * LEVEL:.0f} %: {at(1 - (1 - LEVEL) / len(made))}"
