"""Tables on narrow terminals lose no digit."""

import pytest
from rich.console import Group
from rich.table import Table

from espo_jax.runs.narrow import lines_of
from espo_jax.runs.output import Console

CELLS = [f"{1234.5678 * (i + 1):.4f} ± {i}.125 (1.25 to 3.75)" for i in range(6)]


def printed(shown, width):
    console = Console(width=width, force_terminal=False)
    with console.capture() as text:
        console.print(shown)
    return text.get()


def wide(rows=2):
    table = Table(title="All of it")
    for name in ("policy", "reward", "cost", "length", "met", "worst"):
        table.add_column(name)
    for _ in range(rows):
        table.add_row(*CELLS)
    return table


@pytest.mark.parametrize("width", [60, 80, 120])
@pytest.mark.parametrize("rows", [1, 2, 7])
def test_every_cell_and_name_is_whole_at_every_width(width, rows):
    text = printed(Group(wide(rows), "beside it"), width)
    words = text.split()
    assert all(words.count(word) >= rows for cell in CELLS for word in cell.split())
    assert all(name in text for name in ("All of it", "policy", "worst", "beside it"))
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= width


def test_a_table_that_fits_is_left_alone():
    text = printed(wide(1), 400)
    assert len([line for line in text.splitlines() if "policy" in line and "worst" in line]) == 1


@pytest.mark.parametrize("width", [40, 60, 80])
def test_one_long_number_among_wrapping_columns_is_whole(width):
    table = Table("policy", "a number", *[f"words that wrap {i}" for i in range(5)])
    table.add_row("deterministic", "123456789.123", *["some more words here"] * 5)
    text = printed(table, width)
    assert "123456789.123" in text
    assert "deterministic" in text
    assert "…" not in text


@pytest.mark.parametrize("width", [40, 80, 120])
def test_no_end_of_a_path_is_lost(width):
    path = "/tmp/" + "long_folder/" * 20 + "sweep"
    assert path in "".join(printed(lines_of({"samples": "1,000", "folder": path}), width).split())
