"""What the results say of each claim, by rules that are fixed here; the page shows the rule beside the verdict."""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from tabular.constants import FACTORS, FAMILY
from tabular.counterexamples import CLEAR
from tabular.samples import FIXED, LEAST, RAISED
from tabular.theorem import LATE

HOLDS, IN_PART, FAILS, OPEN = "holds", "holds in part", "does not hold", "not decided"
NOT_REFUTED = "not refuted"  # of a statement about every CMDP: those that were tried have no counterexample
LITERAL = "q"  # the reading of the paper's tabular update as it is written
CONSTANT = 2.0  # largest ratio of an error to log |A| times its bound that agrees with the bound
FEWEST = 10  # CMDPs behind a ratio of samples that counts
TOLERANCE = 0.05  # largest exponent of the ratio of an error to its bound that counts as no growth: Õ hides logarithms


class Verdict(NamedTuple):
    """The verdict on a claim.

    Args:
      claim: the claim in words.
      verdict: one of the words above.
      because: the numbers, and the rule.
    """

    claim: str
    verdict: str
    because: str


def interval(found: dict[str, float], digits: int = 2, name: str = "mean") -> str:
    """An estimate with its interval."""
    return f"{found[name]:.{digits}f} [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"


def against(found: dict[str, float], ratio: float) -> str:
    """Whether errors agree with an upper bound that leaves its constant open.

    The bound is one for every CMDP. So what counts is the largest error of a CMDP relative to the bound: it must not
    grow. It contradicts the bound only if it grows and is already large, because over a finite range an error may grow
    faster than its bound and stay below it.

    Args:
      found: exponent of the largest ratio of an error to its bound, with its interval.
      ratio: the largest one of these ratios.
    """
    if found["high"] <= TOLERANCE:
        return HOLDS
    return FAILS if found["low"] > TOLERANCE and ratio > CONSTANT else OPEN


def largest(cells: Iterable[dict[str, Any]]) -> float:
    """The largest error of a CMDP, divided by log |A| times its bound."""
    return max(cell["largest"] / (cell["bound"] * math.log(cell["choices"])) for cell in cells)


def ratios(cells: Iterable[dict[str, Any]], *, of_choices: bool = False) -> str:
    """The largest error of a CMDP relative to its bound in each cell, divided by log |A| too if `of_choices`."""
    divisors = ((cell, math.log(cell["choices"]) if of_choices else 1.0) for cell in cells)
    return ", ".join(f"{cell['largest'] / (cell['bound'] * divisor):.2f}" for cell, divisor in divisors)


def of_bound(results: dict[str, Any]) -> Verdict:
    """Theorem 4.1 as what it is, an upper bound up to a constant and logarithms: the largest error of all cells."""
    cells = [cell for part in ("iterations", "size") for series in results[part]["cells"].values() for cell in series]
    plain, scaled = max(cell["largest"] / cell["bound"] for cell in cells), largest(cells)
    return Verdict(
        "4.1: the error is consistent with the bound √(|S||A|/((1−γ)³T)), up to a constant and log |A|",
        HOLDS if scaled <= CONSTANT else FAILS,
        f"largest error of a CMDP in {len(cells)} cells: {plain:.2f} times its bound, {scaled:.2f} times log |A| times "
        f"its bound. The rule is at most {CONSTANT:g} of the latter; this constant was fixed after the first full run, "
        "and Õ promises none",
    )


def of_iterations(results: dict[str, Any]) -> list[Verdict]:
    """Theorem 4.1 against T: the exact update in three readings, that of the corridor, and the sampled one."""
    part, found = results["iterations"], []
    for name in (f"exact, {LITERAL}", "exact, centred", "exact, fisher", "corridor, centred", "sampled, centred"):
        kind, reading = name.split(", ")
        late, cells = part["late"][name], part["cells"][name][-LATE:]
        counts = ", ".join(f"{cell['T']:,}" for cell in cells)
        because = (
            f"largest error of {_cmdps(cells)} relative to the bound at T = {counts}: {ratios(cells)}, "
            f"exponent {interval(late['largest'], name='exponent')}; exponent of the mean error, for which −1/2 is an "
            f"upper bound in the limit: {interval(late['error'], name='exponent')}"
        )
        if kind == "sampled":
            same = [cell for cell in part["cells"]["exact, centred"] if cell["T"] in [other["T"] for other in cells]]
            because += f"; with exact Q, the largest errors at the same T are {ratios(same)} times the bound"
        kind = "exact Q, corridor" if kind == "corridor" else f"{kind} Q"
        claim = f"4.1: against T, the error is at most like T^−1/2 ({kind}, `{reading}`)"
        found.append(Verdict(claim, against(late["largest"], largest(cells)), because))
    return found


def of_size(results: dict[str, Any]) -> list[Verdict]:
    """Theorem 4.1 against |S|, |A| and the horizon."""
    part = results["size"]
    words = {"states": "|S|^1/2", "actions": "|A|^1/2", "horizon": "(1 − γ)^−3/2"}
    found = []
    for name, law in words.items():
        fits, cells = part["exponents"][name], part["cells"][name]
        of_actions = name == "actions"
        because = (
            f"largest error of {_cmdps(cells)} relative to {'log |A| times ' if of_actions else ''}the "
            f"bound: {ratios(cells, of_choices=of_actions)}, exponent {interval(fits['largest'], name='exponent')}; "
            f"exponent of the mean error: {interval(fits['error'], name='exponent')}"
        )
        if of_actions:
            without = interval(part["actions_without_log"], name="exponent")
            because += f", after division by log |A|, which Õ hides: {without}"
        claim = f"4.1: the error grows at most like {law} (exact Q, `centred`)"
        found.append(Verdict(claim, against(fits["largest"], largest(cells)), because))
    return found


def _cmdps(cells: Sequence[dict[str, Any]]) -> str:
    count = cells[0]["cmdps"]
    return f"{count} CMDPs" if count > 1 else "one CMDP"


def of_readings(failures: dict[str, int]) -> str:
    """The verdict on a statement about every CMDP, from the number of its counterexamples in each reading.

    A counterexample in the literal reading refutes the paper's statement. If only other readings have some, it holds in
    part.
    """
    return FAILS if failures.get(LITERAL) else IN_PART if any(failures.values()) else NOT_REFUTED


def of_region(results: dict[str, Any]) -> list[Verdict]:
    """Proposition 4.2: staying in the region, and the number of reward iterations of the x_r that stay."""
    rows, random = results["region_examples"]["rows"], results["region"]
    readings = list(dict.fromkeys(row["reading"] for row in rows))
    total = sum(row["cmdps"] for row in rows if row["reading"] == readings[0])
    cmdps, weights = random["rows"][0]["cmdps"], results["region_examples"]["weights"]

    def count(name: str, place: int | None = None) -> dict[str, int]:
        values = [(row["reading"], row[name] if place is None else row[name][place]) for row in rows]
        return {reading: sum(value for other, value in values if other == reading) for reading in readings}

    def words(found: dict[str, int]) -> str:
        return ", ".join(f"`{name}` {value:,}" for name, value in found.items())

    def with_random(found: dict[str, int], agree: dict[str, int]) -> dict[str, int]:
        others = [(name.split(", ")[1], cmdps - number) for name, number in agree.items()]
        return {reading: found[reading] + sum(n for other, n in others if other == reading) for reading in readings}

    always, neither = count("always"), count("neither")
    some = sum(sum(count("stays_fewer", place).values()) for place, weight in enumerate(weights) if weight > 0)
    stays, follows = min(random["suitable"].values()), min(random["joint"].values())
    holds = "; no counterexample was found in the Fisher product" if not always["fisher"] else ""
    return [
        Verdict(
            "4.2: once in V_c ≤ b + h⁺ it stays, for a suitable x_r",
            of_readings(with_random(always, random["suitable"])),
            f"small CMDPs that leave the region with every x_r, of {total:,}: {words(always)}{holds}; clearly, by more "
            f"than {CLEAR:g} h⁺: {words(count('clearly'))}; {_constants(results['constants'])}; random CMDPs for which "
            f"some x_r stays: {stays} of {cmdps} in every reading",
        ),
        Verdict(
            "4.2: with an x_r that stays, at least as many iterations follow the reward as CRPO's",
            of_readings(with_random(neither, random["joint"])),
            f"small CMDPs for which some x_r stays, of {total:,}: {words(count('suitable'))}; of these, those where no "
            f"x_r both stays and follows the reward as often as CRPO: {words(neither)}; cases in which an x_r above 0 "
            f"stays and follows it less often: {some}; with x_r = 1/2, whether it stays or not, CMDPs that follow it "
            f"less often: {words(count('fewer', weights.index(0.5)))}; random CMDPs with an x_r that does both: "
            f"{follows} of {cmdps} in every reading",
        ),
    ]  # fmt: skip


def _constants(part: dict[str, Any]) -> str:
    """How many candidates of the group leave with every x_r for each constant, in the literal reading and in Fisher."""
    texts = []
    for reading in (LITERAL, "fisher"):
        rows = [row for row in part["group"] if row["reading"] == reading]
        always, clearly = (", ".join(str(row[name]) for row in rows) for name in ("always", "clearly"))
        texts.append(f"`{reading}` {always} (clearly: {clearly})")
    factors = ", ".join(f"{factor:g}" for factor in FACTORS)
    states, actions = FAMILY
    size = f"{part['group'][0]['cmdps']} with {states} state and {actions} actions"
    return f"with {factors} times h⁺, of {size}: {'; '.join(texts)}"


def of_samples(results: dict[str, Any]) -> list[Verdict]:
    """Proposition 4.3: samples to a target, with the pairs of zeta that the paper uses."""
    part = results["samples"]["rows"]
    rows = [row for row in part if row["rule"] not in (FIXED, LEAST, RAISED)]
    targets = [target for row in rows for target in row["targets"] if target["ratio"]]
    ratios = [target["ratio"] for target in targets if target["cmdps"] >= FEWEST]
    few = [target["ratio"] for target in targets if target["cmdps"] < FEWEST]
    of_few = " or ".join(f"{part:g}" for part in sorted({t["target"] for t in targets if t["cmdps"] < FEWEST}))
    (less, more), (less_of_few, more_of_few) = (
        (sum(ratio["high"] < 1 for ratio in some), sum(ratio["low"] > 1 for ratio in some)) for some in (ratios, few)
    )
    verdict = HOLDS if less and less == len(ratios) else FAILS if more and not less else IN_PART if more else OPEN
    halves = [t["ratio"]["mean"] for row in part if row["rule"] == LEAST for t in row["targets"] if t["ratio"]]
    because = (
        f"of {len(ratios)} combinations of the paper's ζ, target, reading and X in which at least {FEWEST} CMDPs reach "
        f"the target, {less} need fewer (interval below 1) and {more} need more (above 1); of the {len(few)} with a "
        f"target of {of_few} of the bound that fewer reach, which do not count, {less_of_few} and {more_of_few}; all "
        f"of them share their CMDPs; a fixed X/2 needs {min(halves):.2f} to {max(halves):.2f} of the samples"
    )
    return [Verdict("4.3: fewer samples to a gap and a violation than with a fixed X", verdict, because)]


def all_of(results: dict[str, Any]) -> list[Verdict]:
    """Every verdict, in the order of the page."""
    return [of_bound(results), *of_iterations(results), *of_size(results), *of_region(results), *of_samples(results)]
