"""The claims of the abstract against the cells: each is some comparisons, and a verdict that follows from them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from tabular.verdicts import Verdict

from reproduction.cells import Curve
from reproduction.comparisons import Comparison, verdict
from reproduction.estimates import differences, mean
from reproduction.tables import (
    PAPER_SAMPLES,
    Curves,
    above,
    above_after_warmup,
    at_equal_samples,
    cost,
    fewer_samples,
    markdown,
    of,
    reward,
    samples_above,
)
from reproduction.times import less_time, time_of_a_sample
from reproduction.variants import OTHER_TIME_LIMIT, RIVALS, Variant

_PUBLISHED = {("hopper_velocity", "ppo_lagrangian"): 962}  # reward that Omnisafe publishes, where ours is far from it


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


def outperforms_in_reward(curves: Curves) -> list[Comparison]:
    """More reward than every rival, over the last 20 iterations."""
    return _against_rivals(curves, lambda ours, theirs: differences(ours, theirs, reward))


def more_reward_at_equal_samples(curves: Curves) -> list[Comparison]:
    """More reward than every rival when it has used as many samples as ESPO in all its iterations."""
    return _against_rivals(curves, lambda ours, theirs: at_equal_samples(ours, theirs, "episode_reward"))


def meets_the_limit(curves: Curves) -> list[Comparison]:
    """ESPO's cost over the last 20 iterations is under the limit."""
    return [Comparison(t, [run.limit - cost(run) for run in of(curves, t, "espo")]) for t in RIVALS]


def violates_less(measure: Callable[[Curve], float]) -> Callable[[Curves], list[Comparison]]:
    """Less of a measure of violations than every rival."""
    return lambda curves: _against_rivals(curves, lambda ours, theirs: differences(theirs, ours, measure))


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
        "that ESPO has fewer)", violates_less(above), paper="not given",
    ),
    Claim("the same of all iterations after the warm-up", violates_less(above_after_warmup), paper="not given"),
    Claim(
        "the same of the samples in these iterations, in percent of X T", violates_less(samples_above),
        paper="not given",
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


def of_uncommitted_code(curves: Curves) -> str:
    """The cells of code with changes that were not committed, and the claims that would end otherwise without them."""
    dirty = [run.cell.name for runs in curves.values() for run in runs if run.uncommitted]
    if not dirty:
        return ""
    others = {name: [run for run in runs if not run.uncommitted] for name, runs in curves.items()}
    both = [
        (claim, *(verdict(claim.compare(each)).partition(" (")[0] for each in (curves, others))) for claim in CLAIMS
    ]
    ends = [f'"{claim.words}" would not be "{word}" but "{other}"' for claim, word, other in both if word != other]
    listed = "".join(f"- {name}\n" for name in dirty)
    changed = "; ".join(ends) or "every claim would have the same verdict, by the first count"
    return f"Trained by code with changes that were not committed:\n\n{listed}\nWithout these cells {changed}.\n"


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
        about = " (all its runs exceed the limit)" if theirs and all(cost(run) > run.limit for run in theirs) else ""
        if theirs and (published := _PUBLISHED.get((task, rival))):
            about += f" (its reward is {mean([reward(run) for run in theirs]).value:.0f}, Omnisafe's {published})"
        found.append(Comparison(f"{task}, {rival}{about}", of_pair(ours, theirs)))
    return found


def _rivals(curves: Curves) -> Iterator[tuple[str, str, Sequence[Curve], Sequence[Curve]]]:
    """For each task and rival the runs of ESPO and of the rival."""
    for task, rivals in RIVALS.items():
        for rival in rivals:
            yield task, rival, of(curves, task, "espo"), of(curves, task, rival)
