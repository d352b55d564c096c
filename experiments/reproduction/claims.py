"""The claims of the abstract against the cells: each is some comparisons, and a verdict that follows from them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from tabular.verdicts import Verdict

from reproduction.cells import Curve
from reproduction.estimates import Estimate, differences, mean
from reproduction.tables import (
    PAPER_SAMPLES,
    Curves,
    above,
    at_equal_samples,
    cost,
    fewer_samples,
    markdown,
    of,
    reward,
)
from reproduction.times import less_time, time_of_a_sample
from reproduction.variants import OTHER_TIME_LIMIT, RIVALS, Variant

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

    def text(self) -> str:
        """What was measured, and what it says."""
        says = {1: "yes", -1: "no", 0: "open"}[self.answer()] if self.made else "not made"
        return f"{self.name}: {self.seen().text()}, {says}"


@dataclasses.dataclass(frozen=True)
class Claim:
    """A claim.

    Attributes:
      words: what is claimed, and how it is measured.
      compare: (cells by variant) -> its comparisons.
      command: the command that trains the cells.
      paper: what the paper's own tables say of it.
    """

    words: str
    compare: Callable[[Curves], list[Comparison]]
    command: str = "python experiments/paper.py run --table 1 --table 2"
    paper: str = ""


def noise_of_times(curves: Curves) -> str:
    """How unlike the times of a sample are that should be alike."""
    if not (found := _ratios_of_alike(curves)):
        return ""
    return (
        "A sample of ESPO and one of PCRPO are nearly the same work. This shows the noise: one of ESPO took from\n"
        f"{min(found):.2f} to {max(found):.2f} times as long.\n"
    )


def _ratios_of_alike(curves: Curves) -> list[float]:
    """The time of a sample of ESPO relative to one of PCRPO, by task."""
    both = [(of(curves, task, "espo"), of(curves, task, "pcrpo")) for task in RIVALS]
    return [ratio for pair in both if (ratio := time_of_a_sample(*pair)) is not None]


def verdict(comparisons: Sequence[Comparison]) -> str:
    """What follows from the comparisons of a claim, see words.RULE."""
    made = [each for each in comparisons if each.made]

    def count(level: float) -> tuple[int, int]:
        answers = [each.answer(level) for each in made]
        return answers.count(1), answers.count(-1)

    yes, no = count(LEVEL)
    counted = f"{yes} yes, {no} no of {len(made)}"
    if len(made) > 1:
        together = count(1 - (1 - LEVEL) / len(made))
        counted += f"; all intervals together at {100 * LEVEL:.0f} %: {together[0]} yes, {together[1]} no"
    if missing := len(comparisons) - len(made):
        return f"not decided ({counted}; {missing} {'is' if missing == 1 else 'are'} not made)"
    if yes == len(made):
        return f"holds ({counted})"
    if no > yes:
        return f"does not hold ({counted})"
    return f"holds in part ({counted})" if yes else f"not decided ({counted})"


def outperforms_in_reward(curves: Curves) -> list[Comparison]:
    """More reward than every rival, over the last 20 iterations."""
    return _against_rivals(curves, lambda ours, theirs: differences(ours, theirs, reward))


def more_reward_at_equal_samples(curves: Curves) -> list[Comparison]:
    """More reward than every rival when it has used as many samples as ESPO in all its iterations."""
    return _against_rivals(curves, lambda ours, theirs: at_equal_samples(ours, theirs, "episode_reward"))


def meets_the_limit(curves: Curves) -> list[Comparison]:
    """ESPO's cost over the last 20 iterations is under the limit."""
    return [Comparison(t, [run.limit - cost(run) for run in of(curves, t, "espo")]) for t in RIVALS]


def violates_less(curves: Curves) -> list[Comparison]:
    """Fewer of the last 100 iterations above the limit than every rival."""
    return _against_rivals(curves, lambda ours, theirs: differences(theirs, ours, above))


def needs_fewer_samples(curves: Curves) -> list[Comparison]:
    """At least 25 % fewer samples than X in every iteration, which is what every rival takes."""
    return [Comparison(t, [fewer_samples(run) for run in of(curves, t, "espo")], 25.0) for t in RIVALS]


def needs_fewer_samples_in_the_other_reading(curves: Curves) -> list[Comparison]:
    """The same of the runs with the other reading of the time limit."""
    others = {task: Variant(task, "espo", {"time_limit": reading}) for task, reading in OTHER_TIME_LIMIT.items()}
    return [
        Comparison(f"{task}, {OTHER_TIME_LIMIT[task]}", [fewer_samples(run) for run in curves.get(v.name, ())], 25.0)
        for task, v in others.items()
    ]  # fmt: skip


def needs_less_time(curves: Curves) -> list[Comparison]:
    """At least 21 % less wall time than every rival, by the seconds per sample of runs on an idle machine."""
    alike = _ratios_of_alike(curves)
    noise = max([1.0, *alike, *(1 / ratio for ratio in alike)])
    found = []
    for task, rival, ours, theirs in _rivals(curves):
        ratio = time_of_a_sample(ours, theirs)
        about = "" if ratio is None else f" (a sample takes {ratio:.2f} times as long)"
        found.append(Comparison(f"{task}, {rival}{about}", less_time(ours, theirs), 21.0, noise))
    return found


_PAPER_FEWER = ", ".join(f"{task} {100 * (1 - ours / fixed):.0f}" for task, (ours, fixed) in PAPER_SAMPLES.items())
CLAIMS = (
    Claim(
        "outperforms primal and primal-dual baselines in reward (last 20 iterations)", outperforms_in_reward,
        paper="at least as good",
    ),
    Claim(
        "satisfies the constraint (cost of the last 20 iterations under the limit; numbers: how far)",
        meets_the_limit, paper="yes",
    ),
    Claim(
        "outperforms them in constraint satisfaction (last 100 iterations above the limit; numbers: percentage points "
        "that ESPO has fewer)", violates_less, paper="not given",
    ),
    Claim("25 to 29 % fewer samples than the baselines (at least 25 %)", needs_fewer_samples, paper=_PAPER_FEWER),
    Claim(
        "the same with the [other reading of the time limit](#the-other-reading-of-the-time-limit)",
        needs_fewer_samples_in_the_other_reading, 'python experiments/paper.py run --part "time limit"', _PAPER_FEWER,
    ),
    Claim(
        "21 to 38 % less training time (at least 21 %)", needs_less_time,
        "python experiments/paper.py run --table 1 --table 2 --seeds 0 --idle",
        "walker2d, crpo 18 (58 and 71 minutes, Figure 4); others not known here",
    ),
    Claim(
        "not in the abstract: more reward than a baseline that stops at ESPO's number of samples",
        more_reward_at_equal_samples,
    ),
)  # fmt: skip


def table(curves: Curves) -> str:
    """A row for each claim."""
    rows = []
    for claim in CLAIMS:
        comparisons = claim.compare(curves)
        seen = "<br>".join(each.text() for each in comparisons if each.values)
        rows.append(
            {
                "claim": claim.words, "measured": seen or "no cell yet", "the paper's tables": claim.paper,
                "verdict": verdict(comparisons), "command": f"`{claim.command}`",
            }
        )  # fmt: skip
    return markdown(rows)


def theory_table(theory: Sequence[Verdict]) -> str:
    """A row for each verdict on the theorems."""
    command = "`python experiments/theory.py`"
    return markdown([{"claim": w, "measured": b, "verdict": v, "command": command} for w, v, b in theory])


def _against_rivals(
    curves: Curves, of_pair: Callable[[Sequence[Curve], Sequence[Curve]], list[float]]
) -> list[Comparison]:
    """A comparison for each task and rival, by values for each seed that are to be above 0."""
    found = []
    for task, rival, ours, theirs in _rivals(curves):
        exceeds = bool(theirs) and all(cost(run) > run.limit for run in theirs)
        about = " (all its runs exceed the limit)" if exceeds else ""
        found.append(Comparison(f"{task}, {rival}{about}", of_pair(ours, theirs)))
    return found


def _rivals(curves: Curves) -> Iterator[tuple[str, str, Sequence[Curve], Sequence[Curve]]]:
    """For each task and rival the runs of ESPO and of the rival."""
    for task, rivals in RIVALS.items():
        for rival in rivals:
            yield task, rival, of(curves, task, "espo"), of(curves, task, rival)
