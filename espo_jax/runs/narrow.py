"""What is printed on narrow terminals, so that no digit and no end of a path is lost."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_WIDE = 10_000  # columns of a terminal on which every table is whole


def lines_of(facts: Mapping[str, str]) -> Table:
    """A line for each fact with its name; a long path goes on in the next line and is never cut."""
    table = Table.grid(padding=(0, 2))
    table.add_column()
    table.add_column(overflow="fold")
    for name, fact in facts.items():
        table.add_row(name, fact)
    return table


def fitted(shown: Any, console: Console) -> Any:
    """What is shown; a table whose words and numbers would be cut on the console is turned on its side."""
    if isinstance(shown, Group):
        return Group(*(fitted(part, console) for part in shown.renderables))
    if not isinstance(shown, Table) or not shown.show_header or not _is_cut(shown, console):
        return shown
    rows = list(zip(*(list(column.cells) for column in shown.columns), strict=True))
    names = [column.header for column in shown.columns]
    tables: list[RenderableType] = [Text(str(shown.title))] if shown.title else []
    while rows:
        count = len(rows)
        while count > 1 and _widths(_turned(names, rows[:count]), console).maximum > console.width:
            count -= 1
        tables.append(_turned(names, rows[:count]))
        rows = rows[count:]
    return Group(*tables)


def _is_cut(table: Table, console: Console) -> bool:
    """Whether a word or a number of a table would lose its end on a console."""
    if _widths(table, console).maximum <= console.width:
        return False
    lines = console.render_lines(table, console.options.update(max_width=console.width))
    return any("…" in segment.text for line in lines for segment in line)


def _turned(names: Sequence[Any], rows: Sequence[Sequence[Any]]) -> Table:
    """A table with a line for each name and a column for each row."""
    table = Table(*["" for _ in range(1 + len(rows))], show_header=False)
    for name, *cells in zip(names, *rows, strict=True):
        table.add_row(Text(str(name), "bold"), *cells)
    return table


def _widths(table: Table, console: Console) -> Measurement:
    """Number of columns of the console that a table needs for its words to be whole, and for its lines to be."""
    return Measurement.get(console, console.options.update(max_width=_WIDE), table)
