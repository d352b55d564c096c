"""The page docs/results/theory.md, from the results file."""

from collections.abc import Sequence
from typing import Any

from tabular import examples, prose
from tabular.constants import FAMILY
from tabular.readings import READINGS
from tabular.theorem import LATE
from tabular.verdicts import CONSTANT, FEWEST, LITERAL, TOLERANCE, all_of, interval


def text(results: dict[str, Any]) -> str:
    """The whole page."""
    seconds = sum(results["seconds"].values())
    scale = "full" if results["scale"]["cmdps"] > 8 else "small"
    head = prose.HEAD.format(minutes=max(1, seconds / 60), jax=results["jax"], scale=scale)
    verdicts = table(["claim", "verdict", "numbers"], [list(verdict) for verdict in all_of(results)])
    rules = prose.RULES.format(tolerance=TOLERANCE, constant=CONSTANT, fewest=FEWEST, literal=LITERAL)
    setup = prose.SETUP.format(readings=_readings(results))
    return "".join([head, verdicts, rules, setup, _theorem(results), _region(results), _samples(results)])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown; a bar within a cell is escaped."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def _readings(results: dict[str, Any]) -> str:
    rows = [row for row in results["region"]["rows"] if row["x_r"] == 0.5 and row["start"] == "uniform"]
    found = {row["reading"]: row["conflicts"] for row in rows if row["conflicts"] is not None}
    shares = {name: f"{100 * share:.0f} %" for name, share in found.items()}
    lines = [[f"`{name}`", reading.words, shares.get(name, "not measured")] for name, reading in READINGS.items()]
    return table(["reading", "the two vectors are", "balances in conflict"], lines)


KINDS = ("gap", "violation", "error")


def _theorem(results: dict[str, Any]) -> str:
    part, size = results["iterations"], results["size"]
    rows = []
    for name, cells in part["cells"].items():
        for cell in cells:
            rows.append([name, f"{cell['T']:,}", *_cell(cell), f"{cell['least_share']:.2f}"])
    columns = ["bound", *KINDS, "largest error / bound"]
    fits = []
    for name, found in part["exponents"].items():
        late = part["late"][name]
        shown = [*(found[kind] for kind in KINDS), late["error"], late["largest"]]
        fits.append([name, *(interval(fit, name="exponent") for fit in shown)])
    of_sizes = [[name, f"{cell[name]:.3g}", *_cell(cell)] for name, cells in size["cells"].items() for cell in cells]
    return prose.THEOREM.format(
        table=table(["update", "T", *columns, "least sum of weights / T"], rows),
        exponents=table(["update", *KINDS, "error, last T", "largest error / bound, last T"], fits),
        sizes=table(["varied", "value", *columns], of_sizes),
        size_count=size["T"],
        late=LATE,
    )


def _cell(cell: dict[str, Any]) -> list[str]:
    """The columns of a cell: bound, gap, violation, error, and the largest error relative to the bound."""
    values = (interval(cell[kind], 3) for kind in KINDS)
    return [f"{cell['bound']:.3f}", *values, f"{cell['largest'] / cell['bound']:.2f}"]


def _region(results: dict[str, Any]) -> str:
    part, found, others = results["region"], results["region_examples"], results["constants"]
    rows = []
    for start, reading in dict.fromkeys((row["start"], row["reading"]) for row in part["rows"]):
        group = [row for row in part["rows"] if (row["start"], row["reading"]) == (start, reading)]
        left, fewer = (", ".join(str(row[name]) for row in group) for name in ("left", "fewer"))
        follow = ", ".join(f"{100 * row['any']['mean']:.1f}" for row in group)
        excess = f"{max(row['excess'] for row in group):.1e}"
        rows.append([start, f"`{reading}`", left, excess, follow, f"{100 * group[0]['any_crpo']['mean']:.1f}", fewer])
    head = ["start", "reading", "left", "excess / h⁺", "follow the reward (%)", "CRPO (%)", "fewer than CRPO"]
    only = "; ".join(
        f"{100 * row['only']['mean']:.0f} % against {100 * row['only_crpo']['mean']:.0f} % (start {row['start']})"
        for row in part["rows"]
        if row["reading"] == "centred" and row["x_r"] == 0.5
    )
    return prose.REGION.format(
        cmdps=part["rows"][0]["cmdps"],
        count=part["rows"][0]["T"],
        weights=", ".join(f"{weight:g}" for weight in found["weights"]),
        table=table(head, rows),
        stays=min(part["suitable"].values()),
        joint=min(part["joint"].values()),
        only=only,
        search=found["rows"][0]["T"],
        search_table=examples.search_of_region(found, table),
        always=examples.leaving(found, table),
        of_examples=examples.constants_of_examples(others, table),
        group=others["group"][0]["cmdps"],
        group_size="{} state and {} actions".format(*FAMILY),
        of_group=examples.constants_of_group(others, table),
        count_table=examples.search_of_count(found, table),
        fewer=examples.fewer(found, table),
    )


def _samples(results: dict[str, Any]) -> str:
    part, found = results["samples"], results["samples_examples"]
    rows = []
    for row in part["rows"]:
        ratios = [interval(t["ratio"]) + f" ({t['cmdps']})" if t["ratio"] else "none reach it" for t in row["targets"]]
        rows.append(
            [f"`{row['reading']}`", f"{row['X']:,}", row["rule"], *ratios, f"{row['samples']['mean']:.2f}",
             interval(row["error"], 4), f"{100 * row['conflicts']['mean']:.0f} %"]
        )  # fmt: skip
    targets = [f"to {target['target']:g} of the bound (CMDPs)" for target in part["rows"][0]["targets"]]
    head = ["reading", "X", "rule", *targets, "all samples", "error at the end, difference", "conflicts"]
    return prose.SAMPLES.format(
        cmdps=part["rows"][0]["cmdps"], seeds=part["seeds"], count=part["T"], table=table(head, rows),
        search=examples.search_of_samples(found, table), examples=examples.more_samples(found, table),
        **examples.control(part),
    )  # fmt: skip
