"""The tables and words of the page about the examples that were found."""

from collections.abc import Callable, Sequence
from typing import Any

from tabular.counterexamples import CLEAR
from tabular.samples import FIXED, LEAST

Table = Callable[..., str]


def cmdp(example: dict[str, Any]) -> str:
    """A small CMDP in a sentence."""
    rewards, costs = ("; ".join(numbers(row) for row in example[name]) for name in ("reward", "cost"))
    following = "; ".join(numbers(row) for row in example["next"])
    shape = f"{example['states']} {'state' if example['states'] == 1 else 'states'}, {example['actions']} actions"
    moves = "" if example["states"] == 1 else f", next states ({following})"
    return (
        f"{shape}, rewards ({rewards}), costs ({costs}){moves}, γ = {example['discount']:g}, b = {example['limit']:.4g}"
    )


def numbers(values: list[float]) -> str:
    """A list of numbers."""
    return ", ".join(f"{value:g}" for value in values)


def listed(values: Sequence[Any], form: str) -> str:
    """Values in one cell of a table."""
    return ", ".join(format(value, form) for value in values)


def search_of_region(found: dict[str, Any], table: Table) -> str:
    rows = [
        [_shape(row), f"`{row['reading']}`", str(row["cmdps"]), listed(row["left"], "d"), str(row["always"]),
         str(row["clearly"]), f"{row['excess']:.4f}"]
        for row in found["rows"]
    ]  # fmt: skip
    head = ["states × actions", "reading", "candidates", "leave", "leave with every x_r"]
    return table([*head, f"by more than {CLEAR:g} h⁺", "largest least excess / h⁺"], rows)


def leaving(found: dict[str, Any], table: Table) -> str:
    """The smallest example of each reading that leaves the region whatever x_r is."""
    if not found["leaving"]:
        return "No candidate leaves the region with every x_r.\n"
    rows = [
        [f"`{reading}`", cmdp(example), listed(example["excess"], ".4f")]
        for reading, example in found["leaving"].items()
    ]
    return table(["reading", "smallest example", "excess over b + h⁺, in units of h⁺, by x_r"], rows)


def constants_of_examples(part: dict[str, Any], table: Table) -> str:
    """The excess of each smallest example for each constant in h+ and each T."""
    counts = list(dict.fromkeys(row["T"] for row in part["examples"]))
    found: dict[tuple[str, float], list[str]] = {}
    for row in part["examples"]:
        found.setdefault((row["reading"], row["factor"]), []).append(listed(row["excess"], ".4f"))
    rows = [[f"`{reading}`", f"{factor:g}", *excesses] for (reading, factor), excesses in found.items()]
    return table(["reading", "constant", *(f"excess / h⁺ by x_r, T = {count:,}" for count in counts)], rows)


def constants_of_group(part: dict[str, Any], table: Table) -> str:
    """How many candidates of one group leave the region, for each constant in h+."""
    rows = [
        [f"`{row['reading']}`", f"{row['factor']:g}", str(row["possible"]), listed(row["left"], "d"),
         str(row["always"]), str(row["clearly"]), f"{row['excess']:.4f}"]
        for row in part["group"]
    ]  # fmt: skip
    head = ["reading", "constant", "b + h⁺ is below the highest cost", "leave", "leave with every x_r"]
    return table([*head, f"by more than {CLEAR:g} h⁺", "largest least excess / h⁺"], rows)


def search_of_count(found: dict[str, Any], table: Table) -> str:
    rows = [
        [_shape(row), f"`{row['reading']}`", str(row["suitable"]), str(row["neither"]),
         listed(row["stays_fewer"], "d"), listed(row["fewer"], "d")]
        for row in found["rows"]
    ]  # fmt: skip
    head = ["states × actions", "reading", "some x_r stays", "of these, no x_r stays and follows as often as CRPO"]
    return table([*head, "stay, and follow less often", "follow less often, whether they stay or not"], rows)


def fewer(found: dict[str, Any], table: Table) -> str:
    """The examples in which ESPO with x_r = 1/2 follows the reward less often than CRPO."""
    if not found["fewer"]:
        return "In no candidate does ESPO with x_r = 1/2 follow the reward less often than CRPO.\n"
    rows = [
        [f"`{reading}`", cmdp(example), listed(example["more"], "+d"),
         listed(["yes" if stays else "no" for stays in example["stays"]], "")]
        for reading, example in found["fewer"].items()
    ]  # fmt: skip
    head = ["reading", "smallest size, largest deficit at x_r = 1/2", "iterations more than CRPO, by x_r", "stays"]
    return table(head, rows)


def _shape(row: dict[str, Any]) -> str:
    return f"{row['states']} × {row['actions']}"


def control(part: dict[str, Any]) -> dict[str, str]:
    """What the fixed half of X and the manipulated sizes need, as ranges for the page."""
    rows = [row for row in part["rows"] if row["rule"] == LEAST]
    ratios = [target["ratio"]["mean"] for row in rows for target in row["targets"] if target["ratio"]]
    errors = [row["error"]["mean"] for row in rows]
    others = [
        target["ratio"]["mean"]
        for row in part["rows"] if row["rule"] not in (LEAST, FIXED)
        for target in row["targets"] if target["ratio"]
    ]  # fmt: skip
    return {
        "half": f"{min(ratios):.2f} to {max(ratios):.2f}",
        "half_error": f"{min(errors):+.4f} to {max(errors):+.4f}",
        "manipulated": f"{min(others):.2f} to {max(others):.2f}",
    }


def search_of_samples(found: dict[str, Any], table: Table) -> str:
    rows = [[_shape(row), f"`{row['reading']}`", str(row["cmdps"]), str(row["more"])] for row in found["rows"]]
    return table(["states × actions", "reading", "candidates", "need more samples with manipulation"], rows)


def more_samples(found: dict[str, Any], table: Table) -> str:
    """The smallest example of each reading that needs more samples with manipulation."""
    if not found["examples"]:
        return "No candidate needs more.\n"
    rows = [
        [f"`{reading}`", cmdp(example), f"{example['last']:,} of {example['T']:,}", f"{example['ratio']:.3f}"]
        for reading, example in found["examples"].items()
    ]
    return table(["reading", "smallest size, largest ratio", "target reached in iteration", "samples / fixed X"], rows)
