"""What the results say of each claim, by rules that are fixed here; the page shows the rule beside the verdict."""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from tabular.samples import FIXED, LEAST, RAISED
from tabular.theorem import CLAIMED

HOLDS, IN_PART, FAILS, OPEN = "holds", "holds in part", "does not hold", "not decided"
CONSTANT = 2.0  # largest ratio of an error to log |A| times its bound that agrees with the bound
FEWEST = 10  # CMDPs behind a ratio of samples that counts
TOLERANCE = 0.05  # by which an exponent may exceed the claimed one: the bound hides logarithms


class Verdict(NamedTuple):
    """The verdict on a claim.

    Args:
      claim: the claim in words.
      verdict: one of the four words above.
      because: the numbers, and the rule.
    """

    claim: str
    verdict: str
    because: str


def interval(found: dict[str, float], digits: int = 2, name: str = "mean") -> str:
    """An estimate with its interval."""
    return f"{found[name]:.{digits}f} [{found['low']:.{digits}f}, {found['high']:.{digits}f}]"


def against(found: dict[str, float], claimed: float, ratio: float) -> str:
    """Whether an exponent agrees with an upper bound's, up to TOLERANCE.

    An exponent above the claimed one contradicts the bound only if the errors are above it too: over a finite range
    an error may grow faster than its bound and stay below it.

    Args:
      found: exponent with its interval.
      claimed: exponent of the bound.
      ratio: largest error, divided by log |A| times its bound.
    """
    if found["high"] <= claimed + TOLERANCE:
        return HOLDS
    return FAILS if found["low"] > claimed + TOLERANCE and ratio > CONSTANT else OPEN


def largest(cells: Iterable[dict[str, Any]]) -> float:
    """The largest error of a CMDP, divided by log |A| times its bound."""
    # Before the first step the policy is log |A| away, in KL divergence, from every deterministic policy.
    return max(cell["largest"] / (cell["bound"] * math.log(cell["choices"])) for cell in cells)


def of_bound(results: dict[str, Any]) -> Verdict:
    """Theorem 4.1 as what it is, an upper bound up to a constant and logarithms: the largest error of all cells."""
    cells = [cell for part in ("iterations", "size") for series in results[part]["cells"].values() for cell in series]
    plain = max(cell["largest"] / cell["bound"] for cell in cells)
    scaled = largest(cells)
    because = f"{len(cells)} cells: no error of a CMDP is above {plain:.2f} times its bound, {scaled:.2f} with log |A|"
    claim = f"4.1: error at most {CONSTANT:g} log |A| times the bound, for every T and size"
    return Verdict(claim, HOLDS if scaled <= CONSTANT else FAILS, because)


def of_iterations(results: dict[str, Any]) -> list[Verdict]:
    """Theorem 4.1 against T, for the exact and for the sampled update."""
    part, found = results["iterations"], []
    for name, words in (("exact, centred", "exact Q"), ("sampled, centred", "sampled Q")):
        late = part["late"][name]["error"]
        cells = part["cells"][name][-3:]
        ratios = ", ".join(f"{cell['largest'] / cell['bound']:.2f}" for cell in cells)
        because = (
            f"exponent of the error at the last {len(cells)} values of T, up to {cells[-1]['T']:,}: "
            f"{interval(late, name='exponent')}, {cells[0]['cmdps']} CMDPs; the largest error of a CMDP is {ratios} "
            "times its bound there"
        )
        if name.startswith("exact"):
            others = {other: part["late"][f"exact, {other}"]["error"] for other in ("q", "fisher")}
            texts = (f"`{other}` {interval(fit, name='exponent')}" for other, fit in others.items())
            because += f"; exponents in other readings, up to a smaller T: {', '.join(texts)}"
        claim = f"4.1: gap and violation fall like T^−1/2 ({words})"
        found.append(Verdict(claim, against(late, CLAIMED["T"], largest(cells)), because))
    return found


def of_size(results: dict[str, Any]) -> list[Verdict]:
    """Theorem 4.1 against |S|, |A| and the horizon."""
    part = results["size"]
    words = {"states": "|S|^1/2", "actions": "|A|^1/2", "horizon": "(1 − γ)^−3/2"}
    found = []
    for name, law in words.items():
        error = part["exponents"][name]["error"]
        ratio = largest(part["cells"][name])
        verdict = against(error, CLAIMED[name], ratio)
        because = f"exponent of the error: {interval(error, name='exponent')}"
        if name == "actions":
            without = part["actions_without_log"]
            because += f"; after division by log |A|, which Õ hides: {interval(without, name='exponent')}"
            verdict = against(without, CLAIMED[name], ratio)
        found.append(Verdict(f"4.1: the error grows at most like {law}", verdict, because))
    return found


def of_region(results: dict[str, Any]) -> list[Verdict]:
    """Proposition 4.2: staying in the region, and the number of reward iterations."""
    rows = results["region_examples"]["rows"]
    readings = list(dict.fromkeys(row["reading"] for row in rows))
    total = sum(row["cmdps"] for row in rows if row["reading"] == readings[0])
    always = {name: sum(row["always"] for row in rows if row["reading"] == name) for name in readings}
    fewer = {name: sum(row["fewer"] for row in rows if row["reading"] == name) for name in readings}
    never = {name: sum(row["always_fewer"] for row in rows if row["reading"] == name) for name in readings}
    random = results["region"]["rows"]

    def counts(found: dict[str, int]) -> str:
        return ", ".join(f"`{name}` {count}" for name, count in found.items())

    def of_claim(found: dict[str, int]) -> str:
        return HOLDS if not any(found.values()) else IN_PART if not all(found.values()) else FAILS

    suitable = results["region"]["suitable"]
    return [
        Verdict(
            "4.2: once in V_c ≤ b + h⁺ it stays, for a suitable x_r", of_claim(always),
            f"small CMDPs that leave the region with every x_r, of {total:,}: {counts(always)}; random CMDPs of "
            f"{random[0]['cmdps']} for which some x_r stays: at least {min(suitable.values())}",
        ),
        Verdict(
            "4.2: at least as many iterations follow the reward as CRPO's", of_claim(fewer),
            f"small CMDPs with fewer at x_r = 1/2, of {total:,}: {counts(fewer)}; with fewer at every x_r: "
            f"{counts(never)}; random CMDPs with fewer at any x_r: {sum(row['fewer'] for row in random)}",
        ),
    ]  # fmt: skip


def of_samples(results: dict[str, Any]) -> list[Verdict]:
    """Proposition 4.3: samples to a target, with the pairs of zeta that the paper uses."""
    part = results["samples"]["rows"]
    rows = [row for row in part if row["rule"] not in (FIXED, LEAST, RAISED)]
    ratios = [target["ratio"] for row in rows for target in row["targets"] if target["cmdps"] >= FEWEST]
    less = sum(ratio["high"] < 1 for ratio in ratios)
    more = sum(ratio["low"] > 1 for ratio in ratios)
    verdict = HOLDS if less and less == len(ratios) else FAILS if more and not less else IN_PART if more else OPEN
    halves = [t["ratio"]["mean"] for row in part if row["rule"] == LEAST for t in row["targets"] if t["ratio"]]
    because = (
        f"of {len(ratios)} combinations of the paper's ζ, target, reading and X in which at least {FEWEST} CMDPs reach "
        f"the target, {less} need fewer (interval below 1) and {more} need more (above 1); a fixed X/2 needs "
        f"{min(halves):.2f} to {max(halves):.2f} of the samples"
    )
    return [Verdict("4.3: fewer samples to a gap and a violation than with a fixed X", verdict, because)]


def all_of(results: dict[str, Any]) -> list[Verdict]:
    """Every verdict, in the order of the page."""
    return [of_bound(results), *of_iterations(results), *of_size(results), *of_region(results), *of_samples(results)]
