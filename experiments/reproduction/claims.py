"""The claims of the abstract against the cells: each is some comparisons, and a verdict that follows from them."""

import dataclasses
from collections.abc import Sequence

from tabular.verdicts import Verdict

from espo_jax.results.statistics import interquartile_mean
from reproduction.cells import Curve
from reproduction.estimates import FEWEST, Estimate, difference, estimate, pairs, percents_less
from reproduction.tables import Curves, above, cost, markdown, of, reward
from reproduction.variants import RIVALS

RULE = f"""A claim is a number of comparisons, one for each task and rival. A comparison says yes or no if the whole
95 % interval of the difference by seed is on the side of the claim or on the other, else it is open; with fewer than
{FEWEST} seeds it is not made. Where the claim is a range, a comparison says yes from its lower end on, else no; for
time one seed is enough, run on an idle machine. The claim **holds** if all comparisons say yes, **holds in part** if
some do, **does not hold** if none does, and is **not decided** while a comparison is not made."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """ESPO against one rival on one task.

    Attributes:
      name: the task and the rival.
      made: whether there are enough seeds.
      answer: 1 for yes, -1 for no, 0 for open.
      seen: what was measured, as text.
    """

    name: str
    made: bool
    answer: int
    seen: str


def verdict(comparisons: Sequence[Comparison]) -> str:
    """What follows from the comparisons of a claim, see RULE."""
    made = [each for each in comparisons if each.made]
    if len(made) < len(comparisons):
        return f"not decided ({len(made)} of {len(comparisons)} comparisons are made)"
    yes = sum(each.answer > 0 for each in made)
    counted = f"{yes} yes, {sum(each.answer < 0 for each in made)} no of {len(made)}"
    if yes == len(made):
        return f"holds ({counted})"
    return f"holds in part ({counted})" if yes else f"does not hold ({counted})"


def outperforms_in_reward(curves: Curves) -> list[Comparison]:
    """More reward than every rival, over the last 20 iterations."""
    return _compare(curves, lambda ours, theirs: difference(ours, theirs, reward))


def meets_the_limit(curves: Curves) -> list[Comparison]:
    """ESPO's cost over the last 20 iterations is at or under the limit."""
    found = []
    for task in RIVALS:
        below = estimate([curve.limit - cost(curve) for curve in of(curves, task, "espo")])
        found.append(Comparison(task, below.count >= FEWEST, below.sign, f"{task} {below.text()} under the limit"))
    return found


def violates_less(curves: Curves) -> list[Comparison]:
    """Fewer of the last 100 iterations above the limit than every rival."""
    return _compare(curves, lambda ours, theirs: difference(theirs, ours, above), digits=0)


def needs_fewer_samples(curves: Curves) -> list[Comparison]:
    """25 to 29 % fewer samples, or still fewer."""
    return _in_range(curves, 25.0, 29.0, idle=False)


def needs_less_time(curves: Curves) -> list[Comparison]:
    """21 to 38 % less wall time, or still less, of runs that had the machine to themselves."""
    return _in_range(curves, 21.0, 38.0, idle=True)


CLAIMS = {
    "outperforms primal and primal-dual baselines in reward (last 20 iterations)": outperforms_in_reward,
    "satisfies the constraint (cost of the last 20 iterations under the limit)": meets_the_limit,
    "outperforms them in constraint satisfaction (share of the last 100 iterations above the limit, %)": violates_less,
    "25 to 29 % fewer samples than the baselines": needs_fewer_samples,
    "21 to 38 % less training time": needs_less_time,
}


def table(curves: Curves, command: str, theory: Sequence[Verdict]) -> str:
    """A row for each claim.

    Args:
      curves: the cells.
      command: the command that trains what the claims are about.
      theory: verdicts on the theorems.
    """
    rows = []
    for claim, compare in CLAIMS.items():
        comparisons = compare(curves)
        seen = "; ".join(each.seen for each in comparisons if each.made) or "too few seeds"
        rows.append({"claim": claim, "measured": seen, "verdict": verdict(comparisons), "command": f"`{command}`"})
    for claim, found, because in theory:
        row = {"claim": f"theory, {claim}", "measured": because, "verdict": found}
        rows.append({**row, "command": "`python experiments/theory.py`"})
    return markdown(rows)


def _compare(curves: Curves, of_pair, digits: int = 1) -> list[Comparison]:
    """A comparison for each task and rival by the sign of an estimate."""
    found = []
    for task, rivals in RIVALS.items():
        for rival in rivals:
            seen: Estimate = of_pair(of(curves, task, "espo"), of(curves, task, rival))
            name = f"{task}, {rival}"
            found.append(Comparison(name, seen.count >= FEWEST, seen.sign, f"{name} {seen.text(digits)}"))
    return found


def _in_range(curves: Curves, low: float, high: float, *, idle: bool) -> list[Comparison]:
    """A comparison for each task and rival by how much less ESPO takes.

    Args:
      curves: the cells.
      low: least of the claimed range, in percent.
      high: most of the claimed range, in percent.
      idle: whether time is compared, of runs that had the machine to themselves; else samples are.
    """
    found = []
    for task, rivals in RIVALS.items():
        ours = _alone(of(curves, task, "espo"), idle)
        for rival in rivals:
            theirs = _alone(of(curves, task, rival), idle)
            values = percents_less(ours, theirs, _seconds if idle else _samples)
            name = f"{task}, {rival}"
            made = len(pairs(ours, theirs)) >= (1 if idle else FEWEST)
            answer = (1 if interquartile_mean(values) >= low else -1) if made else 0
            beyond = " (more than claimed)" if made and interquartile_mean(values) > high else ""
            found.append(Comparison(name, made, answer, f"{name} {estimate(values).text()}{beyond}"))
    return found


def _alone(runs: Sequence[Curve], idle: bool) -> list[Curve]:
    return [curve for curve in runs if curve.about["idle"] or not idle]


def _samples(curve: Curve) -> float:
    return float(curve.samples)


def _seconds(curve: Curve) -> float:
    return float(curve.seconds[-1])
