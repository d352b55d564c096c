"""The lines of metrics.jsonl and evaluations.jsonl: what every version wrote is required, the rest is kept as it is."""

import json
import math

import numpy as np
import pytest

from espo_jax.algorithms.metrics import Metrics
from espo_jax.cli import main
from espo_jax.runs import records
from tests.espo_jax.runs.damage import line
from tests.tiny_runs import go_on

pytestmark = pytest.mark.usefixtures("shared_programs")


def test_a_line_has_every_metric_and_the_speed(intact):
    for found in records.readable(records.read_metrics(intact / "metrics.jsonl")):
        assert set(found) == {*Metrics._fields, "steps_per_second"}


def test_null_becomes_nan_and_one_number_a_column():
    lines = [{"cost": [1.0, None], "reward": 3}, {"cost": [math.inf, 2.0], "reward": None}]
    np.testing.assert_array_equal(records.series(lines, "cost"), [[1.0, np.nan], [np.inf, 2.0]])
    np.testing.assert_array_equal(records.series(lines, "reward"), [[3.0], [np.nan]])


def test_up_to_an_iteration_drops_later_and_half_written_lines_only():
    texts = [b"1\n", b"nothing\n", b"3\n", b"4\n", b"nothing\n", b'{"iter']
    lines = [records.Line(t, {"iteration": int(t)} if t.strip().isdigit() else None) for t in texts]
    assert records.up_to(lines, 3) == b"1\nnothing\n3\nnothing\n"
    assert records.unreadable(lines) == [2, 5]


def with_later_and_without_optional_fields(path):
    """The lines of a version with another metric, and of one that did not count failed line searches yet."""
    for number in range(4):
        line(number, "metric_of_a_later_version", [0.5, 1.5])(path)
        line(number, "failed_line_searches", ...)(path)
    line(1, "kl", True)(path)  # no reader relies on it
    return (path / "metrics.jsonl").read_bytes()


def test_unknown_and_missing_metrics_are_read_and_drawn(victim, tmp_path, capsys):
    with_later_and_without_optional_fields(victim)
    found = records.readable(records.read_metrics(victim / "metrics.jsonl"))
    assert [entry["iteration"] for entry in found] == [1, 2, 3, 4]
    assert all(entry["metric_of_a_later_version"] == [0.5, 1.5] for entry in found)
    assert not any("failed_line_searches" in entry for entry in found)
    assert main(["plot", str(victim), "--output", str(tmp_path / "plot.svg")]) == 0
    assert "espo" in capsys.readouterr().out


def test_a_run_that_goes_on_leaves_the_lines_of_other_versions_as_they_are(victim):
    before = with_later_and_without_optional_fields(victim)
    result, _ = go_on(victim, num_iterations=5)
    assert result["status"] == "finished"
    after = (victim / "metrics.jsonl").read_bytes()
    assert after.startswith(before), "to the byte"
    (added,) = after[len(before) :].splitlines()
    assert json.loads(added)["iteration"] == 5
    assert "failed_line_searches" in json.loads(added)
    assert (victim / "curves.png").stat().st_size > 20_000
