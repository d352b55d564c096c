"""The words of the page about the examples that were found."""

from collections.abc import Callable
from typing import Any

from tabular.samples import FIXED, LEAST
from tabular.theorem import LATE

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


def search_of_region(found: dict[str, Any], table: Table) -> str:
    rows = [
        [f"{row['states']} × {row['actions']}", f"`{row['reading']}`", str(row["cmdps"]),
         ", ".join(map(str, row["left"])), str(row["always"]), str(row["fewer"]), str(row["always_fewer"])]
        for row in found["rows"]
    ]  # fmt: skip
    head = ["states × actions", "reading", "candidates", "leave", "leave with every x_r"]
    return table([*head, "fewer reward iterations than CRPO, x_r = 1/2", "fewer with every x_r"], rows)


def leaving(found: dict[str, Any]) -> str:
    """The smallest example of each reading that leaves the region whatever x_r is."""
    lines = ["No candidate leaves the region with every x_r."] if not found["leaving"] else ["Smallest examples:", ""]
    for reading, example in found["leaving"].items():
        excess = ", ".join(f"{value:.4f}" for value in example["excess"])
        lines.append(f"- `{reading}`: {cmdp(example)}. Excess over b + h⁺ in units of h⁺: {excess}.")
    return "\n".join(lines)


def fewer(found: dict[str, Any]) -> str:
    """The examples in which ESPO follows the reward less often than CRPO."""
    if not found["fewer"]:
        return "In no candidate does ESPO follow the reward less often than CRPO."
    lines = [
        "Smallest sizes where ESPO with x_r = 1/2 follows the reward less often than CRPO, and the largest deficit:",
        "",
    ]
    for reading, example in found["fewer"].items():
        more = ", ".join(f"{value:+d}" for value in example["more"])
        lines.append(f"- `{reading}`: {cmdp(example)}. Iterations more than CRPO, by x_r: {more}, of {example['T']:,}.")
    return "\n".join(lines)


def trend(part: dict[str, Any]) -> str:
    """How the largest error develops relative to its bound, in a sentence."""
    cells = part["cells"]["exact, centred"][-LATE:]
    ratios = ", ".join(f"{cell['largest'] / cell['bound']:.2f}" for cell in cells)
    counts = ", ".join(f"{cell['T']:,}" for cell in cells)
    return f"Relative to the bound, the largest error of a CMDP is {ratios} at T = {counts} (`exact, centred`)."


def control(part: dict[str, Any]) -> str:
    """What the fixed half of X does, in a sentence."""
    rows = [row for row in part["rows"] if row["rule"] == LEAST]
    ratios = [target["ratio"]["mean"] for row in rows for target in row["targets"] if target["ratio"]]
    errors = [row["error"]["mean"] for row in rows]
    others = [
        target["ratio"]["mean"]
        for row in part["rows"] if row["rule"] not in (LEAST, FIXED)
        for target in row["targets"] if target["ratio"]
    ]  # fmt: skip
    return (
        f"It needs {min(ratios):.2f} to {max(ratios):.2f} of the samples, and its error at the end differs by "
        f"{min(errors):+.4f} to {max(errors):+.4f}. The manipulated sizes need {min(others):.2f} to {max(others):.2f}."
    )


def search_of_samples(found: dict[str, Any], table: Table) -> str:
    rows = [
        [f"{row['states']} × {row['actions']}", f"`{row['reading']}`", str(row["cmdps"]), str(row["more"])]
        for row in found["rows"]
    ]
    return table(["states × actions", "reading", "candidates", "need more samples with manipulation"], rows)


def more_samples(found: dict[str, Any]) -> str:
    """The smallest example of each reading that needs more samples with manipulation."""
    lines = [] if found["examples"] else ["No candidate needs more."]
    for reading, example in found["examples"].items():
        lines.append(
            f"- `{reading}`: {cmdp(example)}. The target is reached in iteration {example['last']:,} of "
            f"{example['T']:,}, with {example['ratio']:.3f} times the samples of the fixed X."
        )
    return "\n".join(lines)
