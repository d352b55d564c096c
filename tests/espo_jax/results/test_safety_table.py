"""The tables of safety: every measure has its column, and a column without a value is left out."""

from rich.console import Console

from espo_jax.results import safety_table
from espo_jax.results.evaluated import references_of, summarize_safety
from tests.made_up import run_of


def printed(tables):
    console = Console(width=300, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for table in tables:
        console.print(table)
    return console.export_text()


def test_policies_are_apart_and_training_is_beside_them():
    runs = {"espo": [run_of(8.0, 2.0), run_of(8.0, 4.2, seed=1)], "trpo": [run_of(10.0, 9.0, algorithm="trpo")]}
    unconstrained = references_of(runs["trpo"])
    safeties = {name: summarize_safety(group, unconstrained) for name, group in runs.items()}
    text = printed(safety_table.tables(safeties))
    for words in (
        "Safety of new episodes", "stochastic", "deterministic", "share of the unconstrained", "80 % ± 0 %", "100 %",
        "25 % ± 25 %", "Safety of training", "cumulative violation", "iterations of a recovery", "not recovered",
    ):  # fmt: skip
        assert words in text, words
    assert "rho_c" not in text, "the made-up records have no length of an episode"
    markdown = safety_table.markdown(safeties)
    assert markdown.count("| espo |") == 3
    assert "| algorithm | policy | V | D | D+ | CVaR 0.1 | completed safely |" in markdown


def test_a_single_run_has_no_interval_and_no_error():
    text = printed(safety_table.tables({"espo": summarize_safety([run_of()])}))
    assert text.count("±") == 1, "in the title"
    assert " to " not in text
    assert "share of the unconstrained" not in text


def test_several_costs_stand_beside_each_other():
    row = {
        "violation_rate": 0.25, "cost_deviation": [0.5, None], "violation_magnitude": [1.0, 0.0],
        "cvar_cost": [3.0, 4.0], "worst_cost": [5.0, 6.0], "safe_completion": 0.75, "normalized_reward": None,
    }  # fmt: skip
    cells = safety_table.episode_cells(row)
    assert cells == {
        "V": "25 %", "D": "+0.50, -", "D+": "+1.00, +0.00", "CVaR 0.1": "3, 4", "worst": "5, 6",
        "completed safely": "75 %",
    }  # fmt: skip
