"""The table of groups: over the same iterations as the curves."""

import numpy as np
from rich.console import Console

from espo_jax.results import group_table, groups
from espo_jax.results.read import final
from tests.made_up import made_up


def printed(table):
    console = Console(width=220, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(table)
    return console.export_text()


def test_the_longer_run_counts_up_to_where_the_curve_ends():
    """Its cost falls below the limit only after the end of the shorter run."""
    short = made_up(np.full(10, 60.0), (-4.0, 4.0))
    long = made_up(np.concatenate([np.full(10, 60.0), np.full(30, 1.0)]), (-4.0, 4.0))
    text = printed(group_table.table({"espo": [short, long]}))
    assert "6-10" in text
    assert "0/2" in text
    places, curve = groups.align([short, long], "episode_cost")
    assert places[-1] == 10
    np.testing.assert_allclose(curve[:, -5:, 0].mean(), final(groups.in_common([short, long]), "episode_cost").mean())


def test_groups_of_other_lengths_say_which_iterations_they_have():
    runs = {"espo": [made_up(np.ones(40), (-4.0, 4.0))], "crpo": [made_up(np.ones(10), (-4.0, 4.0))]}
    text = printed(group_table.table(runs))
    assert "21-40" in text
    assert "6-10" in text
