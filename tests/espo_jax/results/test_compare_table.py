"""The table of a comparison, as it is printed."""

import pytest
from rich.console import Console

from tests.tiny_runs import compared


@pytest.fixture(scope="module", name="compared")
def _compared():
    return compared()


def test_printed_table_names_everything(compared):
    console = Console(width=160, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    for item in compared[1]:
        console.print(item)
    text = console.export_text()
    for words in ("espo", "trpo", "samples (M)", "iterations by mode", "4 ± 0 reward", "met", "0:0", "(100%)", "± "):
        assert words in text
