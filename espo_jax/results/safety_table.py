"""The measures of safety as tables: one row for each algorithm and policy, one for the training of each algorithm."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich import box
from rich.table import Table

from espo_jax.results.safety_measures import CVAR_ALPHA
from espo_jax.runs.progress import number

Safety = Mapping[str, Any]  # from `summarize_safety`

OF_EPISODES = (
    "V: share of new episodes above a limit; D: (mean cost - limit) / limit; D+: the same of the episodes above the "
    f"limit, 0 without any; CVaR {CVAR_ALPHA}: mean cost of the worst {100 * CVAR_ALPHA:.0f} % of the episodes; "
    "completed safely: share of episodes that ran to the time limit within every limit; share of the unconstrained: "
    "reward divided by that of the unconstrained policy"
)
OF_TRAINING = (
    "rho_c: cost per sample over all of training; cumulative violation: sum of max(0, V_c - limit) over the "
    "iterations; a recovery lasts from the first iteration above a limit until all costs are within it again; not "
    "recovered: runs that ended above a limit"
)
OF_RUNS = (
    f"{OF_EPISODES}; IQM: interquartile mean over runs (95 % stratified bootstrap interval). Of training: {OF_TRAINING}"
)


def policy_cells(name: str, safety: Safety) -> list[dict[str, str]]:
    """The rows of the table of policies of one algorithm, each by column."""
    return [
        {
            "algorithm": name,
            "policy": policy,
            "V": _text(of["violation_rate"], _percent),
            "D": _text(of["cost_deviation"], _signed),
            "D+": _text(of["violation_magnitude"], _signed),
            f"CVaR {CVAR_ALPHA}": _text(of["cvar_cost"]),
            "completed safely": _text(of["safe_completion"], _percent),
            "reward, IQM": _iqm(of["reward"]),
            "D, IQM": _iqm(of["cost_deviation"], _signed),
            "share of the unconstrained": _text(of["normalized_reward"], _percent),
        }
        for policy, of in safety["policies"].items()
    ]


def training_cells(name: str, safety: Safety) -> dict[str, str]:
    """The row of the table of training of one algorithm, by column."""
    of = safety["training"]
    return {
        "algorithm": name,
        "rho_c": _text(of["cost_rate"], lambda value: f"{value:.3g}"),
        "cumulative violation": _text(of["cumulative_violation"], _large),
        "iterations above": _text(of["violating_iterations"], _percent),
        "iterations of a recovery": _text(of["recovery_iterations"]),
        "samples of a recovery": _text(of["recovery_samples"], _large),
        "not recovered": str(of["not_recovered"]),
    }


def episode_cells(row: Mapping[str, Any]) -> dict[str, str]:
    """The safety of one policy of a run from its fresh episodes, by column; see `of_policy`."""
    share = row["normalized_reward"]
    return {
        "V": _percent(row["violation_rate"]),
        "D": _each(row["cost_deviation"], _signed),
        "D+": _each(row["violation_magnitude"], _signed),
        f"CVaR {CVAR_ALPHA}": _each(row["cvar_cost"]),
        "worst": _each(row["worst_cost"]),
        "completed safely": _percent(row["safe_completion"]),
        **({} if share is None else {"share of the unconstrained": _percent(share)}),
    }


def tables(safeties: Mapping[str, Safety]) -> list[Table]:
    """The tables to print with rich; the one of policies is absent without fresh episodes.

    Args:
      safeties: by the name of the algorithm.
    """
    policies, training = all_cells(safeties)
    titles = ("Safety of new episodes, mean over runs ± standard error", "Safety of training")
    return [printed(cells, title) for cells, title in zip((policies, training), titles, strict=True) if cells]


def markdown(safeties: Mapping[str, Safety]) -> str:
    """The tables in Markdown, with what the columns are."""
    parts = []
    for cells in filter(None, all_cells(safeties)):
        names = list(cells[0])
        lines = [names, ["---"] * len(names), *[list(cell.values()) for cell in cells]]
        parts.append("".join(f"| {' | '.join(line)} |\n" for line in lines))
    return "\n".join([*parts, f"{OF_RUNS}\n"])


def all_cells(safeties: Mapping[str, Safety]) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The rows of both tables; a column in which no row has a value is left out."""
    policies = [cells for name, safety in safeties.items() for cells in policy_cells(name, safety)]
    training = [training_cells(name, safety) for name, safety in safeties.items() if safety["training"] is not None]
    return filled(policies), filled(training)


def filled(cells: list[dict[str, str]]) -> list[dict[str, str]]:
    """The rows without the columns in which no row has a value."""
    kept = {name for row in cells for name, text in row.items() if text}
    return [{name: text for name, text in row.items() if name in kept} for row in cells]


def printed(cells: Sequence[Mapping[str, str]], title: str) -> Table:
    """Rows by column as a table to print with rich."""
    found = Table(*cells[0], title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    for row in cells:
        found.add_row(*row.values())
    return found


def _each(values: Sequence[float | None], form: Callable[[float], str] = number) -> str:
    """A number for each constraint."""
    return ", ".join("-" if value is None else form(value) for value in values)


def _text(value: Any, form: Callable[[float], str] = number) -> str:
    """A mean over runs with its standard error, if it has one; one for each constraint; empty without a value."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_text(each, form) for each in value)
    error = value["standard_error"]
    return form(value["mean"]) + ("" if error is None else f" ± {form(error).removeprefix('+')}")


def _iqm(value: Any, form: Callable[[float], str] = number) -> str:
    """An interquartile mean with its interval, of several runs; one for each constraint; empty without a value."""
    if value is None:
        return ""
    if isinstance(value, list):
        return ", ".join(_iqm(each, form) for each in value)
    interval = f" ({form(value['iqm_low'])} to {form(value['iqm_high'])})"
    return form(value["iqm"]) + ("" if value["standard_error"] is None else interval)


def _large(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else number(value)


def _percent(value: float) -> str:
    return f"{100 * value:.0f} %"


def _signed(value: float) -> str:
    return f"{value:+.2f}"
