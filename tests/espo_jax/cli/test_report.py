"""`espo report`: what is refused."""

import sys

from espo_jax import cli
from tests.made_up import hopper


def test_without_the_package_plotly(monkeypatch, capsys, tmp_path):
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    assert cli.main(["report", str(hopper()), "--output", str(tmp_path / "x.html")]) == 2
    assert 'pip install "espo_jax[report]"' in capsys.readouterr().err
